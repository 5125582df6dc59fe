//! What a container executes, and where.

use std::path::PathBuf;

use super::expand::{MOST, TOO_LONG};
use super::scope::Subject;
use super::text::{Text, Vars};
use crate::error::Result;

/// The argument vector: `command` replaces the image's Entrypoint and its Cmd, `args` alone replaces the Cmd.
///
/// Source: "Define a Command and Arguments for a Container" in the Kubernetes documentation. An empty list counts as
/// not written, as it does for the kubelet.
pub(super) fn arguments(subject: &Subject, vars: &Vars) -> Result<Vec<Text>> {
    let expanded = |field: &str, list: &Option<Vec<String>>| -> Result<Option<Vec<Text>>> {
        let Some(list) = list.as_ref().filter(|list| !list.is_empty()) else { return Ok(None) };
        let (mut args, mut weight) = (Vec::new(), 0);
        for arg in list {
            let arg = vars.expand(arg).ok_or_else(|| subject.error(field, TOO_LONG))?;
            weight += arg.weight();
            if weight > MOST {
                return Err(subject.error(field, TOO_LONG));
            }
            args.push(arg);
        }
        Ok(Some(args))
    };
    let config = subject.config();
    let plain = |list: &Option<Vec<String>>| list.iter().flatten().map(Text::plain).collect::<Vec<_>>();
    let entrypoint = || config.map(|c| plain(c.entrypoint())).unwrap_or_default();
    let cmd = || config.map(|c| plain(c.cmd())).unwrap_or_default();
    let command = expanded("command", &subject.container.command)?;
    let (mut argv, rest) = match (command, expanded("args", &subject.container.args)?) {
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
    if let Some(i) = argv.iter().position(|arg| arg.value.contains('\0')) {
        return Err(subject.error("command", format!("argument {i} contains a NUL byte, which ends a string")));
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::plan::fixture::Fixture;

    #[test]
    fn command_and_args_beside_entrypoint_and_cmd() {
        for (image, said, expected) in [
            (json!({ "Entrypoint": ["e"], "Cmd": ["c"] }), json!({}), json!(["e", "c"])),
            (json!({ "Entrypoint": ["e"], "Cmd": ["c"] }), json!({ "command": ["x"] }), json!(["x"])),
            (json!({ "Entrypoint": ["e"], "Cmd": ["c"] }), json!({ "args": ["y"] }), json!(["e", "y"])),
            (
                json!({ "Entrypoint": ["e"], "Cmd": ["c"] }),
                json!({ "command": ["x"], "args": ["y"] }),
                json!(["x", "y"]),
            ),
            (json!({ "Cmd": ["c"] }), json!({ "args": ["y"] }), json!(["y"])),
            (json!({ "Entrypoint": ["e"], "Cmd": ["c"] }), json!({ "command": [], "args": [] }), json!(["e", "c"])),
            (json!({ "Cmd": ["$(A)"] }), json!({ "env": [{ "name": "A", "value": "1" }] }), json!(["$(A)"])),
            (
                json!({ "Env": ["B=image"] }),
                json!({ "env": [{ "name": "A", "value": "1" }], "command": ["$(A)", "$$(A)", "$(B)"] }),
                json!(["1", "$(A)", "$(B)"]),
            ),
        ] {
            let spec = Fixture::container(said.clone()).config(image).spec();
            assert_eq!(spec["process"]["args"], expected, "{said}");
        }
    }

    #[test]
    fn no_command_anywhere_names_the_container() {
        let refusal = Fixture::container(json!({})).config(json!({})).refusal();
        assert!(refusal.contains("container \"main\" says no command"), "{refusal}");
    }

    #[test]
    fn working_directory() {
        let cwd = |image: Value, said: Value| Fixture::container(said).config(image).spec()["process"]["cwd"].clone();
        assert_eq!(cwd(json!({ "Cmd": ["c"] }), json!({})), "/");
        assert_eq!(cwd(json!({ "Cmd": ["c"], "WorkingDir": "srv" }), json!({})), "/srv");
        assert_eq!(cwd(json!({ "Cmd": ["c"], "WorkingDir": "/srv" }), json!({ "workingDir": "/w" })), "/w");
        assert!(Fixture::container(json!({ "workingDir": "w" })).refusal().contains("not an absolute path"));
    }
}
