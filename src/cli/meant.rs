//! What somebody meant who types the words of kubectl, docker or podman.

use clap::Command;
use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::manifest::nearest;

/// Words at the beginning of a command line, and what podling says for them. The longest row that fits is taken.
const KNOWN: &[(&[&str], &str)] = &[
    (&["apply"], "`podling up FILE` makes pods what files describe"),
    (&["build"], "podling builds no images; make one with buildah or docker, then `podling image load FILE`"),
    (&["compose", "down"], "`podling down FILE` stops and removes the pods that files describe"),
    (&["compose"], "`podling up FILE` makes pods what files describe"),
    (&["container", "ls"], "`podling ps` lists pods"),
    (&["container"], "podling's verbs take pods, and containers with -c, as `podling logs POD -c NAME` does"),
    (&["containers"], "`podling ps` lists pods"),
    (&["copy"], "`podling cp POD:PATH PATH` copies files"),
    (&["create"], "`podling up FILE` makes pods what files describe; `podling run -d FILE` starts new ones"),
    (&["delete"], "`podling down POD` stops and removes pods; `podling rm POD` removes what is kept of ended ones"),
    (&["diff"], "`podling plan FILE` prints what would be done"),
    (&["edit"], "edit the pod's file, then `podling up FILE` replaces what has changed"),
    (&["enter"], "`podling exec -it POD -- sh` opens a shell"),
    (&["get", "events"], "`podling events` shows what has happened"),
    (&["get"], "`podling ps` lists pods; `podling inspect POD` shows one"),
    (&["info"], "`podling system df` shows what podling keeps; `podling --version` its version"),
    (&["import"], "`podling image import TAR NAME` makes an image of a root file system"),
    (&["kube", "apply"], "`podling up FILE` makes pods what files describe"),
    (&["kube", "down"], "`podling down FILE` stops and removes the pods that files describe"),
    (&["kube", "generate"], "`podling inspect POD` shows the pod as a Kubernetes object"),
    (&["kube"], "`podling up FILE` makes pods what files describe"),
    (&["list"], "`podling ps` lists pods, `podling images` images"),
    (&["login"], "podling has no login of its own; it reads what podman login, docker login or skopeo login wrote"),
    (&["ls"], "`podling ps` lists pods, `podling images` images"),
    (&["play"], "`podling up FILE` makes pods what files describe"),
    (&["pod", "create"], "`podling run -d FILE` starts the pods that files describe"),
    (&["pod", "exists"], "`podling inspect POD` fails where there is no such pod"),
    (&["pod", "inspect"], "`podling inspect POD` shows one"),
    (&["pod", "kill"], "`podling kill POD` sends a signal"),
    (&["pod", "list"], "`podling ps` lists pods"),
    (&["pod", "logs"], "`podling logs POD` shows what its containers have written"),
    (&["pod", "ls"], "`podling ps` lists pods"),
    (&["pod", "prune"], "`podling rm --all` removes what is kept of ended pods"),
    (&["pod", "ps"], "`podling ps` lists pods"),
    (&["pod", "restart"], "`podling restart POD` stops pods and starts them anew"),
    (&["pod", "rm"], "`podling rm POD` removes what is kept of ended pods"),
    (&["pod", "start"], "`podling restart POD` starts an ended pod anew"),
    (&["pod", "stats"], "`podling top` shows what containers use"),
    (&["pod", "stop"], "`podling stop POD` stops pods"),
    (&["pod", "top"], "`podling top` shows what containers use"),
    (&["pod"], "podling's verbs are about pods already: `podling ps`, `podling stop POD` and so on"),
    (&["pods"], "`podling ps` lists pods"),
    (&["port"], "podling publishes no ports; `podling port-forward POD LOCAL:REMOTE` leads into a pod"),
    (&["prune"], "`podling rm --all` removes what is kept of ended pods, `podling image prune` unused images"),
    (&["remove"], "`podling rm POD` removes what is kept of ended pods, `podling image rm IMAGE` images"),
    (&["replace"], "`podling up --force FILE` replaces pods"),
    (&["rollout"], "`podling restart POD` stops pods and starts them anew"),
    (&["sh"], "`podling exec -it POD -- sh` opens a shell"),
    (&["shell"], "`podling exec -it POD -- sh` opens a shell"),
    (&["show"], "`podling describe POD` tells about a pod"),
    (&["start"], "`podling restart POD` starts an ended pod anew; `podling up FILE` what files describe"),
    (&["stats"], "`podling top` shows what containers use"),
    (&["status"], "`podling ps` lists pods; `podling describe POD` tells about one"),
    (
        &["system", "prune"],
        "`podling rm --all` removes what is kept of ended pods, `podling image prune` unused images",
    ),
    (&["validate"], "`podling plan FILE` checks files and prints what would be done"),
    (&["version"], "`podling --version` prints it"),
];

