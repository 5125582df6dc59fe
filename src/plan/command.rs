//! What a container executes, and where.

use std::path::PathBuf;

use super::env::Vars;
use super::expand::expand;
use super::scope::Subject;
use crate::error::Result;

/// The argument vector: `command` replaces the image's Entrypoint and its Cmd, `args` alone replaces the Cmd.
///
/// Source: "Define a Command and Arguments for a Container" in the Kubernetes documentation. An empty list counts as
/// not written, as it does for the kubelet.
pub(super) fn arguments(subject: &Subject, vars: &Vars) -> Result<Vec<String>> {
    let expanded = |list: &Option<Vec<String>>| -> Option<Vec<String>> {
        let list = list.as_ref().filter(|list| !list.is_empty())?;
        Some(list.iter().map(|arg| expand(arg, |name| vars.get(name))).collect())
    };
    let config = subject.config();
    let entrypoint = || config.and_then(|c| c.entrypoint().clone()).unwrap_or_default();
    let cmd = || config.and_then(|c| c.cmd().clone()).unwrap_or_default();
    let (mut argv, rest) = match (expanded(&subject.container.command), expanded(&subject.container.args)) {
        (Some(command), Some(args)) => (command, args),
        (Some(command), None) => (command, Vec::new()),
        (None, Some(args)) => (entrypoint(), args),
        (None, None) => (entrypoint(), cmd()),
    };
    argv.extend(rest);
    if argv.is_empty() {
        let why = format!(
            "container {:?} says no command, and its image {:?} has neither Entrypoint nor Cmd",
            subject.container.name, subject.image.reference
        );
        return Err(subject.error("command", why).mend("write `command: [...]`"));
    }
    if let Some(arg) = argv.iter().find(|arg| arg.contains('\0')) {
        return Err(subject.error("command", format!("argument {arg:?} contains a NUL byte, which ends a string")));
    }
    Ok(argv)
}

/// The working directory: `workingDir`, else the image's, else `/`.
pub(super) fn working_dir(subject: &Subject) -> Result<PathBuf> {
    if let Some(said) = subject.container.working_dir.as_deref().filter(|dir| !dir.is_empty()) {
        if !said.starts_with('/') {
            return Err(subject.error("workingDir", format!("{said:?} is not an absolute path")));
        }
        return Ok(PathBuf::from(said));
    }
    let image = subject.config().and_then(|c| c.working_dir().as_deref()).unwrap_or_default();
    Ok(PathBuf::from("/").join(image))
}
