//! The command line: which verbs there are and what every one of them shares.

use clap::{Arg, Command, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::error::Error;
use crate::log::LogFormat;
use crate::output::{Elements, set_elements};
use crate::status::{self, Status};
use crate::variables::{self, RULE};
use crate::{cert, check, decode, demo, discover, encode, join, proxy, serve, tap, token};

const ABOUT: &str = "Messages between a game engine and its players, agents and observers";

const LONG_ABOUT: &str = "\
Messages between a game engine and its players, agents and observers.

masep speaks the protocol of the Python library pymasep 0.2, byte for byte: whatever it says, an \
unmodified pymasep program on the other side understands. Everything goes in and out as lines of \
text, JSON or hexadecimal digits, so that it works in a pipe and with any language.

When the reader of standard output is gone, serve, join and tap end as at a signal, and proxy goes on without lines. \
The others end; that alone is no failure, but for token new, whose token nobody has then.

Start with `masep VERB --help`: each verb has an example there.";

const ENVIRONMENT: &str = "
  MASEP_ADDRESS  the address to use where none is given, or no --to of tap and proxy: HOST:PORT,
                 masep+tls://HOST:PORT, unix:///PATH
  MASEP_TOKEN    the access token, or the line of masep token new, where no --token-file is given
  MASEP_LOG      what is logged to standard error: warn (the default), info, debug, trace, or a
                 filter such as masep=debug,warn; RUST_LOG is read if it is not set
  NO_COLOR       set to anything: no colors";

/// The heading of the options that each verb has.
const ALL_VERBS: &str = "Of all verbs";

fn environment_and_exit_codes() -> String {
    format!("Environment:{RULE}{ENVIRONMENT}\n\n{}", status::help())
}

/// The program's arguments.
#[derive(Debug, Parser)]
#[command(
    name = "masep",
    version,
    about = ABOUT,
    long_about = LONG_ABOUT,
    after_help = status::help(),
    after_long_help = environment_and_exit_codes(),
    arg_required_else_help = true,
    subcommand_value_name = "VERB",
    subcommand_help_heading = "Verbs",
    max_term_width = 100
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    verb: Verb,

    /// The form of elements in lines of JSON that are written; both are read
    #[arg(long, global = true, value_name = "FORM", value_enum, default_value_t, help_heading = ALL_VERBS)]
    elements: Elements,

    /// The form of the log on standard error
    #[arg(long, global = true, value_name = "FORM", value_enum, default_value_t, help_heading = ALL_VERBS)]
    log_format: LogFormat,
}

#[derive(Debug, Subcommand)]
enum Verb {
    #[command(aliases = ["listen", "host"])]
    Serve(serve::Serve),
    #[command(aliases = ["connect", "play"])]
    Join(join::Join),
    #[command(aliases = ["find", "scout"])]
    Discover(discover::Discover),
    Tap(tap::Tap),
    Proxy(Box<proxy::Proxy>),
    Cert(cert::Cert),
    Token(token::TokenVerb),
    Check(check::Check),
    Encode(encode::Encode),
    Decode(decode::Decode),
    Demo(demo::Demo),
}

impl Cli {
    /// The options of the command line and the environment; ends the program if they make no sense.
    pub(crate) fn from_command_line() -> Self {
        let command = with_signs(with_units(Self::command()));
        let mut command = variables::with_variables(command, variables::is_set);
        let arguments: Vec<_> = std::env::args_os().collect();
        let matches = command.try_get_matches_from_mut(&arguments);
        let matches = matches.unwrap_or_else(|error| {
            variables::with_sources(error, &command, &arguments, variables::is_set).exit()
        });
        variables::note_given(&matches);
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }

    pub(crate) const fn log_format(&self) -> LogFormat {
        self.log_format
    }

    /// Does what was asked for.
    pub(crate) fn run(self) -> Result<Status, Error> {
        set_elements(self.elements);
        match self.verb {
            Verb::Serve(serve) => serve.run(),
            Verb::Join(join) => join.run(),
            Verb::Discover(discover) => discover.run(),
            Verb::Tap(tap) => tap.run(),
            Verb::Proxy(proxy) => proxy.run(),
            Verb::Cert(cert) => cert.run(),
            Verb::Token(token) => token.run(),
            Verb::Check(check) => check.run(),
            Verb::Encode(encode) => encode.run(),
            Verb::Decode(decode) => decode.run(),
            Verb::Demo(demo) => demo.run(),
        }
    }
}

