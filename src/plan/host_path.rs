//! `hostPath` volumes: which path is meant, what must be there, and what it must not lead out of.

use std::borrow::Cow;
use std::path::{Component, Path, PathBuf};

use k8s_openapi::api::core::v1::{HostPathVolumeSource, Pod, Volume};

use super::scope::Scope;
use super::{Allow, HostPathKind, HostPathPlan, PolicyLevel, Verdict};
use crate::error::Result;
use crate::host::Caller;
use crate::manifest::{Objection, Said, Source};

/// The pod with every `hostPath` absolute, as a policy judges it; one that is relative to nothing stays as it is.
pub(super) fn absolute(pod: &Said<Pod>) -> Cow<'_, Pod> {
    let relative = |volume: &Volume| volume.host_path.as_ref().is_some_and(|host| !host.path.starts_with('/'));
    let volumes = pod.object.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    if !volumes.clone().any(relative) {
        return Cow::Borrowed(&pod.object);
    }
    let mut absolute = pod.object.clone();
    let volumes = absolute.spec.iter_mut().flat_map(|spec| spec.volumes.iter_mut().flatten());
    for host in volumes.filter_map(|volume| volume.host_path.as_mut()) {
        if let Some(path) = place(host, &pod.source).and_then(|path| path.to_str().map(str::to_owned)) {
            host.path = path;
        }
    }
    Cow::Owned(absolute)
}

/// What stands against the pod's `hostPath` volumes beside the policy.
pub(super) fn objections(pod: &Said<Pod>) -> Vec<Objection> {
    let volumes = pod.object.spec.iter().flat_map(|spec| spec.volumes.iter().flatten()).enumerate();
    let lost = volumes.filter_map(|(i, volume)| {
        let host = volume.host_path.as_ref().filter(|host| place(host, &pod.source).is_none())?;
        let why =
            format!("{:?} is relative to the YAML file, and what comes from standard input is in none", host.path);
        let mend = Some("write an absolute path".to_owned());
        Some(Objection { path: format!("spec.volumes[{i}].hostPath.path"), why, mend })
    });
    lost.collect()
}

/// What the volume at `at` is of the host. The policy allows it.
///
/// # Errors
/// A path that is relative to nothing.
pub(super) fn plan(
    scope: &Scope,
    at: &str,
    said: &HostPathVolumeSource,
    report: &mut Vec<Verdict>,
) -> Result<HostPathPlan> {
    let path = place(said, &scope.said.source)
        .ok_or_else(|| scope.error(&format!("{at}.path"), format!("{:?} is relative to nothing", said.path)))?;
    if Path::new(&said.path).is_relative() {
        let how = format!("is relative, so it is meant beside the YAML file: {}", path.display());
        report.push(scope.verdict(format!("{at}.path"), how));
    }
    if scope.host.caller == Caller::Root {
        let how = "its files belong to users of the host, none of whom is in a pod of root's: all of them appear as nobody's, \
                   and the pod may do with them what others may";
        report.push(scope.verdict(at, how));
    }
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
    let options = scope.options;
    let anywhere = options.policy == Some(PolicyLevel::Privileged) || options.allow.contains(&Allow::HostPath(None));
    // Of several directories the innermost confines the most.
    let allowed = options.allow.iter().filter_map(|allow| match allow {
        Allow::HostPath(Some(directory)) if !anywhere && path.starts_with(directory) => Some(directory),
        _ => None,
    });
    match allowed.max_by_key(|directory| directory.components().count()) {
        None if anywhere => Ok(HostPathPlan { beneath: None, path, kind }),
        None => Err(scope.error(at, "is not allowed").mend(format!("--allow hostPath={} does", path.display()))),
        Some(directory) => {
            let below = path.strip_prefix(directory).unwrap_or(&path);
            let below = if below.as_os_str().is_empty() { Path::new(".") } else { below };
            Ok(HostPathPlan { beneath: Some(directory.clone()), path: below.to_owned(), kind })
        }
    }
}

/// The absolute path that `said` means, where it can be told: a relative one begins at the directory of the YAML file.
fn place(said: &HostPathVolumeSource, source: &Source) -> Option<PathBuf> {
    let path = Path::new(&said.path);
    let base = if path.is_absolute() { Path::new("/") } else { source.file_path().and_then(Path::parent)? };
    Some(joined(base, path))
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
        fixture.options.policy = None;
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
        for (dir, path) in [("/srv", "/srvx"), ("/srv/a", "/srv")] {
            let refusal = fixture(&[&format!("hostPath={dir}")], json!({ "path": path })).refusal();
            assert!(refusal.contains("spec.volumes[0].hostPath: "), "{refusal}");
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
        let mut beside = fixture(&["hostPath=/srv/app"], json!({ "path": "./data" }));
        beside.file = Some(PathBuf::from("/srv/app/pod.yaml"));
        let plan = planned(&beside);
        assert_eq!((plan.beneath.as_deref(), plan.path.as_path()), (Some(Path::new("/srv/app")), Path::new("data")));
        let report = beside.plan().unwrap().report;
        assert!(report.iter().any(|v| v.path == "spec.volumes[0].hostPath.path" && v.how.contains("/srv/app/data")));
    }

    #[test]
    fn a_pod_of_root_is_told_whose_the_files_are() {
        let mut fixture = fixture(&["hostPath"], json!({ "path": "/x" }));
        assert!(fixture.plan().unwrap().report.is_empty());
        fixture.host.caller = Caller::Root;
        assert_eq!(fixture.plan().unwrap().report[0].path, "spec.volumes[0].hostPath");
    }
}
