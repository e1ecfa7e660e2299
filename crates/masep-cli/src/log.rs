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
    let set = ["MASEP_LOG", "RUST_LOG"].into_iter().find_map(|name| {
        let value = std::env::var_os(name).filter(|value| !value.is_empty())?;
        Some((name, value))
    });
    let (filter, wrong) = match set {
        None => (EnvFilter::new("warn"), None),
        Some((name, value)) => match EnvFilter::try_new(value.to_string_lossy()) {
            Ok(filter) if value.to_str().is_some() => (filter, None),
            Ok(_) => (
                EnvFilter::new("warn"),
                Some((name, "it is no text in UTF-8".to_owned())),
            ),
            Err(error) => (EnvFilter::new("warn"), Some((name, error.to_string()))),
        },
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
    if let Some((name, error)) = wrong {
        tracing::warn!(%error, "the log filter in {name} is not understood: warnings and errors are logged");
    }
}
