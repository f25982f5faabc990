//! SaslHandshake and SaslAuthenticate: their bytes. What they mean is the session's business.

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{
    SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest, SaslHandshakeResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::{IntoAnswer, decode};
use crate::security::Mechanism;
use crate::server::{Answer, Closed, Incoming};

/// Which mechanism a SaslHandshake asks for.
pub(crate) fn mechanism(incoming: &Incoming, body: Bytes) -> Result<String, Closed> {
    let request: SaslHandshakeRequest = decode(incoming, body)?;
    Ok(request.mechanism.to_string())
}

/// Answers a SaslHandshake with what is enabled.
pub(crate) fn shaken(
    incoming: &Incoming,
    enabled: &[Mechanism],
    supported: bool,
) -> Result<Answer, Closed> {
    let error = match supported {
        true => 0,
        false => ResponseError::UnsupportedSaslMechanism.code(),
    };
    let names = enabled
        .iter()
        .map(|mechanism| StrBytes::from_static_str(mechanism.name()));
    let response = SaslHandshakeResponse::default()
        .with_error_code(error)
        .with_mechanisms(names.collect());
    response.into_answer(incoming.version)
}

/// The token of a SaslAuthenticate.
pub(crate) fn token(incoming: &Incoming, body: Bytes) -> Result<Bytes, Closed> {
    let request: SaslAuthenticateRequest = decode(incoming, body)?;
    Ok(request.auth_bytes)
}

/// Answers a SaslAuthenticate: a token and how many milliseconds the session lives, or why not.
pub(crate) fn authenticated(
    incoming: &Incoming,
    step: Result<(Vec<u8>, i64), String>,
) -> Result<Answer, Closed> {
    let response = SaslAuthenticateResponse::default();
    let response = match step {
        Ok((token, life_ms)) => response
            .with_error_message(None)
            .with_auth_bytes(token.into())
            .with_session_lifetime_ms(if incoming.version >= 1 { life_ms } else { 0 }),
        Err(text) => response
            .with_error_code(ResponseError::SaslAuthenticationFailed.code())
            .with_error_message(Some(StrBytes::from_string(text))),
    };
    response.into_answer(incoming.version)
}

/// A SaslHandshake where none is due.
pub(crate) async fn handshake_too_much(
    _incoming: &Incoming,
    _request: SaslHandshakeRequest,
) -> Result<SaslHandshakeResponse, Closed> {
    Ok(SaslHandshakeResponse::default().with_error_code(ResponseError::IllegalSaslState.code()))
}

/// A SaslAuthenticate where none is due.
pub(crate) async fn authenticate_too_much(
    _incoming: &Incoming,
    _request: SaslAuthenticateRequest,
) -> Result<SaslAuthenticateResponse, Closed> {
    let text = "SaslAuthenticate request received after successful authentication";
    Ok(SaslAuthenticateResponse::default()
        .with_error_code(ResponseError::IllegalSaslState.code())
        .with_error_message(Some(StrBytes::from_static_str(text))))
}
