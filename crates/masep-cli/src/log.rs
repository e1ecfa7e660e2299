//! The log: on standard error, so that standard output stays for results.

use std::io::{self, IsTerminal};

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

/// The form of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines for people
    #[default]
    Text,
    /// An object of JSON a line: timestamp, level, target, fields, span, spans
    Json,
}

/// Starts the log. `MASEP_LOG` says what is logged, `RUST_LOG` if that is not set, in the notation
/// of tracing (`debug`, `masep=trace,warn`); warnings and errors otherwise.
pub(crate) fn init(format: LogFormat) {
    let filter = ["MASEP_LOG", "RUST_LOG"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    let (filter, wrong) = match filter.as_deref().map(EnvFilter::try_new) {
        None => (EnvFilter::new("warn"), None),
        Some(Ok(filter)) => (filter, None),
        Some(Err(error)) => (EnvFilter::new("warn"), Some(error)),
    };
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(!no_color && io::stderr().is_terminal())
        // It would report a closed standard error with a panic.
        .log_internal_errors(false);
    match format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
    if let Some(error) = wrong {
        tracing::warn!(%error, "the log filter is not understood: warnings and errors are logged");
    }
}