/// Adds podling's own words to the refusal of a command line that begins with another tool's.
pub fn explain(mut error: clap::Error, root: &Command, words: &[String]) -> clap::Error {
    if error.kind() != ErrorKind::InvalidSubcommand {
        return error;
    }
    if let Some(tip) = tip(words) {
        // A word that merely looks like it would only lead astray.
        error.remove(ContextKind::SuggestedSubcommand);
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![StyledStr::from(tip)]));
    } else if error.get(ContextKind::SuggestedSubcommand).is_none()
        && let Some(verb) = swapped(root, words)
    {
        error.insert(ContextKind::SuggestedSubcommand, ContextValue::Strings(vec![verb.to_owned()]));
    }
    error
}

/// The verb that a word was meant to be which clap finds too unlike, since in a short one two swapped letters are much: `rnu`.
fn swapped<'a>(root: &'a Command, words: &[String]) -> Option<&'a str> {
    let mut command = root;
    for word in words {
        match command.find_subcommand(word) {
            Some(verb) => command = verb,
            None => return nearest(word, command.get_subcommands().map(Command::get_name)),
        }
    }
    None
}

fn tip(words: &[String]) -> Option<&'static str> {
    let fits = |row: &&(&[&str], &str)| row.0.iter().zip(words).filter(|(a, b)| *a == b).count() == row.0.len();
    KNOWN.iter().filter(fits).max_by_key(|row| row.0.len()).map(|row| row.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tip_for(line: &str) -> Option<&'static str> {
        tip(&line.split(' ').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn the_longest_row_that_fits_is_taken() {
        assert!(tip_for("kube play pod.yaml").unwrap().contains("podling up FILE"));
        assert!(tip_for("kube down pod.yaml").unwrap().contains("podling down FILE"));
        assert!(tip_for("pod ps").unwrap().contains("podling ps"));
        assert_eq!(tip_for("system"), None);
        assert_eq!(tip_for("frobnicate"), None);
    }

    #[test]
    fn two_swapped_letters_are_put_right() {
        let root = crate::cli::grammar();
        let meant =
            |line: &str| swapped(&root, &line.split(' ').map(str::to_owned).collect::<Vec<_>>()).map(str::to_owned);
        assert_eq!(meant("rnu pod.yaml").as_deref(), Some("run"));
        assert_eq!(meant("image sl").as_deref(), Some("ls"));
        assert_eq!(meant("frobnicate"), None);
    }

    /// A verb that is renamed or never comes must not be recommended for ever.
    #[test]
    fn what_is_recommended_exists() {
        let root = crate::cli::grammar();
        for (words, tip) in KNOWN {
            for line in tip.split('`').skip(1).step_by(2) {
                let verb = line.strip_prefix("podling ").and_then(|rest| rest.split(' ').next()).unwrap_or_default();
                let known = root.get_subcommands().any(|known| known.get_name() == verb)
                    || crate::cli::help::GROUPS.iter().any(|(_, names)| names.contains(&verb));
                assert!(known || verb == "--version", "{words:?}: {line:?}");
            }
            let first = words[0];
            let taken = root.get_subcommands().any(|verb| verb.get_name() == first);
            assert!(words.len() > 1 || !taken, "{first:?} is a verb now, and its row can go");
        }
    }
}
