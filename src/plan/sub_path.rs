//! What of its volume a container mounts: `subPath`, or `subPathExpr` with the container's variables.

use std::path::{Component, Path, PathBuf};

use k8s_openapi::api::core::v1::VolumeMount;

use super::scope::Subject;
use super::text::{Text, Vars};
use crate::error::Result;

/// A path below a volume, and whether a Secret's value is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SubPath {
    /// Relative, without `..`.
    pub path: PathBuf,
    pub secret: bool,
}

/// The part of the volume that `said`, the container's `field`, mounts; `None` for the whole of it.
///
/// # Errors
/// A path that is absolute or climbs, or that lacks a variable.
pub(super) fn sub_path(subject: &Subject, field: &str, said: &VolumeMount, vars: &Vars) -> Result<Option<SubPath>> {
    let written = |path: &Option<String>| path.clone().filter(|path| !path.is_empty());
    let (name, text) = match (written(&said.sub_path), written(&said.sub_path_expr)) {
        (None, None) => return Ok(None),
        (Some(path), None) => ("subPath", Text::plain(path)),
        (None, Some(expression)) => {
            let text = vars.expand_whole(&expression).map_err(|missing| {
                let field = format!("{field}.subPathExpr");
                subject.error(&field, format!("missing value for {}", missing.join(", ")))
            })?;
            ("subPathExpr", text)
        }
        (Some(_), Some(_)) => {
            return Err(
                subject.error(&format!("{field}.subPathExpr"), "subPathExpr and subPath are mutually exclusive")
            );
        }
    };
    if !text.late.is_empty() {
        let field = format!("{field}.subPathExpr");
        return Err(subject.error(&field, "a path cannot be made of a variable that comes from a file (fileKeyRef)"));
    }
    let shown = if text.secret { "it, with a Secret in it," } else { text.value.as_str() };
    let field = format!("{field}.{name}");
    let mut clean = PathBuf::new();
    for component in Path::new(&text.value).components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::CurDir => {}
            Component::ParentDir => return Err(subject.error(&field, format!("{shown:?} must not contain '..'"))),
            Component::RootDir | Component::Prefix(_) => {
                return Err(subject.error(&field, format!("{shown:?} must not be an absolute path")));
            }
        }
    }
    if text.value.contains('\0') {
        return Err(subject.error(&field, format!("{shown:?} has a NUL byte in it")));
    }
    let path = if clean.as_os_str().is_empty() { return Ok(None) } else { clean };
    Ok(Some(SubPath { path, secret: text.secret }))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::plan::fixture::Fixture;
    use crate::plan::{Sharing, render};

    fn fixture(mount: Value) -> Fixture {
        let env = json!([
            { "name": "POD", "value": "web" },
            { "name": "NONE", "value": "" },
            { "name": "UP", "value": ".." },
            { "name": "ROOT", "value": "/etc" },
            { "name": "HUSH", "valueFrom": { "secretKeyRef": { "name": "hush", "key": "k" } } },
        ]);
        let mut said = json!({ "name": "data", "mountPath": "/x" });
        said.as_object_mut().unwrap().extend(mount.as_object().unwrap().clone());
        let mut fixture = Fixture::container(json!({ "env": env, "volumeMounts": [said] }))
            .secret(json!({ "metadata": { "name": "hush" }, "data": { "k": "c2VjcmV0" } }))
            .config(json!({ "Cmd": ["sh"], "Env": ["IMAGE=image"] }));
        fixture.pod["spec"]["volumes"] = json!([{ "name": "data", "emptyDir": { "medium": "Memory" } }]);
        fixture
    }

    /// The word of the mount's options that names the path.
    fn word(fixture: &Fixture) -> Option<String> {
        let plan = fixture.plan().unwrap();
        let mounts = plan.containers[0].spec.mounts().clone().unwrap();
        let mount = mounts.iter().find(|mount| mount.destination() == std::path::Path::new("/x")).unwrap();
        mount.options().iter().flatten().find_map(|word| word.strip_prefix("X-mount.subdir=")).map(str::to_owned)
    }

    #[test]
    fn paths_are_cleaned_and_variables_replaced() {
        for (mount, expected) in [
            (json!({ "subPath": "a/./b/" }), Some("a/b")),
            (json!({ "subPath": "" }), None),
            (json!({ "subPath": "." }), None),
            (json!({ "subPath": "$(POD)" }), Some("$(POD)")),
            (json!({ "subPathExpr": "logs/$(POD)" }), Some("logs/web")),
            (json!({ "subPathExpr": "$$(POD)" }), Some("$(POD)")),
            (json!({ "subPathExpr": "..x" }), Some("..x")),
        ] {
            assert_eq!(word(&fixture(mount.clone())).as_deref(), expected, "{mount}");
        }
    }

    #[test]
    fn impossible_paths() {
        for (mount, expected) in [
            (json!({ "subPath": "../x" }), "subPath: \"../x\" must not contain '..'"),
            (json!({ "subPath": "/x" }), "subPath: \"/x\" must not be an absolute path"),
            (json!({ "subPath": "a\0b" }), "NUL"),
            (json!({ "subPathExpr": "$(UP)/x" }), "subPathExpr: \"../x\" must not contain '..'"),
            (json!({ "subPathExpr": "$(ROOT)" }), "subPathExpr: \"/etc\" must not be an absolute path"),
            (json!({ "subPathExpr": "$(NOPE)/$(NONE)" }), "subPathExpr: missing value for NOPE, NONE"),
            (json!({ "subPathExpr": "$(IMAGE)" }), "missing value for IMAGE"),
            (json!({ "subPath": "a", "subPathExpr": "b" }), "mutually exclusive"),
        ] {
            let refusal = fixture(mount).refusal();
            assert!(refusal.contains(expected) && refusal.contains("volumeMounts[0]"), "{refusal}");
        }
    }

    #[test]
    fn a_secret_in_a_path_is_not_shown() {
        let fixture = fixture(json!({ "subPathExpr": "of-$(HUSH)" }));
        assert_eq!(word(&fixture).as_deref(), Some("of-secret"));
        let shown = render(&fixture.plan().unwrap()).unwrap().to_string();
        assert!(!shown.contains("of-secret") && shown.contains("X-mount.subdir=<9 bytes with a Secret>"), "{shown}");
    }

    #[test]
    fn a_secret_in_the_name_of_a_directory_on_the_disk_is_told() {
        let template = json!({ "volumeClaimTemplate": { "spec": { "accessModes": ["ReadWriteOnce"] } } });
        for (volume, expected) in [
            (
                json!({ "persistentVolumeClaim": { "claimName": "c" } }),
                Some("the claim's local volume, which outlives"),
            ),
            (json!({ "hostPath": { "path": "/srv" } }), Some("of the host, which outlives")),
            (json!({ "ephemeral": template }), Some("on the disk until the pod ends")),
            (json!({ "emptyDir": {} }), None),
        ] {
            for (path, is_secret) in [("of-$(HUSH)", true), ("of-$(POD)", false)] {
                let mut fixture = fixture(json!({ "subPathExpr": path })).known_volume("c", Sharing::Pods);
                fixture.pod["spec"]["volumes"] = json!([volume]);
                fixture.pod["spec"]["volumes"][0]["name"] = json!("data");
                let report = fixture.plan().unwrap().report;
                let told = report.iter().find(|v| v.path == "spec.containers[0].volumeMounts[0].subPathExpr");
                assert_eq!(told.is_some(), expected.is_some() && is_secret, "{volume} {path}: {report:?}");
                assert!(
                    told.is_none_or(|v| v.how.contains(expected.unwrap()) && !v.how.contains("of-secret")),
                    "{told:?}"
                );
            }
        }
    }
}
