//! Options as environment variables, by one rule for all verbs.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::sync::OnceLock;

use clap::builder::{BoolishValueParser, StyledStr};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};
use strsim::osa_distance;

/// Variables that mean something else than an option of their name would.
const RESERVED: [&str; 3] = ["MASEP_ADDRESS", "MASEP_LOG", "MASEP_TOKEN"];

/// Verbs of which no option is a variable: what they make stays, and a variable that is meant for another verb would change it.
const WITHOUT: [&str; 2] = ["cert", "token"];

/// The options that stand on the command line, by their names in the code.
static GIVEN: OnceLock<BTreeSet<String>> = OnceLock::new();

/// Notes which options stand on the command line.
pub(crate) fn note_given(matches: &ArgMatches) {
    let mut given = BTreeSet::new();
    let mut of_verb = Some(matches);
    while let Some(matches) = of_verb {
        let names = matches.ids().map(clap::Id::as_str);
        let is_given = |name: &&str| matches.value_source(name) == Some(ValueSource::CommandLine);
        given.extend(names.filter(is_given).map(str::to_owned));
        of_verb = matches.subcommand().map(|(_, matches)| matches);
    }
    let _ = GIVEN.set(given);
}

/// True if this option stands on the command line, and does not come from a variable.
pub(crate) fn is_given(name: &str) -> bool {
    GIVEN.get().is_some_and(|given| given.contains(name))
}

/// The rule, for people.
pub(crate) const RULE: &str = "
  MASEP_...      each option of each verb but cert and token, its name in capitals and with _ for
                 -: MASEP_MAX_CONNECTIONS=10 is --max-connections 10, MASEP_JSON=true is --json. An
                 option on the command line counts more. An empty variable counts as none.";

/// The variable of an option, if it has one.
fn variable(arg: &Arg) -> Option<String> {
    if matches!(
        arg.get_action(),
        ArgAction::Help | ArgAction::HelpShort | ArgAction::HelpLong | ArgAction::Version
    ) {
        return None;
    }
    variable_of(arg.get_long()?)
}

/// The variable of the option with this name.
fn variable_of(long: &str) -> Option<String> {
    let name = format!("MASEP_{}", long.to_uppercase().replace('-', "_"));
    (!RESERVED.contains(&&*name)).then_some(name)
}

/// A command line of which each option that is not there is taken from its variable, where `is_set` says that there is
/// one.
pub(crate) fn with_variables(command: Command, is_set: fn(&str) -> bool) -> Command {
    if WITHOUT.contains(&command.get_name()) {
        return command;
    }
    let with_variable = move |arg: Arg| match variable(&arg) {
        Some(name) if is_set(&name) => {
            let is_flag = matches!(arg.get_action(), ArgAction::SetTrue);
            let arg = if is_flag {
                arg.value_parser(BoolishValueParser::new())
            } else {
                arg
            };
            // One rule is said once, and not with each option.
            arg.env(name).hide_env(true)
        }
        _ => arg,
    };
    let with_variables = move |command| with_variables(command, is_set);
    command
        .mut_args(with_variable)
        .mut_subcommands(with_variables)
}

/// Warns of variables that were probably meant as options: without them a server may lack its tokens.
pub(crate) fn warn_of_misspelt() {
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let names: Vec<_> = names.filter(|name| name.starts_with("MASEP_")).collect();
    if names.is_empty() {
        return;
    }
    let names = names.iter().map(String::as_str);
    for (name, meant) in misspelt(&crate::cli::command(), names) {
        tracing::warn!("the variable {name} means nothing: is it {meant}?");
    }
}

/// The variables, of those with these names, that mean nothing and are one slip of the keyboard away from one that does, and that
/// one. Others may belong to other programs: an orchestrator has some for a service that is called masep.
pub(crate) fn misspelt<'a>(
    command: &Command,
    names: impl Iterator<Item = &'a str>,
) -> Vec<(&'a str, String)> {
    let mut known: BTreeSet<String> = RESERVED.iter().map(ToString::to_string).collect();
    let verbs = command.get_subcommands();
    let verbs = verbs.filter(|verb| !WITHOUT.contains(&verb.get_name()));
    known.extend(command.get_arguments().filter_map(variable));
    known.extend(verbs.flat_map(Command::get_arguments).filter_map(variable));
    names
        .filter(|name| name.starts_with("MASEP_") && !known.contains(*name))
        .filter_map(|name| {
            let meant = known.iter().find(|known| osa_distance(name, known) == 1)?;
            Some((name, meant.clone()))
        })
        .collect()
}

