//! What can go wrong between a caller and the coordinator, with the mend in the text.

use std::io;

use egret_wire::problem::Problem;
use reqwest::Url;

/// Why a call brought nothing.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The URL or the key cannot be used; nothing was sent.
    #[error("{0}")]
    Setting(String),
    /// Nobody answers there.
    #[error(
        "no coordinator answers at {url}: {reason}; start one with `egret up` or `egret serve`, or name another with --url"
    )]
    Unreachable {
        /// Where it was looked for.
        url: String,
        /// What the attempt said.
        reason: String,
    },
    /// The connection broke before the answer was whole; whether the request took effect is not known.
    #[error("the coordinator at {url} broke off: {reason}; see whether it still runs, then try again")]
    Broken {
        /// Who broke off.
        url: String,
        /// What the connection said.
        reason: String,
    },
    /// The coordinator says no, and why.
    #[error("{}", told(.0))]
    Problem(Problem),
    /// The answer is not one a coordinator gives.
    #[error(
        "{url} does not speak as a coordinator does: {reason}; check the address, and that both sides are of one version"
    )]
    Protocol {
        /// Who answered.
        url: String,
        /// What was wrong with it.
        reason: String,
    },
    /// What was to be sent could not be read.
    #[error("the input cannot be read: {0}")]
    Input(String),
}

impl ClientError {
    /// Whether the same request may well succeed a little later.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Broken { .. } => true,
            Self::Problem(problem) => matches!(problem.status, 429 | 503),
            Self::Setting(_) | Self::Protocol { .. } | Self::Input(_) => false,
        }
    }

    pub(crate) fn of_transport(url: &Url, error: &reqwest::Error) -> Self {
        let url = shown(url);
        let reason = reason(error);
        if error.is_connect() || error.is_timeout() {
            Self::Unreachable { url, reason }
        } else {
            Self::Broken { url, reason }
        }
    }

    pub(crate) fn protocol(url: &Url, reason: impl Into<String>) -> Self {
        Self::Protocol { url: shown(url), reason: reason.into() }
    }
}

/// A URL as the user wrote it: without the slash that parsing adds.
fn shown(url: &Url) -> String {
    url.as_str().trim_end_matches('/').to_owned()
}

fn told(problem: &Problem) -> String {
    let text = if problem.detail.is_empty() { &problem.title } else { &problem.detail };
    format!("{text} ({})", problem.code.as_str())
}

/// The innermost cause, which says more than the layers around it.
fn reason(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    match cause.downcast_ref::<io::Error>().map(io::Error::kind) {
        Some(io::ErrorKind::ConnectionRefused) => "connection refused".to_owned(),
        Some(io::ErrorKind::ConnectionReset) => "connection reset".to_owned(),
        _ => cause.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use egret_wire::problem::Code;

    #[test]
    fn each_text_names_the_coordinator_and_the_mend() {
        let url = "http://127.0.0.1:7043".to_owned();
        let text = ClientError::Unreachable { url, reason: "connection refused".to_owned() }.to_string();
        assert_eq!(
            text,
            "no coordinator answers at http://127.0.0.1:7043: connection refused; start one with `egret up` or \
             `egret serve`, or name another with --url"
        );
        let problem = Problem::new(Code::UnknownService, "no service named `x`; add it under [[service]]");
        let text = ClientError::Problem(problem).to_string();
        assert_eq!(text, "no service named `x`; add it under [[service]] (unknown_service)");
    }

    #[test]
    fn only_what_may_pass_is_passing() {
        assert!(ClientError::Problem(Problem::new(Code::NotReady, "starting")).is_passing());
        assert!(!ClientError::Problem(Problem::new(Code::NotFound, "no such batch")).is_passing());
        assert!(!ClientError::Input("gone".to_owned()).is_passing());
    }
}
