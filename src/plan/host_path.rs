//! `hostPath` volumes: whether the user allowed them, and what must be there.

use std::path::{Component, Path, PathBuf};

use k8s_openapi::api::core::v1::{HostPathVolumeSource, Pod, PodSpec};

use super::scope::{Scope, cleaned};
use super::{Allow, HostPathKind, HostPathPlan, Options, PolicyLevel, Verdict};
use crate::error::Result;
use crate::host::Caller;
use crate::manifest::{Objection, Said, Source};

/// What stands against the pod's `hostPath` volumes.
pub(super) fn objections(pod: &Said<Pod>, spec: &PodSpec, options: &Options) -> Vec<Objection> {
    let volumes = spec.volumes.iter().flatten().enumerate();
    let said = volumes.filter_map(|(i, volume)| Some((i, volume.host_path.as_ref()?)));
    said.filter_map(|(i, said)| decide(&format!("spec.volumes[{i}].hostPath"), said, &pod.source, options).err())
        .collect()
}

/// What the volume at `at` is of the host.
///
/// # Errors
/// As [`objections`].
pub(super) fn plan(
    scope: &Scope,
    at: &str,
    said: &HostPathVolumeSource,
    report: &mut Vec<Verdict>,
) -> Result<HostPathPlan> {
    let plan = decide(at, said, &scope.said.source, scope.options).map_err(|objection| {
        let error = scope.error(&objection.path, objection.why);
        match objection.mend {
            Some(mend) => error.mend(mend),
            None => error,
        }
    })?;
    if Path::new(&said.path).is_relative() {
        let shown = plan.beneath.clone().unwrap_or_default().join(&plan.path);
        let how = format!("is relative, so it is meant beside the YAML file: {}", shown.display());
        report.push(scope.verdict(format!("{at}.path"), how));
    }
    if scope.host.caller == Caller::Root {
        let how = "its files belong to users of the host, none of whom is in a pod of root's: all of them appear as nobody's, \
                   and the pod may do with them what others may";
        report.push(scope.verdict(at, how));
    }
    Ok(plan)
}

fn decide(
    at: &str,
    said: &HostPathVolumeSource,
    source: &Source,
    options: &Options,
) -> std::result::Result<HostPathPlan, Objection> {
    let objection =
        |field: &str, why: String, mend: String| Objection { path: format!("{at}{field}"), why, mend: Some(mend) };
    let path = if Path::new(&said.path).is_absolute() {
        cleaned(&said.path)
    } else {
        let Some(directory) = source.file_path().and_then(Path::parent) else {
            let why =
                format!("{:?} is relative to the YAML file, and what comes from standard input is in none", said.path);
            return Err(objection(".path", why, "write an absolute path".to_owned()));
        };
        joined(directory, Path::new(&said.path))
    };
    let kind = match said.type_.as_deref() {
        Some("DirectoryOrCreate") => HostPathKind::DirectoryOrCreate,
        Some("Directory") => HostPathKind::Directory,
        Some("FileOrCreate") => HostPathKind::FileOrCreate,
        Some("File") => HostPathKind::File,
        Some("Socket") => HostPathKind::Socket,
        Some("CharDevice") => HostPathKind::CharDevice,
        Some("BlockDevice") => HostPathKind::BlockDevice,
        _ => HostPathKind::Any,
    };
    let anywhere = options.policy == Some(PolicyLevel::Privileged) || options.allow.contains(&Allow::HostPath(None));
    if anywhere {
        return Ok(HostPathPlan { beneath: None, path, kind });
    }
    let allowed: Vec<PathBuf> = options
        .allow
        .iter()
        .filter_map(|allow| match allow {
            Allow::HostPath(Some(directory)) => Some(joined(Path::new("/"), directory)),
            _ => None,
        })
        .collect();
    // The innermost one confines the most.
    let inside = allowed.iter().filter(|directory| path.starts_with(directory)).max_by_key(|d| d.components().count());
    if let Some(directory) = inside {
        let below = path.strip_prefix(directory).unwrap_or(&path);
        let below = if below.as_os_str().is_empty() { Path::new(".") } else { below };
        return Ok(HostPathPlan { beneath: Some(directory.clone()), path: below.to_owned(), kind });
    }
    let mend = format!("allow it with --allow hostPath={}, or any path with --allow hostPath", path.display());
    Err(match allowed.as_slice() {
        [] => objection("", "gives the pod files of this host, which the policy forbids".to_owned(), mend),
        directories => {
            let named: Vec<String> = directories.iter().map(|directory| directory.display().to_string()).collect();
            let why = format!("{} is not below {}, which --allow hostPath names", path.display(), named.join(" or "));
            objection(".path", why, mend)
        }
    })
}

