//! What the agent's process says on stderr.

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Logs what `EGRET_LOG` asks for. Its names are plain targets here: patterns over spans and fields, of which the agent has
/// few, would bring an engine for regular expressions along.
pub(crate) fn start() {
    let wanted = std::env::var("EGRET_LOG").ok().and_then(|text| text.parse().ok());
    let wanted = wanted.unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO));
    tracing_subscriber::registry()
        .with(tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false))
        .with(wanted)
        .init();
}
