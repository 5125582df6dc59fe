//! The first page of help: the verbs in groups.

use std::fmt::Write;

use clap::Command;

/// The verbs as `podling --help` and podling(1) show them. A name whose verb is not there is passed over.
pub const GROUPS: &[(&str, &[&str])] = &[
    ("Pods", &["run", "up", "down", "stop", "restart", "kill", "rm", "wait", "check", "plan"]),
    ("Looking at pods", &["ps", "logs", "inspect", "describe", "events", "top"]),
    ("Getting into pods", &["exec", "attach", "cp", "port-forward", "debug"]),
    ("Images", &["pull", "push", "images", "tag", "history", "image"]),
    ("Volumes", &["volume"]),
    ("podling itself", &["system", "completion", "man", "help"]),
];

/// The visible verbs of each group, and those of no group at the end, so that none is ever hidden.
pub fn grouped(root: &Command) -> Vec<(&'static str, Vec<&Command>)> {
    let find = |name: &&str| root.get_subcommands().find(|verb| verb.get_name() == *name && !verb.is_hide_set());
    let mut groups: Vec<_> =
        GROUPS.iter().map(|(title, names)| (*title, names.iter().filter_map(find).collect::<Vec<_>>())).collect();
    let known = |verb: &&Command| GROUPS.iter().any(|(_, names)| names.contains(&verb.get_name()));
    let others = root.get_subcommands().filter(|verb| !verb.is_hide_set() && !known(verb)).collect();
    groups.push(("Others", others));
    groups.retain(|(_, verbs)| !verbs.is_empty());
    groups
}

/// Gives the command a first page with its verbs in groups: clap itself only makes one long list.
pub fn with_groups(root: Command) -> Command {
    let styles = root.get_styles();
    let (header, literal) = (*styles.get_header(), *styles.get_literal());
    let mut page = String::from("{about-with-newline}\n{usage-heading} {usage}\n");
    let width = root.get_subcommands().filter(|v| !v.is_hide_set()).map(|v| v.get_name().len()).max().unwrap_or(0);
    for (title, verbs) in grouped(&root) {
        let _ = write!(page, "\n{header}{title}:{header:#}\n");
        for verb in verbs {
            let about = verb.get_about().map(ToString::to_string).unwrap_or_default();
            let _ = writeln!(page, "  {literal}{:<width$}{literal:#}  {about}", verb.get_name());
        }
    }
    let _ = write!(page, "\n{header}Options:{header:#}\n{{options}}{{after-help}}");
    root.help_template(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_is_in_one_group() {
        let mut root = crate::cli::grammar();
        root.build();
        for verb in root.get_subcommands().filter(|verb| !verb.is_hide_set()) {
            let groups = GROUPS.iter().filter(|(_, names)| names.contains(&verb.get_name())).count();
            assert_eq!(groups, 1, "put {:?} into one of GROUPS", verb.get_name());
        }
        let help = root.render_help().to_string();
        for line in help.lines() {
            assert!(line.chars().count() <= 100, "too long for the first page: {line:?}");
        }
    }

    #[test]
    fn a_verb_of_no_group_is_shown_all_the_same() {
        let root = with_groups(Command::new("podling").subcommand(Command::new("strange").about("Do it")));
        let help = root.clone().render_help().to_string();
        assert!(help.contains("Others:\n  strange  Do it"), "{help}");
    }

    /// What a newcomer needs of each command: what it does in one line, what each argument is, and examples.
    #[test]
    fn every_command_has_a_line_described_arguments_and_examples() {
        let mut root = crate::cli::grammar();
        root.build();
        check(&root, "podling");
    }

    fn check(command: &Command, name: &str) {
        let about = command.get_about().unwrap_or_else(|| panic!("{name}: no line about it")).to_string();
        assert!(about.lines().count() == 1 && !about.ends_with('.'), "{name}: {about:?}");
        for argument in command.get_arguments() {
            let id = argument.get_id();
            let help = argument.get_help().unwrap_or_else(|| panic!("{name}: {id} is not described")).to_string();
            assert!(!help.is_empty() && !help.ends_with('.'), "{name}: {id}: {help:?}");
        }
        let verbs: Vec<_> =
            command.get_subcommands().filter(|verb| !verb.is_hide_set() && verb.get_name() != "help").collect();
        let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        assert!(after.contains("Examples:\n  "), "{name}: no examples");
        verbs.iter().for_each(|verb| check(verb, &format!("{name} {}", verb.get_name())));
    }
}
