//! Problems as responses: the one place where an error becomes HTTP.

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use egret_lookup::PlanError;
use egret_store::StoreError;
use egret_wire::problem::{Code, MEDIA_TYPE, Problem};

/// A problem on its way out.
#[derive(Debug, Clone)]
pub(crate) struct Failure(pub(crate) Problem);

impl Failure {
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self(Problem::new(code, detail))
    }

    pub(crate) fn at(self, pointer: &str) -> Self {
        Self(self.0.at(pointer))
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        tracing::error!("the store failed a request: {error}");
        Self::new(Code::Internal, "the store failed; the coordinator's log says how")
    }
}

impl From<PlanError> for Failure {
    fn from(error: PlanError) -> Self {
        let code = match error {
            PlanError::InvalidTarget(_) => Code::InvalidTarget,
            PlanError::UnknownService { .. }
            | PlanError::UnnamedService { .. }
            | PlanError::MissingService { .. } => Code::UnknownService,
            PlanError::UnsupportedLookup { .. } => Code::UnsupportedLookup,
        };
        Self::new(code, error.to_string())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self.0).unwrap_or_default();
        let mut response = (status, body).into_response();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if matches!(self.0.code, Code::NotReady | Code::QueueFull | Code::RateLimited) {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if status == StatusCode::UNAUTHORIZED && matches!(self.0.code, Code::KeyRequired | Code::InvalidKey) {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
