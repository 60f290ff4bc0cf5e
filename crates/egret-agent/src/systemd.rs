//! Word to systemd, if it has started this process (sd_notify(3)); without it nothing here does anything.

use std::future::pending;

use sd_notify::{NotifyState, notify};

/// The process does what it is there for.
pub fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(&one_line(status))]);
}

/// How it stands.
pub fn status(status: &str) {
    tell(&[NotifyState::Status(&one_line(status))]);
}

/// It was told to stop and finishes what is under way.
pub fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("draining")]);
}

/// Says again and again that the process lives, as long as `lives` says so; if a watchdog wants to hear it.
pub async fn watch(lives: impl AsyncFn() -> bool) {
    let Some(every) = sd_notify::watchdog_enabled() else { return pending().await };
    loop {
        if lives().await {
            tell(&[NotifyState::Watchdog]);
        }
        tokio::time::sleep(every / 2).await;
    }
}

/// Another line would be another word to systemd.
fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = notify(states) {
        tracing::debug!("systemd was not told: {error}");
    }
}
