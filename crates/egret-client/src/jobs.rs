//! Single jobs: submitting, reading, listing, giving up.

use std::collections::BTreeMap;
use std::time::Duration;

use egret_wire::api::{BatchView, Explanation, JobRequest, JobState, JobView, Page};
use egret_wire::value::Span;
use reqwest::Method;

use crate::client::{ANSWER_WITHIN, Client};
use crate::error::ClientError;

/// Which jobs a list holds; by default all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobFilter {
    /// Of this batch.
    pub batch: Option<String>,
    /// In this state.
    pub state: Option<JobState>,
    /// Whose first step asks this service.
    pub service: Option<String>,
    /// With all of these labels.
    pub labels: BTreeMap<String, String>,
    /// After the page that ended with this cursor.
    pub cursor: Option<String>,
    /// At most so many; the coordinator has a limit of its own.
    pub limit: Option<u32>,
}

impl JobFilter {
    fn query(&self) -> Vec<(String, String)> {
        let state = self.state.map(|state| state.as_str().to_owned());
        let limit = self.limit.map(|limit| limit.to_string());
        [
            ("batch", self.batch.clone()),
            ("state", state),
            ("service", self.service.clone()),
            ("cursor", self.cursor.clone()),
            ("limit", limit),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .chain(self.labels.iter().map(|(name, value)| (format!("label.{name}"), value.clone())))
        .collect()
    }
}

impl Client {
    /// Submits one job, and waits up to `wait` for its end.
    ///
    /// The job may not have ended yet: look at its state. Without `wait` it has only been accepted.
    ///
    /// # Errors
    /// As [`ClientError`] says; after [`ClientError::Broken`] the job may exist.
    pub async fn submit(&self, job: &JobRequest, wait: Option<Duration>) -> Result<JobView, ClientError> {
        let wait = wait.unwrap_or_default();
        let mut request = self.request(Method::POST, &["v1", "jobs"]).json(job);
        if !wait.is_zero() {
            request = request.query(&[("wait", Span(wait).to_string())]);
        }
        self.read_within(request, ANSWER_WITHIN + wait).await
    }

    /// Submits jobs as one batch; the coordinator takes up to 10,000 this way.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn submit_all(&self, jobs: &[JobRequest]) -> Result<BatchView, ClientError> {
        self.read(self.request(Method::POST, &["v1", "jobs"]).json(jobs)).await
    }

    /// Reads one job.
    ///
    /// # Errors
    /// As [`ClientError`] says; a problem `not_found` if there is none.
    pub async fn job(&self, id: &str) -> Result<JobView, ClientError> {
        self.read(self.get(&["v1", "jobs", id])).await
    }

    /// Asks why a job has not been answered yet.
    ///
    /// # Errors
    /// As [`ClientError`] says; a problem `not_found` if there is none.
    pub async fn explain(&self, id: &str) -> Result<Explanation, ClientError> {
        self.read(self.get(&["v1", "jobs", id, "explain"])).await
    }

    /// Lists jobs, one page.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn jobs(&self, filter: &JobFilter) -> Result<Page<JobView>, ClientError> {
        self.read(self.get(&["v1", "jobs"]).query(&filter.query())).await
    }

    /// Gives a job up and returns it. Harmless if it has ended.
    ///
    /// # Errors
    /// As [`ClientError`] says; a problem `not_found` if there is none.
    pub async fn cancel_job(&self, id: &str) -> Result<JobView, ClientError> {
        self.read(self.request(Method::DELETE, &["v1", "jobs", id])).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::{Stage, json};
    use egret_wire::api::{Keep, Lookup, Priority};

    const JOB: &str = r#"{"id":"job_1","batch":null,"lookup":"domain","target":"example.com","service":"s",
        "state":"queued","priority":"normal","created_at":"2026-01-01T00:00:00.000Z","ended_at":null,
        "cached":false,"attempts":[],"labels":{}}"#;

    #[tokio::test]
    async fn one_job_is_submitted_with_the_time_to_wait() {
        let stage = Stage::playing(vec![json(202, JOB)]).await;
        let job = JobRequest {
            lookup: Lookup::Domain,
            target: Some("example.com".to_owned()),
            request: None,
            service: None,
            priority: Priority::Interactive,
            deadline: None,
            exact: false,
            follow: None,
            max_age: None,
            keep: Keep::Both,
            reference: None,
            labels: BTreeMap::new(),
            egress: None,
        };
        let view = stage.client().submit(&job, Some(Duration::from_secs(30))).await.unwrap();
        assert_eq!(view.state, JobState::Queued);
        let request = stage.requests().remove(0);
        assert!(request.starts_with("POST /v1/jobs?wait=30s HTTP/1.1"), "{request}");
        assert!(request.ends_with(r#"{"lookup":"domain","target":"example.com","priority":"interactive"}"#));
    }

    #[tokio::test]
    async fn a_filter_becomes_the_query() {
        let stage = Stage::playing(vec![json(200, r#"{"items":[],"next_cursor":null}"#)]).await;
        let filter = JobFilter {
            state: Some(JobState::Failed),
            labels: [("team".to_owned(), "a b".to_owned())].into(),
            limit: Some(7),
            ..JobFilter::default()
        };
        assert!(stage.client().jobs(&filter).await.unwrap().items.is_empty());
        let request = stage.requests().remove(0);
        assert!(
            request.starts_with("GET /v1/jobs?state=failed&limit=7&label.team=a+b HTTP/1.1"),
            "{request}"
        );
    }
}
