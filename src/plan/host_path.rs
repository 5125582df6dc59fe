//! `hostPath` volumes: which path is meant, what must be there, and what it must not lead out of.

use std::borrow::Cow;
use std::path::{Component, Path, PathBuf};

use k8s_openapi::api::core::v1::{HostPathVolumeSource, Pod, Volume};
use nix::errno::Errno;

use super::scope::Scope;
use super::{Allow, HostPathKind, HostPathPlan, Options, PolicyLevel, Verdict};
use crate::error::{Error, Result};
use crate::host::place::FileKind;
use crate::host::{Caller, Detail, HostFacts, Place};
use crate::manifest::{Bundle, Objection, Said, Source};
use crate::sys::SysError;

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

/// What stands against the pod's `hostPath` volumes beside the policy: a path that is relative to nothing, or what is not there, or is
/// something else, on this host.
pub(super) fn objections(pod: &Said<Pod>, bundle: &Bundle, host: &HostFacts, options: &Options) -> Vec<Objection> {
    let objection = |(i, said): (usize, &HostPathVolumeSource)| {
        let at = |field: &str| format!("spec.volumes[{i}].hostPath.{field}");
        if place(said, &pod.source).is_none() {
            let why =
                format!("{:?} is relative to the YAML file, and what comes from standard input is in none", said.path);
            return Some(Objection { path: at("path"), why, mend: Some("write an absolute path".to_owned()) });
        }
        let planned = allowed(said, &pod.source, options)?;
        let found = match host.details.places.get(&planned.place())? {
            Ok(found) => Ok(found.or_else(|| made(&planned.place().whole(), pod, i, bundle))),
            // The pod's root may look into directories of its other ids, where the caller may not.
            Err(e) if e.errno == Errno::EACCES => return None,
            Err(e) => Err(e.clone()),
        };
        let (field, error) = match found {
            Ok(None) if planned.kind == HostPathKind::FileOrCreate => {
                let parent = planned.parent();
                let is_lost = host.details.places.get(&parent) == Some(&Ok(None));
                let is_lost = is_lost && made(&parent.whole(), pod, i, bundle).is_none();
                ("path", is_lost.then(|| planned.lost())?)
            }
            Ok(found) => ("type", planned.fits(found).err()?),
            Err(e) => ("path", planned.explained(e)),
        };
        Some(Objection { path: at(field), why: error.what().to_owned(), mend: error.hint().map(str::to_owned) })
    };
    volumes(pod).filter_map(objection).collect()
}

/// What has to be known of the host for that.
pub(super) fn wanted(pod: &Said<Pod>, options: &Options) -> Vec<Detail> {
    let planned = volumes(pod).filter_map(|(_, said)| allowed(said, &pod.source, options));
    let places = planned.flat_map(|planned| {
        let parent = (planned.kind == HostPathKind::FileOrCreate).then(|| planned.parent());
        [planned.place()].into_iter().chain(parent)
    });
    places.map(Detail::Place).collect()
}

/// The pod's `hostPath` volumes with their places in the list.
fn volumes(pod: &Said<Pod>) -> impl Iterator<Item = (usize, &HostPathVolumeSource)> {
    let volumes = pod.object.spec.iter().flat_map(|spec| spec.volumes.iter().flatten()).enumerate();
    volumes.filter_map(|(i, volume)| Some((i, volume.host_path.as_ref()?)))
}

/// What another volume makes at the absolute `path` before the pod's volume number `before` is looked for: one of the pod's own above it,
/// or of the pods that are started before this one.
fn made(path: &Path, pod: &Said<Pod>, before: usize, bundle: &Bundle) -> Option<FileKind> {
    let by = |said: &HostPathVolumeSource, source: &Source| match (place(said, source)?, kind(said)) {
        (made, HostPathKind::Any | HostPathKind::DirectoryOrCreate) if made.starts_with(path) => {
            Some(FileKind::Directory)
        }
        (made, HostPathKind::FileOrCreate) if made == path => Some(FileKind::Regular),
        _ => None,
    };
    let own = volumes(pod).filter(|(i, _)| *i < before).find_map(|(_, said)| by(said, &pod.source));
    let earlier = || bundle.pods.iter().take_while(|other| !std::ptr::eq(*other, pod)).chain(&bundle.neighbours);
    own.or_else(|| earlier().find_map(|other| volumes(other).find_map(|(_, said)| by(said, &other.source))))
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
    let not_allowed = || scope.error(at, "is not allowed").mend(format!("--allow hostPath={} does", path.display()));
    allowed(said, &scope.said.source, scope.options).ok_or_else(not_allowed)
}

