//! The wish that the agent stops, and how long it may then take to finish.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Comes twice: when the agent is to take nothing more, and when it has to go.
pub(crate) struct Stop<'a> {
    wish: Pin<&'a mut (dyn Future<Output = ()> + Send + 'a)>,
    patience: Duration,
    until: Option<Instant>,
}

impl<'a> Stop<'a> {
    pub(crate) fn new(wish: Pin<&'a mut (dyn Future<Output = ()> + Send + 'a)>, patience: Duration) -> Self {
        Self { wish, patience, until: None }
    }

    /// Waits for what comes next; when it may be given up and asked for again.
    pub(crate) async fn next(&mut self) {
        match self.until {
            None => {
                self.wish.as_mut().await;
                self.until = Some(Instant::now() + self.patience);
            }
            Some(until) => sleep_until(until).await,
        }
    }

    /// The agent takes nothing more.
    pub(crate) fn is_wanted(&self) -> bool {
        self.until.is_some()
    }

    /// It has to go, whatever is under way.
    pub(crate) fn is_due(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() >= until)
    }
}