/// Adds to an error which variables it comes from: those who see it look at a command line that has nothing wrong in it.
pub(crate) fn with_sources(
    mut error: clap::Error,
    command: &Command,
    arguments: &[OsString],
    is_set: fn(&str) -> bool,
) -> clap::Error {
    let verbs = verbs(command, arguments);
    let verb = verbs.last().copied().unwrap_or(command);
    let has_variables = !verbs.iter().any(|verb| WITHOUT.contains(&verb.get_name()));
    let is_given = |long: &str| {
        let option = format!("--{long}");
        arguments.iter().any(|argument| {
            let argument = argument.to_string_lossy();
            argument
                .strip_prefix(&option)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
        })
    };
    let from = |long: &str| {
        variable_of(long).filter(|name| has_variables && is_set(name) && !is_given(long))
    };
    let tip = match (error.kind(), error.get(ContextKind::InvalidArg)) {
        (
            ErrorKind::InvalidValue | ErrorKind::ValueValidation,
            Some(ContextValue::String(option)),
        ) => {
            let long = option.trim_start_matches('-').split([' ', '=']).next();
            long.and_then(from)
                .map(|name| format!("that is the value of the variable {name}"))
        }
        (ErrorKind::InvalidUtf8, _) => {
            let options = verb.get_arguments().filter_map(Arg::get_long);
            let is_text = |name: &String| std::env::var(name).is_ok();
            let names: Vec<_> = options
                .filter_map(from)
                .filter(|name| !is_text(name))
                .collect();
            (!names.is_empty()).then(|| format!("look at the value of {}", names.join(", ")))
        }
        // Which one it was is not told.
        (ErrorKind::MissingRequiredArgument | ErrorKind::ArgumentConflict, _) => {
            let options = verb.get_arguments().filter_map(Arg::get_long);
            let names: Vec<_> = options.filter_map(from).collect();
            let are = match names.len() {
                1 => "this variable counts as an option",
                _ => "these variables count as options",
            };
            (!names.is_empty()).then(|| format!("{are}: {}", names.join(", ")))
        }
        _ => None,
    };
    let tips = [number(&error), tip].into_iter().flatten();
    let tips: Vec<_> = tips.map(StyledStr::from).collect();
    if !tips.is_empty() {
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(tips));
    }
    error
}

/// The form of a number, where a value is none: the parser of numbers speaks of digits alone.
fn number(error: &clap::Error) -> Option<String> {
    let Some(ContextValue::String(option)) = error.get(ContextKind::InvalidArg) else {
        return None;
    };
    let form = match option.split_once(' ')?.1 {
        "<N>" => "a whole number: 10",
        "<BYTES>" => "a number of bytes: 1048576",
        _ => return None,
    };
    (error.kind() == ErrorKind::ValueValidation).then(|| format!("the value is {form}"))
}

/// The verb of a command line, and the verb within that, if it has any. The value of an option may have the name of one.
fn verbs<'a>(command: &'a Command, arguments: &[OsString]) -> Vec<&'a Command> {
    let mut verbs = Vec::new();
    for argument in arguments {
        let within: &Command = verbs.last().copied().unwrap_or(command);
        verbs.extend(within.find_subcommand(&*argument.to_string_lossy()));
    }
    verbs
}

/// True if there is such a variable, and not an empty one.
pub(crate) fn is_set(name: &str) -> bool {
    std::env::var_os(name).is_some_and(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_one_slip_is_told_from_those_of_others() {
        let command = crate::cli::command();
        let meant = |name: &'static str| {
            let found = misspelt(&command, [name].into_iter());
            found.into_iter().next().map(|(_, meant)| meant)
        };
        for (name, other) in [
            ("MASEP_TOKNES", "MASEP_TOKENS"),
            ("MASEP_TLS_CRT", "MASEP_TLS_CERT"),
            ("MASEP_DEADLINES", "MASEP_DEADLINE"),
            ("MASEP_DEADLIME", "MASEP_DEADLINE"),
            ("MASEP_DEADLIN", "MASEP_DEADLINE"),
            ("MASEP_ADRESS", "MASEP_ADDRESS"),
        ] {
            assert_eq!(meant(name).as_deref(), Some(other), "{name}");
        }
        for name in [
            "MASEP_TOKENS",
            "MASEP_TOKEN",
            "MASEP_PORT",
            "MASEP_SERVICE_HOST",
            "MASEP_",
            "TOKNES",
        ] {
            assert_eq!(meant(name), None, "{name}");
        }
    }

    #[test]
    fn the_name_follows_from_the_option() {
        let name = |arg: Arg| variable(&arg);
        let option = Arg::new("x").long("max-connections");
        assert_eq!(name(option).as_deref(), Some("MASEP_MAX_CONNECTIONS"));
        assert_eq!(name(Arg::new("address").long("address")), None);
        assert_eq!(name(Arg::new("positional")), None);
    }
}
