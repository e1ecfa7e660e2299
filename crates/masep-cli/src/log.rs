//! The log: on standard error, so that standard output stays for results.

use std::io::{self, IsTerminal};

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// The form of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines for people
    #[default]
    Text,
    /// An object of JSON a line: timestamp, level, target, fields, span, spans
    Json,
}

/// The fault of a filter that would have nothing logged: a word that is no level is taken for the name of a module.
const NO_LEVEL: &str =
    "there is no level in it (off, error, warn, info, debug, trace), and nothing of masep";

/// True if a filter says what masep logs.
fn is_about_masep(filter: &str) -> bool {
    filter.split(',').any(|directive| {
        let target = directive
            .split(['=', '['])
            .next()
            .unwrap_or_default()
            .trim();
        target.is_empty() || target.starts_with("masep") || target.parse::<LevelFilter>().is_ok()
    })
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
            Ok(filter) if value.to_str().is_some_and(is_about_masep) => (filter, None),
            // The other variable is for other programs too.
            Ok(filter) if value.to_str().is_some() && name == "RUST_LOG" => (filter, None),
            Ok(_) if value.to_str().is_some() => (
                EnvFilter::new(format!("warn,{}", value.to_string_lossy())),
                Some((name, NO_LEVEL.to_owned())),
            ),
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
