//! Which containers' logs are shown, and of which run, as kubectl chooses.

use super::Args;
use crate::error::{Error, Result};
use crate::plan::Role;
use crate::pod::log::Source;
use crate::pod::status::{ContainerKind, ContainerState, ContainerSummary};

/// A container of the pod whose logs are shown.
#[derive(Debug, Clone)]
pub(super) struct Logged {
    /// Its name.
    pub(super) name: String,
    /// Init containers are marked where the containers are listed.
    pub(super) role: Role,
    /// Its restart count; `None` if it has never started.
    pub(super) run: Option<u32>,
}

impl Logged {
    pub(super) fn of(container: &ContainerSummary) -> Logged {
        let role = match container.kind {
            ContainerKind::Init => Role::Init,
            ContainerKind::Sidecar => Role::Sidecar,
            ContainerKind::Regular => Role::Regular,
            ContainerKind::Ephemeral => Role::Ephemeral,
        };
        let waits = matches!(&container.state, ContainerState::Waiting { .. });
        let never = waits && container.restarts == 0 && container.last_ended_at.is_none();
        Logged { name: container.name.clone(), role, run: (!never).then_some(container.restarts) }
    }
}

/// What is shown, and what is said about it before.
#[derive(Debug)]
pub(super) struct Chosen {
    pub(super) sources: Vec<Source>,
    pub(super) notes: Vec<String>,
}

/// Chooses among the pod's `containers`, which are in the order of the YAML; `default_container` is what the annotation
/// `kubectl.kubernetes.io/default-container` says.
///
/// # Errors
/// There is no such container or run.
pub(super) fn choose(args: &Args, containers: &[Logged], default_container: Option<&str>) -> Result<Chosen> {
    if args.all_containers {
        return choose_all(args, containers);
    }
    let find = |name: &str| containers.iter().find(|container| container.name == name);
    let mut notes = Vec::new();
    let container = match args.container.as_deref().or(args.inline_container.as_deref()) {
        Some(name) => find(name).ok_or_else(|| {
            Error::new(format!("pod {:?} has no container {name:?}", args.pod))
                .mend(format!("it has: {}", names(containers)))
        })?,
        None => match default_container.and_then(find) {
            Some(container) => container,
            None => {
                let first = containers.iter().find(|c| c.role == Role::Regular).or(containers.first());
                let first = first.ok_or_else(|| Error::new(format!("pod {:?} has no containers", args.pod)))?;
                if containers.len() > 1 {
                    notes.push(format!("Defaulted container {:?} out of: {}", first.name, names(containers)));
                }
                first
            }
        },
    };
    Ok(Chosen { sources: vec![args.source(container, args.run_of(container)?)], notes })
}

/// All containers that have what is asked for; an error only if none has.
fn choose_all(args: &Args, containers: &[Logged]) -> Result<Chosen> {
    let mut chosen = Chosen { sources: Vec::new(), notes: Vec::new() };
    let mut first_error = None;
    for container in containers {
        match args.run_of(container) {
            Ok(run) => chosen.sources.push(args.source(container, run)),
            Err(e) => {
                chosen.notes.push(format!("podling: {}", e.what()));
                first_error = first_error.or(Some(e));
            }
        }
    }
    match first_error {
        Some(e) if chosen.sources.is_empty() => Err(e),
        _ => Ok(chosen),
    }
}

/// The containers' names, as kubectl lists them: the regular ones first, the others marked.
fn names(containers: &[Logged]) -> String {
    let of = |role: Role, mark: &'static str| {
        let names = containers.iter().filter(move |container| container.role == role);
        names.map(move |container| format!("{}{mark}", container.name))
    };
    let init = containers.iter().filter(|container| matches!(container.role, Role::Init | Role::Sidecar));
    let init = init.map(|container| format!("{} (init)", container.name));
    of(Role::Regular, "").chain(init).chain(of(Role::Ephemeral, " (ephem)")).collect::<Vec<_>>().join(", ")
}

impl Args {
    /// The run to show of a container; fails where there is none.
    fn run_of(&self, container: &Logged) -> Result<u32> {
        let (pod, name) = (&self.pod, &container.name);
        match container.run {
            None if self.goes_on() => Ok(0),
            None => Err(Error::new(format!("container {name:?} of pod {pod:?} has not started yet"))
                .mend(format!("wait for it: podling logs -f {pod} -c {name}"))),
            Some(0) if self.previous => Err(Error::new(format!(
                "container {name:?} of pod {pod:?} has no previous run: it was never restarted"
            ))
            .mend(format!("see its only run: podling logs {pod} -c {name}"))),
            Some(run) => Ok(if self.previous { run - 1 } else { run }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::args;
    use super::*;

    fn containers() -> Vec<Logged> {
        let one = |name: &str, role, run| Logged { name: name.to_owned(), role, run };
        vec![
            one("setup", Role::Init, Some(0)),
            one("web", Role::Regular, Some(2)),
            one("proxy", Role::Regular, None),
            one("shell", Role::Ephemeral, Some(0)),
        ]
    }

    /// Containers with their runs, and what is said about the choice.
    type Choice = (Vec<(String, u32)>, Vec<String>);

    fn chosen(line: &str, default_container: Option<&str>) -> Result<Choice> {
        let chosen = choose(&args(line), &containers(), default_container)?;
        Ok((chosen.sources.into_iter().map(|s| (s.container, s.run)).collect(), chosen.notes))
    }

    #[test]
    fn the_container_is_chosen_as_kubectl_does() {
        let web = vec![("web".to_owned(), 2)];
        let note = "Defaulted container \"web\" out of: web, proxy, setup (init), shell (ephem)";
        assert_eq!(chosen("p", None).unwrap(), (web.clone(), vec![note.to_owned()]));
        assert_eq!(chosen("p -c web", None).unwrap(), (web.clone(), vec![]));
        assert_eq!(chosen("p web", Some("shell")).unwrap(), (web, vec![]));
        assert_eq!(chosen("p", Some("shell")).unwrap(), (vec![("shell".to_owned(), 0)], vec![]));
        assert_eq!(chosen("p", Some("gone")).unwrap().0, [("web".to_owned(), 2)]);
    }

    #[test]
    fn what_there_is_not_is_refused_with_what_there_is() {
        for (line, what, mend) in [
            ("p -c wep", "pod \"p\" has no container \"wep\"", "it has: web, proxy, setup (init), shell (ephem)"),
            ("p proxy", "container \"proxy\" of pod \"p\" has not started yet", "podling logs -f p -c proxy"),
            ("p -p proxy", "has not started yet", "podling logs"),
            ("p -p setup", "has no previous run: it was never restarted", "podling logs p -c setup"),
        ] {
            let error = chosen(line, None).unwrap_err();
            assert!(error.what().contains(what) && error.hint().unwrap().contains(mend), "{line}: {error}");
        }
    }

    #[test]
    fn runs_are_the_last_or_the_one_before() {
        assert_eq!(chosen("p -p web", None).unwrap().0, [("web".to_owned(), 1)]);
        assert_eq!(chosen("p -f proxy", None).unwrap().0, [("proxy".to_owned(), 0)]);
        let (all, notes) = chosen("p --all-containers", None).unwrap();
        assert_eq!(all, [("setup".to_owned(), 0), ("web".to_owned(), 2), ("shell".to_owned(), 0)]);
        assert_eq!(notes, ["podling: container \"proxy\" of pod \"p\" has not started yet"]);
        assert_eq!(chosen("p --all-containers -p", None).unwrap().0, [("web".to_owned(), 1)]);
    }
}
