//! What is answered when something is wrong: Connect's error body, on every route.

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, ResponseError};
use serde::Serialize;
use utoipa::ToSchema;

/// Connect's words for a worker that has not read its storage topics (KIP-1017).
pub(super) const STARTING: &str = "Worker is still starting up.";

/// Connect's error body (docs/spec/mm2.md 9.2).
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ErrorBody {
    /// The HTTP status.
    pub(crate) error_code: u16,
    /// What is wrong, and what to do.
    pub(crate) message: String,
}

/// An error with its status.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    message: String,
}

/// What a handler answers.
pub(crate) type Answer = Result<HttpResponse, ApiError>;

impl ApiError {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { status, message }
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// A body that cannot be read.
    pub(crate) fn malformed(why: &dyn fmt::Display) -> Self {
        Self::bad_request(format!("the body is not as it should be: {why}"))
    }

    pub(crate) fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, message)
    }

    /// Connect answers 500 to entries that a connector refuses, and to brokers that do not answer.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, message)
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        HttpResponse::build(self.status).json(ErrorBody {
            error_code: self.status.as_u16(),
            message: self.message.clone(),
        })
    }
}

/// Jersey's text for what has no body of its own.
pub(crate) fn plain(status: StatusCode) -> ApiError {
    let reason = status.canonical_reason().unwrap_or_default();
    ApiError::new(status, format!("HTTP {} {reason}", status.as_u16()))
}
