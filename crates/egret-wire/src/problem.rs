//! Errors as `application/problem+json` (RFC 9457), with a stable `code` to program against.

use serde::{Deserialize, Serialize};

/// The media type of a [`Problem`].
pub const MEDIA_TYPE: &str = "application/problem+json";

/// What went wrong, in the words of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names are the documentation; docs/api.md has the table")]
pub enum Code {
    InvalidJson,
    InvalidField,
    UnknownField,
    InvalidTarget,
    UnsupportedLookup,
    UnknownService,
    UnsupportedMediaType,
    TooLarge,
    NotFound,
    KeyRequired,
    InvalidKey,
    Forbidden,
    IdempotencyMismatch,
    IdempotencyInFlight,
    RateLimited,
    QueueFull,
    DiskLow,
    NotReady,
    TimedOut,
    Unreachable,
    BadAnswer,
    InvalidToken,
    MethodNotAllowed,
    Internal,
}

impl Code {
    /// The code as the API writes it.
    pub fn as_str(self) -> &'static str {
        self.row().0
    }

    /// The HTTP status that goes with it.
    pub fn status(self) -> u16 {
        self.row().1
    }

    fn row(self) -> (&'static str, u16, &'static str) {
        match self {
            Self::InvalidJson => ("invalid_json", 400, "The body is not valid JSON"),
            Self::InvalidField => ("invalid_field", 400, "A field has a wrong value"),
            Self::UnknownField => ("unknown_field", 400, "A field is not known"),
            Self::InvalidTarget => ("invalid_target", 422, "The target cannot be looked up"),
            Self::UnsupportedLookup => {
                ("unsupported_lookup", 422, "No configured service answers this lookup")
            }
            Self::UnknownService => ("unknown_service", 422, "The service is not configured"),
            Self::UnsupportedMediaType => ("unsupported_media_type", 415, "This content type is not taken"),
            Self::TooLarge => ("too_large", 413, "The body or a line is too large"),
            Self::NotFound => ("not_found", 404, "There is no such thing"),
            Self::KeyRequired => ("key_required", 401, "An API key is required"),
            Self::InvalidKey => ("invalid_key", 401, "The API key is not valid"),
            Self::Forbidden => ("forbidden", 403, "This is not allowed"),
            Self::IdempotencyMismatch => {
                ("idempotency_mismatch", 422, "The idempotency key was used for another request")
            }
            Self::IdempotencyInFlight => {
                ("idempotency_in_flight", 409, "A request with this idempotency key is under way")
            }
            Self::RateLimited => ("rate_limited", 429, "Too many requests"),
            Self::QueueFull => ("queue_full", 503, "The queue is full"),
            Self::DiskLow => ("disk_low", 507, "The disk is nearly full"),
            Self::NotReady => ("not_ready", 503, "The coordinator is not ready"),
            Self::TimedOut => ("timed_out", 504, "No answer in the time waited"),
            Self::Unreachable => ("unreachable", 502, "The service cannot be reached"),
            Self::BadAnswer => ("bad_answer", 502, "The service's answer makes no sense"),
            Self::InvalidToken => ("invalid_token", 401, "The join token is not valid"),
            Self::MethodNotAllowed => ("method_not_allowed", 405, "This method is not allowed here"),
            Self::Internal => ("internal", 500, "The coordinator failed"),
        }
    }
}

/// One field that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldError {
    /// JSON pointer (RFC 6901) to the field.
    pub pointer: String,
    /// What is wrong with it.
    pub detail: String,
}

/// An error document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// A URI that names the kind of problem.
    #[serde(rename = "type")]
    pub kind: String,
    /// The same for every problem of the kind.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened here, and the mend.
    pub detail: String,
    /// The kind as a stable word.
    pub code: Code,
    /// The fields at fault, if it was a field.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}

impl Problem {
    /// A problem of this kind, with the words for this case.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        let (word, status, title) = code.row();
        Self {
            kind: format!("urn:egret:problem:{word}"),
            title: title.to_owned(),
            status,
            detail: detail.into(),
            code,
            errors: Vec::new(),
        }
    }

    /// The same problem with another status, for codes that have two.
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// The same problem, pointing at a field.
    pub fn at(mut self, pointer: impl Into<String>) -> Self {
        self.errors.push(FieldError { pointer: pointer.into(), detail: self.detail.clone() });
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_written_as_its_code_says() {
        let problem = Problem::new(Code::UnknownField, "no field `tarqet`").at("/tarqet");
        let json = serde_json::to_value(&problem).unwrap();
        assert_eq!(json["code"], Code::UnknownField.as_str());
        assert_eq!(json["status"], 400);
        assert_eq!(json["type"], "urn:egret:problem:unknown_field");
        assert_eq!(json["errors"][0]["pointer"], "/tarqet");
        assert_eq!(serde_json::from_value::<Problem>(json).unwrap(), problem);
    }
}
