//! Batches: reading, listing, letting rest, asking again, giving up, the lines that were not taken.

use std::time::Duration;

use egret_wire::api::{BatchView, JobState, Page, RejectedLine};
use reqwest::Method;

use crate::client::Client;
use crate::error::ClientError;

/// How long the jobs of a batch may take to be made ready to be asked again (chosen: some fifty million).
const RETRY_WITHIN: Duration = Duration::from_secs(3_600);

impl Client {
    /// Reads one batch.
    ///
    /// # Errors
    /// As [`ClientError`] says; a problem `not_found` if there is none.
    pub async fn batch(&self, id: &str) -> Result<BatchView, ClientError> {
        self.read(self.get(&["v1", "batches", id])).await
    }

    /// Lists batches, one page, from `cursor` on.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn batches(&self, cursor: Option<&str>) -> Result<Page<BatchView>, ClientError> {
        self.read(self.get(&["v1", "batches"]).query(&from(cursor))).await
    }

    /// Gives up those of its jobs that have not ended. Harmless if all have.
    ///
    /// # Errors
    /// As [`ClientError`] says; a problem `not_found` if there is none.
    pub async fn cancel_batch(&self, id: &str) -> Result<BatchView, ClientError> {
        self.read(self.request(Method::DELETE, &["v1", "batches", id])).await
    }

    /// Lets it rest until it is resumed. Harmless if it has ended.
    ///
    /// # Errors
    /// As [`ClientError`] says; a problem `not_found` if there is none.
    pub async fn pause_batch(&self, id: &str) -> Result<BatchView, ClientError> {
        self.read(self.request(Method::POST, &["v1", "batches", id, "pause"])).await
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// As [`ClientError`] says; a problem `not_found` if there is none.
    pub async fn resume_batch(&self, id: &str) -> Result<BatchView, ClientError> {
        self.read(self.request(Method::POST, &["v1", "batches", id, "resume"])).await
    }

    /// Asks again what ended in one of these states, failed or expired; none: in either.
    ///
    /// # Errors
    /// As [`ClientError`] says; a problem `not_found` if there is none.
    pub async fn retry_batch(&self, id: &str, states: &[JobState]) -> Result<BatchView, ClientError> {
        let states: Vec<_> = states.iter().map(|state| state.as_str()).collect();
        let query = (!states.is_empty()).then(|| [("state", states.join(","))]);
        let request = self.request(Method::POST, &["v1", "batches", id, "retry"]).query(&query);
        self.read_within(request, RETRY_WITHIN).await
    }

    /// Lists the lines that were not taken, one page, from `cursor` on.
    ///
    /// # Errors
    /// As [`ClientError`] says; a problem `not_found` if there is no such batch.
    pub async fn rejected(&self, id: &str, cursor: Option<&str>) -> Result<Page<RejectedLine>, ClientError> {
        self.read(self.get(&["v1", "batches", id, "rejected"]).query(&from(cursor))).await
    }
}

fn from(cursor: Option<&str>) -> Vec<(&'static str, &str)> {
    cursor.map(|cursor| ("cursor", cursor)).into_iter().collect()
}