/// The command line, as it is without variables.
pub(crate) fn command() -> Command {
    Cli::command()
}

/// The values that options have, for people.
const UNITS: [(&str, &str); 3] = [
    ("TIME", "a number with its unit: 500ms, 2s, 1m, 1h 30m, 30d"),
    ("BYTES", "a number of bytes: 1048576"),
    (
        "CLASS",
        "the name of a Python class with its module: pkg.mod.Class",
    ),
];

/// The names of the values that an option takes.
fn value_names(arg: &Arg) -> Vec<String> {
    let names = arg
        .get_value_names()
        .filter(|_| arg.get_action().takes_values());
    let names = names.unwrap_or_default().iter();
    names.map(ToString::to_string).collect()
}

/// Options whose values may begin with a minus sign: so a negative time is an error of its option, and not of one that is not
/// there, and an action may be -1.
fn with_signs(command: Command) -> Command {
    let may_be_negative = |arg: &Arg| {
        let is_number = |name: &String| ["TIME", "BYTES", "N", "VALUE"].contains(&&**name);
        arg.get_long().is_some() && value_names(arg).iter().any(is_number)
    };
    let with_sign = move |arg: Arg| {
        let may = may_be_negative(&arg);
        if may {
            arg.allow_hyphen_values(true)
        } else {
            arg
        }
    };
    command.mut_args(with_sign).mut_subcommands(with_signs)
}

/// Verbs that say which values their options have, once for all of them.
fn with_units(command: Command) -> Command {
    command.mut_subcommands(|verb| {
        let used: Vec<_> = verb.get_arguments().flat_map(value_names).collect();
        let used = UNITS
            .iter()
            .filter(|(name, _)| used.iter().any(|it| it == name));
        let lines: Vec<_> = used
            .map(|(name, unit)| format!("  {name:<6} {unit}"))
            .collect();
        let help = verb.get_after_long_help().map(ToString::to_string);
        match (lines.is_empty(), help) {
            (true, _) => verb,
            (false, help) => {
                let help = help.unwrap_or_default();
                verb.after_long_help(format!("Values:\n{}\n\n{help}", lines.join("\n")))
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
        variables::with_variables(Cli::command(), |_| true).debug_assert();
    }

    #[test]
    fn the_words_of_other_programs_name_a_verb_too() {
        for (word, verb) in [
            ("listen", "serve"),
            ("host", "serve"),
            ("connect", "join"),
            ("play", "join"),
            ("find", "discover"),
            ("scout", "discover"),
        ] {
            let matches = Cli::command().try_get_matches_from(["masep", word]);
            assert_eq!(matches.unwrap().subcommand_name(), Some(verb), "{word}");
        }
    }

    #[test]
    fn each_verb_has_an_example_and_says_what_its_values_are() {
        let all = with_units(Cli::command());
        let inner = all.get_subcommands().flat_map(Command::get_subcommands);
        for verb in all.get_subcommands().chain(inner) {
            let help = verb.get_after_long_help().map(ToString::to_string);
            let help = help.unwrap_or_default();
            assert!(help.contains("  $ "), "{}: {help}", verb.get_name());
        }
        let serve = all.find_subcommand("serve").unwrap();
        let help = serve.get_after_long_help().unwrap().to_string();
        for part in ["  TIME ", "500ms", "  BYTES ", "  CLASS "] {
            assert!(help.contains(part), "{part}: {help}");
        }
    }

    /// A longer line is wrapped, and stands in columns no more.
    #[test]
    fn the_tables_in_help_texts_are_as_wide_as_they_are_shown() {
        let all = Cli::command();
        for verb in all.get_subcommands().chain([&all]) {
            let texts = [verb.get_long_about(), verb.get_after_long_help()];
            for text in texts.into_iter().flatten().map(ToString::to_string) {
                for line in text.lines().filter(|line| line.starts_with("  ")) {
                    assert!(line.chars().count() <= 100, "{}: {line}", verb.get_name());
                }
            }
        }
    }
}