/// The volume as the options allow it; `None` where they do not, or its path is relative to nothing.
fn allowed(said: &HostPathVolumeSource, source: &Source, options: &Options) -> Option<HostPathPlan> {
    let (path, kind) = (place(said, source)?, kind(said));
    let anywhere = options.policy == Some(PolicyLevel::Privileged) || options.allow.contains(&Allow::HostPath(None));
    // Of several directories the innermost confines the most.
    let beneath = options.allow.iter().filter_map(|allow| match allow {
        Allow::HostPath(Some(directory)) if !anywhere && path.starts_with(directory) => Some(directory),
        _ => None,
    });
    match beneath.max_by_key(|directory| directory.components().count()) {
        None => anywhere.then_some(HostPathPlan { beneath: None, path, kind }),
        Some(directory) => {
            let below = path.strip_prefix(directory).unwrap_or(&path);
            let below = if below.as_os_str().is_empty() { Path::new(".") } else { below };
            Some(HostPathPlan { beneath: Some(directory.clone()), path: below.to_owned(), kind })
        }
    }
}

fn kind(said: &HostPathVolumeSource) -> HostPathKind {
    match said.type_.as_deref() {
        Some("DirectoryOrCreate") => HostPathKind::DirectoryOrCreate,
        Some("Directory") => HostPathKind::Directory,
        Some("FileOrCreate") => HostPathKind::FileOrCreate,
        Some("File") => HostPathKind::File,
        Some("Socket") => HostPathKind::Socket,
        Some("CharDevice") => HostPathKind::CharDevice,
        Some("BlockDevice") => HostPathKind::BlockDevice,
        _ => HostPathKind::Any,
    }
}

impl HostPathPlan {
    /// Whether what was `found` there, or nothing, is what the type asks for, or can be made.
    ///
    /// # Errors
    /// It is not, in the kubelet's words.
    pub fn fits(&self, found: Option<FileKind>) -> Result<()> {
        use HostPathKind as Kind;
        let (what, wanted) = match self.kind {
            Kind::Any => return Ok(()),
            Kind::DirectoryOrCreate | Kind::FileOrCreate if found.is_none() => return Ok(()),
            Kind::Directory | Kind::DirectoryOrCreate => ("directory", FileKind::Directory),
            Kind::File | Kind::FileOrCreate => ("file", FileKind::Regular),
            Kind::Socket => ("socket file", FileKind::Socket),
            Kind::CharDevice => ("character device", FileKind::CharDevice),
            Kind::BlockDevice => ("block device", FileKind::BlockDevice),
        };
        let is = match found {
            Some(found) if found == wanted => return Ok(()),
            None => "nothing is there",
            Some(FileKind::Directory) => "it is a directory",
            Some(FileKind::Regular) => "it is a file",
            Some(FileKind::Socket) => "it is a socket",
            Some(FileKind::CharDevice) => "it is a character device",
            Some(FileKind::BlockDevice) => "it is a block device",
            Some(FileKind::Fifo) => "it is a FIFO",
        };
        let mend = match (found, self.kind) {
            (Some(_), _) => "write the type of what is there, or another path",
            (None, Kind::Directory) => "make it first, or write DirectoryOrCreate, which makes it",
            (None, Kind::File) => "make it first, or write FileOrCreate, which makes it",
            (None, _) => "write the path of one that is there, or start first what makes it",
        };
        let shown = self.place().whole();
        Err(Error::new(format!("hostPath type check failed: {} is not a {what}; {is}", shown.display())).mend(mend))
    }

    /// Why nothing can be found there: what the kernel means by `error`.
    pub fn explained(&self, error: SysError) -> Error {
        match (error.errno, &self.beneath) {
            (Errno::EXDEV, Some(beneath)) => {
                let (shown, beneath) = (self.place().whole(), beneath.display());
                Error::new(format!("{} leads out of {beneath}: {error}", shown.display()))
                    .mend(format!("--allow hostPath={beneath} allows what is below that directory, links included"))
            }
            (Errno::EACCES, _) => {
                Error::from(error).mend("the pod has this user's own rights, without those of its supplementary groups")
            }
            _ => error.into(),
        }
    }

    /// A file cannot be made, as its directory is not there.
    fn lost(&self) -> Error {
        let parent = self.parent().whole();
        Error::new(format!("{} is not there, and FileOrCreate makes no directory", parent.display()))
            .mend("make it first, or let a volume of type DirectoryOrCreate above this one make it")
    }

    fn place(&self) -> Place {
        Place { beneath: self.beneath.clone(), path: self.path.clone() }
    }

