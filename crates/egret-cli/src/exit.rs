//! How the program ends: the codes scripts hold on to, and which failure ends it with which.

use std::io;
use std::process::ExitCode;

use egret_client::ClientError;
use egret_wire::problem::Code;

/// The exit codes, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Exit {
    /// Done.
    Done,
    /// Some lookup failed, or something asked for does not exist.
    Failed,
    /// No answer within the time to wait.
    TimedOut,
    /// Wrong usage or configuration.
    Usage,
    /// Not allowed.
    NotAllowed,
    /// The coordinator cannot be reached.
    Unreachable,
    /// Stopped by the user, as shells count it.
    Interrupted,
}

impl Exit {
    /// The number the shell sees.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Unreachable => 3,
            Self::NotAllowed => 4,
            Self::TimedOut => 5,
            Self::Interrupted => 130,
        }
    }

    fn of_problem(code: Code) -> Self {
        match code {
            Code::InvalidJson
            | Code::InvalidField
            | Code::UnknownField
            | Code::InvalidTarget
            | Code::UnsupportedLookup
            | Code::UnknownService
            | Code::UnsupportedMediaType
            | Code::TooLarge => Self::Usage,
            Code::KeyRequired | Code::InvalidKey | Code::Forbidden | Code::InvalidToken => Self::NotAllowed,
            Code::TimedOut => Self::TimedOut,
            Code::NotFound
            | Code::Unreachable
            | Code::BadAnswer
            | Code::IdempotencyMismatch
            | Code::IdempotencyInFlight
            | Code::RateLimited
            | Code::QueueFull
            | Code::DiskLow
            | Code::NotReady
            | Code::MethodNotAllowed
            | Code::Internal => Self::Failed,
        }
    }

    fn of_client(error: &ClientError) -> Self {
        match error {
            ClientError::Setting(_) | ClientError::Input(_) => Self::Usage,
            ClientError::Unreachable { .. } | ClientError::Broken { .. } => Self::Unreachable,
            ClientError::Problem(problem) => Self::of_problem(problem.code),
            ClientError::Protocol { .. } => Self::Failed,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}

/// Why a command could not be carried out, in one line for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// How the program ends.
    pub(crate) exit: Exit,
    /// What, where, and the mend; empty if there is nobody to read it.
    pub(crate) text: String,
}

impl Failure {
    /// A failure that ends the program this way.
    pub(crate) fn new(exit: Exit, text: impl Into<String>) -> Self {
        Self { exit, text: text.into() }
    }

    /// Wrong usage or configuration.
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self::new(Exit::Usage, text)
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::new(Exit::of_client(&error), error.to_string())
    }
}

/// Of writing to stdout: a reader that has seen enough is no failure.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::new(Exit::Done, ""),
            _ => Self::new(Exit::Failed, format!("the output cannot be written: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use egret_wire::problem::Problem;

    #[test]
    fn every_problem_ends_the_program_as_documented() {
        let table: [(u8, &[&str]); 4] = [
            (
                2,
                &[
                    "invalid_json",
                    "invalid_field",
                    "unknown_field",
                    "invalid_target",
                    "unsupported_lookup",
                    "unknown_service",
                    "unsupported_media_type",
                    "too_large",
                ],
            ),
            (
                1,
                &[
                    "not_found",
                    "idempotency_mismatch",
                    "idempotency_in_flight",
                    "rate_limited",
                    "queue_full",
                    "disk_low",
                    "not_ready",
                    "method_not_allowed",
                    "internal",
                ],
            ),
            (4, &["key_required", "invalid_key", "forbidden", "invalid_token"]),
            (5, &["timed_out"]),
        ];
        for (exit, words) in table {
            for word in words {
                let code: Code = serde_json::from_value((*word).into()).unwrap();
                let failure = Failure::from(ClientError::Problem(Problem::new(code, "because")));
                assert_eq!(failure.exit.code(), exit, "{word}");
            }
        }
    }

    #[test]
    fn a_coordinator_that_is_not_there_is_told_from_one_that_says_no() {
        let (url, reason) = ("http://h".to_owned(), "refused".to_owned());
        assert_eq!(Failure::from(ClientError::Unreachable { url, reason }).exit.code(), 3);
        assert_eq!(Failure::from(ClientError::Setting("no URL".to_owned())).exit.code(), 2);
    }

    #[test]
    fn a_reader_that_left_is_no_failure() {
        let failure = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!((failure.exit, failure.text.as_str()), (Exit::Done, ""));
    }
}
