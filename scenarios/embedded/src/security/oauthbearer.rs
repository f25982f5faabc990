//! OAUTHBEARER (RFC 7628) with unsecured tokens (JWTs with `"alg":"none"`), as a broker's default validator takes them.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde_json::Value;

use super::mechanism::{Failed, Progress};

/// What a refused client sends to end the exchange.
const KVSEP: &[u8] = b"\x01";

/// What a broker says of any token that it does not take.
const INVALID: &str = "{\"status\":\"invalid_token\"}";

/// One exchange: the token, and after a refusal the client's acknowledgement.
#[derive(Debug, Default)]
pub(crate) struct Exchange {
    refused: bool,
}

impl Exchange {
    pub(crate) fn step(&mut self, message: &[u8], now_ms: i64) -> Result<Progress, Failed> {
        if self.refused {
            return Err(match message {
                KVSEP => Failed::Told(INVALID.to_owned()),
                _ => Failed::Credentials,
            });
        }
        let text = std::str::from_utf8(message).map_err(|_| Failed::Credentials)?;
        let (authorization, token) = parts(text).ok_or(Failed::Credentials)?;
        let Some((user, expires_ms)) = claims(token, now_ms) else {
            self.refused = true;
            return Ok(Progress::Continue(INVALID.as_bytes().to_vec()));
        };
        if !authorization.is_empty() && authorization != user {
            return Err(Failed::Told(format!(
                "Authentication failed: Client requested an authorization id ({authorization}) that is different from the \
                 token's principal name ({user})"
            )));
        }
        Ok(Progress::Done {
            answer: Vec::new(),
            user,
            expires_ms: Some(expires_ms),
        })
    }
}

/// `n,[a=authorization id],^Aauth=Bearer token^A[key=value^A]...^A`
fn parts(text: &str) -> Option<(&str, &str)> {
    let (header, rest) = text.split_once('\x01')?;
    let header = header.strip_prefix("n,")?.strip_suffix(',')?;
    let authorization = match header {
        "" => "",
        named => named.strip_prefix("a=")?,
    };
    let pairs = rest.strip_suffix("\x01\x01")?;
    let value = pairs
        .split('\x01')
        .find_map(|pair| pair.strip_prefix("auth="))?;
    let (scheme, token) = value.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer")).then_some((authorization, token.trim()))
}

/// Who the token speaks of and until when; None unless it is unsigned, begun and not over.
fn claims(token: &str, now_ms: i64) -> Option<(String, i64)> {
    let mut parts = token.split('.');
    let (header, payload, signature) = (parts.next()?, parts.next()?, parts.next()?);
    if !signature.is_empty() || parts.next().is_some() {
        return None;
    }
    if json(header)?.get("alg")?.as_str()? != "none" {
        return None;
    }
    let payload = json(payload)?;
    let millis = |claim: &str| {
        payload
            .get(claim)
            .map(|value| seconds_as_ms(value.as_f64()))
    };
    let expires_ms = millis("exp")??;
    let issued_ms = match millis("iat") {
        Some(issued) => issued?,
        None => now_ms,
    };
    let user = payload
        .get("sub")?
        .as_str()
        .filter(|user| !user.trim().is_empty())?;
    (issued_ms <= now_ms && now_ms < expires_ms && issued_ms < expires_ms)
        .then(|| (user.to_owned(), expires_ms))
}

#[expect(clippy::cast_possible_truncation, reason = "a cast from f64 saturates")]
fn seconds_as_ms(seconds: Option<f64>) -> Option<i64> {
    seconds.map(|seconds| (seconds * 1000.0) as i64)
}

fn json(part: &str) -> Option<Value> {
    let bytes = BASE64.decode(part.trim_end_matches('=')).ok()?;
    serde_json::from_slice(&bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(header: &str, payload: &str) -> String {
        let token = format!("{}.{}.", BASE64.encode(header), BASE64.encode(payload));
        format!("n,,\x01auth=Bearer {token}\x01\x01")
    }

    const NONE: &str = r#"{"alg":"none"}"#;

    #[test]
    fn an_unsecured_token_names_its_user() {
        let first = message(NONE, r#"{"sub":"alice","iat":100.5,"exp":200}"#);
        let done = Exchange::default().step(first.as_bytes(), 150_000);
        let expected = Progress::Done {
            answer: Vec::new(),
            user: "alice".to_owned(),
            expires_ms: Some(200_000),
        };
        assert_eq!(done, Ok(expected));
    }

    #[test]
    fn other_tokens_are_refused_in_two_steps() {
        for first in [
            message(NONE, r#"{"sub":"alice","exp":150}"#),
            message(NONE, r#"{"sub":"alice","iat":151,"exp":200}"#),
            message(NONE, r#"{"exp":200}"#),
            message(NONE, r#"{"sub":"alice"}"#),
            message(NONE, "[]"),
            message(r#"{"alg":"RS256"}"#, r#"{"sub":"alice","exp":200}"#),
            "n,,\x01auth=Bearer nonsense\x01\x01".to_owned(),
        ] {
            let mut exchange = Exchange::default();
            let answer = exchange.step(first.as_bytes(), 150_000);
            assert_eq!(answer, Ok(Progress::Continue(INVALID.into())), "{first}");
            assert_eq!(
                exchange.step(KVSEP, 150_000),
                Err(Failed::Told(INVALID.to_owned()))
            );
        }
    }

    #[test]
    fn what_is_no_client_response_is_refused_at_once() {
        for first in [
            "",
            "n,,",
            "n,,\x01auth=Basic x\x01\x01",
            "\x01auth=Bearer x\x01\x01",
        ] {
            let answer = Exchange::default().step(first.as_bytes(), 0);
            assert_eq!(answer, Err(Failed::Credentials), "{first:?}");
        }
    }
}