    fn parent(&self) -> Place {
        let parent = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        Place { path: parent.unwrap_or(Path::new(".")).to_owned(), ..self.place() }
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

    use nix::errno::Errno;
    use serde_json::{Value, json};

    use crate::host::place::FileKind;
    use crate::host::{Caller, Place};
    use crate::plan::fixture::Fixture;
    use crate::plan::{HostPathKind, HostPathPlan, PolicyLevel, VolumeSource};
    use crate::sys::SysError;

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

    fn found(path: &str, found: Result<Option<FileKind>, Errno>) -> (Place, Result<Option<FileKind>, SysError>) {
        let found = found.map_err(|errno| SysError::new("open()", errno));
        (Place { beneath: None, path: PathBuf::from(path) }, found)
    }

    #[test]
    fn what_is_not_there_or_something_else_is_told_before_the_start() {
        use FileKind::*;
        for (kind, there, expected) in [
            ("Directory", Ok(None), "x is not a directory; nothing is there"),
            ("Directory", Ok(Some(Regular)), "x is not a directory; it is a file"),
            ("DirectoryOrCreate", Ok(Some(Fifo)), "x is not a directory; it is a FIFO"),
            ("File", Ok(None), "x is not a file; nothing is there"),
            ("FileOrCreate", Ok(Some(Directory)), "x is not a file; it is a directory"),
            ("Socket", Ok(None), "x is not a socket file; nothing is there"),
            ("CharDevice", Ok(Some(BlockDevice)), "x is not a character device; it is a block device"),
            ("BlockDevice", Ok(Some(Socket)), "x is not a block device; it is a socket"),
            ("", Err(Errno::ENOTDIR), "hostPath.path: open() = ENOTDIR"),
        ] {
            let mut fixture = fixture(&["hostPath"], json!({ "path": "/srv/x", "type": kind }));
            fixture.host.details.places = [found("/srv/x", there)].into();
            let refusal = fixture.refusal();
            assert!(refusal.contains("spec.volumes[0].hostPath.") && refusal.contains(expected), "{kind}: {refusal}");
        }
        for (kind, there) in [
            ("Directory", Ok(Some(Directory))),
            ("DirectoryOrCreate", Ok(None)),
            ("FileOrCreate", Ok(None)),
            ("", Ok(Some(Fifo))),
            ("Socket", Err(Errno::EACCES)),
        ] {
            let mut fixture = fixture(&["hostPath"], json!({ "path": "/srv/x", "type": kind }));
            fixture.host.details.places = [found("/srv/x", there), found("/srv", Ok(Some(Directory)))].into();
            fixture.plan().unwrap();
        }
    }

    #[test]
    fn what_a_volume_above_makes_is_there() {
        let volume =
            |name: &str, path: &str, kind: &str| json!({ "name": name, "hostPath": { "path": path, "type": kind } });
        let planned = |volumes: Value| {
            let mut fixture = fixture(&["hostPath"], json!({}));
            fixture.pod["spec"]["volumes"] = volumes;
            fixture.host.details.places = ["/a", "/a/b", "/a/f"].map(|path| found(path, Ok(None))).into();
            fixture.plan().map(drop).map_err(|e| e.to_string())
        };
        let (deep, top) = (volume("deep", "/a/b", "DirectoryOrCreate"), volume("top", "/a", "Directory"));
        assert_eq!(planned(json!([deep, top])), Ok(()));
        assert!(planned(json!([top, deep])).unwrap_err().contains("spec.volumes[0].hostPath.type"));
        let file = volume("file", "/a/f", "FileOrCreate");
        assert_eq!(planned(json!([deep, file, volume("same", "/a/f", "File")])), Ok(()));
        let lost = planned(json!([file])).unwrap_err();
        assert!(lost.contains("hostPath.path: /a is not there, and FileOrCreate makes no directory"), "{lost}");
        let other = planned(json!([deep, file, volume("other", "/a/f", "Socket")])).unwrap_err();
        assert!(other.contains("spec.volumes[2].hostPath.type") && other.contains("it is a file"), "{other}");
    }

    #[test]
    fn nothing_is_looked_at_without_leave() {
        let wanted = |allow: &[&str]| {
            let fixture = fixture(allow, json!({ "path": "/srv/a/x", "type": "Socket" }));
            super::wanted(&fixture.said(), &fixture.options)
        };
        assert_eq!(wanted(&[]), []);
        assert_eq!(wanted(&["hostPath=/opt"]), []);
        let place = Place { beneath: Some(PathBuf::from("/srv/a")), path: PathBuf::from("x") };
        assert_eq!(wanted(&["hostPath=/srv/a"]), [crate::host::Detail::Place(place)]);
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
