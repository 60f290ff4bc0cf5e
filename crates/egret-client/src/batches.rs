//! Batches: reading, listing, giving up, the lines that were not taken.

use egret_wire::api::{BatchView, Page, RejectedLine};
use reqwest::Method;

use crate::client::Client;
use crate::error::ClientError;

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