/// `path` from `directory` on, without `.`; `..` is refused when the input is checked.
fn joined(directory: &Path, path: &Path) -> PathBuf {
    let names = path.components().filter(|component| !matches!(component, Component::CurDir));
    directory.join(names.collect::<PathBuf>())
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use serde_json::{Value, json};

    use crate::host::Caller;
    use crate::plan::fixture::Fixture;
    use crate::plan::{HostPathKind, HostPathPlan, PolicyLevel, VolumeSource};

    fn fixture(allow: &[&str], said: Value) -> Fixture {
        let mut fixture = Fixture::container(json!({}));
        fixture.pod["spec"]["volumes"] = json!([{ "name": "v", "hostPath": said }]);
        fixture.options.allow = allow.iter().map(|text| text.parse().unwrap()).collect();
        fixture
    }

    fn planned(fixture: &Fixture) -> HostPathPlan {
        match fixture.plan().unwrap().volumes.pop().unwrap().source {
            VolumeSource::HostPath(plan) => plan,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn nothing_of_the_host_without_leave() {
        let refusal = fixture(&[], json!({ "path": "/srv/x" })).refusal();
        assert!(
            refusal.contains("spec.volumes[0].hostPath: ") && refusal.contains("--allow hostPath=/srv/x"),
            "{refusal}"
        );
        for (dir, path) in [("/srv", "/srvx"), ("/srv/a", "/srv"), ("/srv", "/etc/../srv2")] {
            let refusal = fixture(&[&format!("hostPath={dir}")], json!({ "path": path })).refusal();
            assert!(refusal.contains("hostPath.path: ") && refusal.contains(&format!("not below {dir}")), "{refusal}");
        }
        let mut privileged = fixture(&[], json!({ "path": "/srv" }));
        privileged.options.policy = Some(PolicyLevel::Privileged);
        assert_eq!(planned(&privileged).path, PathBuf::from("/srv"));
        privileged.options.policy = Some(PolicyLevel::Baseline);
        assert!(privileged.plan().is_err());
    }

    #[test]
    fn the_innermost_directory_confines() {
        let plan = planned(&fixture(&["hostPath=/srv", "hostPath=/srv/./a/"], json!({ "path": "/srv/a/./b/" })));
        assert_eq!((plan.beneath.as_deref(), plan.path.as_path()), (Some(Path::new("/srv/a")), Path::new("b")));
        let whole = planned(&fixture(&["hostPath=/srv"], json!({ "path": "/srv" })));
        assert_eq!((whole.beneath.as_deref(), whole.path.as_path()), (Some(Path::new("/srv")), Path::new(".")));
        assert_eq!(planned(&fixture(&["hostPath=/srv", "hostPath"], json!({ "path": "/etc" }))).beneath, None);
    }

    #[test]
    fn types() {
        for (name, kind) in [
            ("", HostPathKind::Any),
            ("DirectoryOrCreate", HostPathKind::DirectoryOrCreate),
            ("Directory", HostPathKind::Directory),
            ("FileOrCreate", HostPathKind::FileOrCreate),
            ("File", HostPathKind::File),
            ("Socket", HostPathKind::Socket),
            ("CharDevice", HostPathKind::CharDevice),
            ("BlockDevice", HostPathKind::BlockDevice),
        ] {
            assert_eq!(planned(&fixture(&["hostPath"], json!({ "path": "/x", "type": name }))).kind, kind, "{name}");
        }
    }

    #[test]
    fn a_relative_path_needs_a_file_to_be_beside() {
        let refusal = fixture(&["hostPath"], json!({ "path": "data" })).refusal();
        assert!(refusal.contains("standard input") && refusal.contains("absolute"), "{refusal}");
        let mut beside = fixture(&["hostPath=/work/app"], json!({ "path": "./data" }));
        beside.file = Some(PathBuf::from("/work/app/pod.yaml"));
        let plan = planned(&beside);
        assert_eq!((plan.beneath.as_deref(), plan.path.as_path()), (Some(Path::new("/work/app")), Path::new("data")));
        let report = beside.plan().unwrap().report;
        assert!(report.iter().any(|v| v.path == "spec.volumes[0].hostPath.path" && v.how.contains("/work/app/data")));
    }

    #[test]
    fn a_pod_of_root_is_told_whose_the_files_are() {
        let mut fixture = fixture(&["hostPath"], json!({ "path": "/x" }));
        assert!(fixture.plan().unwrap().report.is_empty());
        fixture.host.caller = Caller::Root;
        assert_eq!(fixture.plan().unwrap().report[0].path, "spec.volumes[0].hostPath");
    }
}
