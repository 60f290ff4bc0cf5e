//! The signals by which a user or a supervisor asks the program to stop.

use std::future::pending;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::exit::{Exit, Failure};

/// SIGINT and SIGTERM: the first is for the program to heed, the second ends it at once.
///
/// When this has been dropped, the first ends it as well.
pub(crate) struct Signals {
    asked: mpsc::Receiver<()>,
}

impl Signals {
    /// From now on signals no longer end the program by themselves.
    pub(crate) fn new() -> Result<Self, Failure> {
        let listen =
            |kind| signal(kind).map_err(|error| Failure::usage(format!("signals cannot be heard: {error}")));
        let (interrupt, terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
        let (ask, asked) = mpsc::channel(1);
        tokio::spawn(pass_on(interrupt, terminate, ask));
        Ok(Self { asked })
    }

    /// Waits for the first.
    pub(crate) async fn next(&mut self) {
        if self.asked.recv().await.is_none() {
            pending::<()>().await;
        }
    }
}

async fn pass_on(mut interrupt: Signal, mut terminate: Signal, ask: mpsc::Sender<()>) {
    let mut is_asked = false;
    loop {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        if is_asked || ask.try_send(()).is_err() {
            std::process::exit(Exit::Interrupted.code().into());
        }
        is_asked = true;
    }
}
