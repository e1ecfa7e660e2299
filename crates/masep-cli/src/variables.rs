//! Options as environment variables, by one rule for all verbs.

use clap::builder::BoolishValueParser;
use clap::{Arg, ArgAction, Command};

/// Variables that mean something else than an option of their name would.
const RESERVED: [&str; 3] = ["MASEP_ADDRESS", "MASEP_LOG", "MASEP_TOKEN"];

/// The rule, for people.
pub(crate) const RULE: &str = "
  MASEP_...      each option, its name in capitals and with _ for -: MASEP_MAX_CONNECTIONS=10 is
                 --max-connections 10, and MASEP_JSON=true is --json. An option on the command
                 line counts more. An empty variable counts as none.";

/// The variable of an option, if it has one.
fn variable(arg: &Arg) -> Option<String> {
    if matches!(
        arg.get_action(),
        ArgAction::Help | ArgAction::HelpShort | ArgAction::HelpLong | ArgAction::Version
    ) {
        return None;
    }
    let name = arg.get_long()?.to_uppercase().replace('-', "_");
    let name = format!("MASEP_{name}");
    (!RESERVED.contains(&&*name)).then_some(name)
}

/// A command line of which each option that is not there is taken from its variable, where `is_set` says that there is
/// one.
pub(crate) fn with_variables(command: Command, is_set: fn(&str) -> bool) -> Command {
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

/// True if there is such a variable, and not an empty one.
pub(crate) fn is_set(name: &str) -> bool {
    std::env::var_os(name).is_some_and(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_follows_from_the_option() {
        let name = |arg: Arg| variable(&arg);
        let option = Arg::new("x").long("max-connections");
        assert_eq!(name(option).as_deref(), Some("MASEP_MAX_CONNECTIONS"));
        assert_eq!(name(Arg::new("address").long("address")), None);
        assert_eq!(name(Arg::new("positional")), None);
    }
}
