//! Everything that is mounted over a container's root, in order.

use std::path::{Path, PathBuf};

use oci_spec::runtime::Mount;

use super::scope::{Subject, cleaned};
use super::security::{self, Masks, Privilege};
use super::sub_path::{SubPath, sub_path};
use super::text::Vars;
use super::volumes::{self, Access};
use super::{Namespace, Verdict, message, sandbox};
use crate::error::Result;
use crate::host::Module;

/// Paths of /proc and /sys that show or change the host, as moby hides them.
const MASKED: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// What has a place of its own in every container's /dev.
const DEFAULT_DEVICES: [&str; 8] = ["console", "full", "null", "ptmx", "random", "tty", "urandom", "zero"];

/// The pod's own files, which each container gets unless one of its volumes is mounted right there.
const ETC: [&str; 3] = ["hosts", "resolv.conf", "hostname"];

/// `linux.maskedPaths`.
pub(super) fn masked_paths(subject: &Subject) -> Vec<String> {
    covered(subject, &MASKED)
}

/// `linux.readonlyPaths`.
pub(super) fn read_only_paths(subject: &Subject) -> Vec<String> {
    covered(subject, &READ_ONLY)
}

/// Those of `paths` that the container's masks cover.
fn covered(subject: &Subject, paths: &[&str]) -> Vec<String> {
    let masks = security::masks(subject);
    let is_covered = |path: &&&str| match masks {
        Masks::All => true,
        Masks::SysOnly => path.starts_with("/sys"),
        Masks::None => false,
    };
    paths.iter().filter(is_covered).map(|path| (*path).to_owned()).collect()
}

/// The container's mounts: the kernel's file systems first, then the pod's `/etc` files and the volumes, each parent
/// before its children; and the indices of those that hold a Secret's value. `vars` are what `subPathExpr` may refer to.
///
/// # Errors
/// For a mount whose volume does not exist, two mounts at one path, and paths that must stay the kernel's or climb out of a volume.
pub(super) fn mounts(subject: &Subject, vars: &Vars, report: &mut Vec<Verdict>) -> Result<(Vec<Mount>, Vec<usize>)> {
    let run_dir = &subject.scope.paths.run_dir;
    let mut binds = volume_mounts(subject, vars, report)?;
    let taken = |binds: &[Bind], path: &str| binds.iter().any(|bind| bind.to == Path::new(path));
    binds.push(last_message(subject, &binds)?);
    // The kubelet lets a container write these files unless its root is read-only.
    let access = if security::read_only_root(subject) { Access::ReadOnly } else { Access::ReadWrite };
    for name in ETC {
        let to = PathBuf::from("/etc").join(name);
        if !binds.iter().any(|bind| bind.to == to) {
            binds.push(Bind::plain(run_dir.join("etc").join(name), to, access));
        }
    }
    let mut mounts = system_mounts(subject);
    if !taken(&binds, "/dev/shm") {
        mounts.push(shared_memory(subject));
    }
    // Paths compare component by component, so a parent sorts before what is below it.
    binds.sort_by(|a, b| a.to.cmp(&b.to));
    let secret = |bind: &Bind| bind.below.as_ref().is_some_and(|below| below.secret);
    let first = mounts.len();
    let secrets = binds.iter().enumerate().filter(|(_, bind)| secret(bind)).map(|(n, _)| first + n).collect();
    for bind in &binds {
        mounts.push(bind_mount(subject, bind)?);
    }
    Ok((mounts, secrets))
}

struct Bind {
    from: PathBuf,
    to: PathBuf,
    access: Access,
    /// Whether a read-only mount keeps what is mounted below it from being written, too.
    reach: Reach,
    below: Option<SubPath>,
    propagation: &'static str,
    /// `bindMountOptions`.
    options: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    This,
    Recursive,
}

impl Bind {
    /// One of podling's own files.
    fn plain(from: PathBuf, to: PathBuf, access: Access) -> Bind {
        Bind { from, to, access, reach: Reach::This, below: None, propagation: "rprivate", options: Vec::new() }
    }
}

fn system_mounts(subject: &Subject) -> Vec<Mount> {
    let mut pts = vec!["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"];
    // Group 5 is `tty` by convention; a map without it cannot name it.
    if !subject.scope.ids.is_single() && subject.scope.ids.has_gid(5) {
        pts.push("gid=5");
    }
    let scope = subject.scope;
    let privileged = security::privilege(subject) == Privilege::Privileged;
    let mut mounts = vec![
        mount("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"]),
        mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount("/dev/pts", "devpts", "devpts", &pts),
    ];
    match sandbox::ipc(scope.spec) {
        Namespace::Own => mounts.push(mount("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"])),
        Namespace::Hosts if scope.host.details.message_queues == Module::Enabled => {
            mounts.push(mount("/dev/mqueue", "bind", "/dev/mqueue", &["bind", "nosuid", "noexec", "nodev"]));
        }
        Namespace::Hosts => {}
    }
    mounts.push(match sandbox::network(scope.spec) {
        Namespace::Own if privileged => mount("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev"]),
        Namespace::Own => mount("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
        Namespace::Hosts => mount("/sys", "bind", "/sys", &["rbind", "nosuid", "noexec", "nodev", "ro"]),
    });
    if privileged {
        // No device can be made in a user namespace, but those that are there can be shown.
        let more =
            scope.host.details.devices.iter().filter(|device| !DEFAULT_DEVICES.iter().any(|d| device.ends_with(d)));
        mounts.extend(more.map(|device| mount(device, "bind", device, &["bind"])));
    }
    mounts
}

/// The pod's containers share one ipc namespace, and POSIX shared memory with it.
fn shared_memory(subject: &Subject) -> Mount {
    if sandbox::ipc(subject.scope.spec) == Namespace::Hosts {
        return mount("/dev/shm", "bind", "/dev/shm", &["bind", "rprivate", "nosuid", "noexec", "nodev"]);
    }
    let from = volumes::shared_memory_path(subject.scope);
    mount("/dev/shm", "bind", from, &["bind", "rprivate", "nosuid", "noexec", "nodev"])
}

/// The file of the container's last message, which it may write whatever else is read-only.
fn last_message(subject: &Subject, volumes: &[Bind]) -> Result<Bind> {
    let to = message::place(subject, volumes.iter().map(|bind| bind.to.as_path()))?;
    let around = volumes.iter().filter(|bind| to.starts_with(&bind.to));
    if around.max_by_key(|bind| bind.to.components().count()).is_some_and(|bind| bind.access == Access::ReadOnly) {
        // Nobody can make the file there that this one is mounted over.
        let why = format!("{to:?} is in a volume that is mounted read-only");
        return Err(subject.error("terminationMessagePath", why).mend("write a path outside it"));
    }
    Ok(Bind::plain(message::message(subject)?.file, to, Access::ReadWrite))
}

fn volume_mounts(subject: &Subject, vars: &Vars, report: &mut Vec<Verdict>) -> Result<Vec<Bind>> {
    let mut binds: Vec<Bind> = Vec::new();
    for (i, said) in subject.container.volume_mounts.iter().flatten().enumerate() {
        let field = |name: &str| format!("volumeMounts[{i}].{name}");
        let to = cleaned(&said.mount_path);
        if let Some(why) = reserved(&to) {
            return Err(subject.error(&field("mountPath"), format!("{:?} {why}", said.mount_path)));
        }
        if binds.iter().any(|bind| bind.to == to) {
            return Err(subject.error(&field("mountPath"), format!("{:?} is mounted twice", said.mount_path)));
        }
        let Some(volume) = subject.scope.spec.volumes.iter().flatten().find(|volume| volume.name == said.name) else {
            let why = format!("there is no volume {:?} in spec.volumes", said.name);
            return Err(subject.error(&field("name"), why));
        };
        let access = match (said.read_only, volumes::access(volume)) {
            (Some(true), _) | (_, Access::ReadOnly) => Access::ReadOnly,
            _ => Access::ReadWrite,
        };
        let reach = match said.recursive_read_only.as_deref() {
            Some("Enabled" | "IfPossible") => Reach::Recursive,
            _ => Reach::This,
        };
        let propagation = match said.mount_propagation.as_deref() {
            None | Some("" | "None") => "rprivate",
            Some("HostToContainer") => "rslave",
            Some(other) => {
                return Err(subject.error(&field("mountPropagation"), format!("{other:?} cannot be honoured")));
            }
        };
        let below = sub_path(subject, &format!("volumeMounts[{i}]"), said, vars)?;
        if below.as_ref().is_some_and(|below| below.secret)
            && let Some(where_to) = volumes::on_disk(volume)
        {
            let how = format!("a Secret's value is in it, and so in the name of a directory {where_to}");
            report.push(subject.verdict(&field("subPathExpr"), how));
        }
        binds.push(Bind {
            from: volumes::path(subject.scope, &volume.name),
            to,
            access,
            reach,
            below,
            propagation,
            options: said.bind_mount_options.clone().unwrap_or_default(),
        });
    }
    Ok(binds)
}

/// Why nothing may be mounted at `path`, where that is so.
fn reserved(path: &Path) -> Option<&'static str> {
    if path == Path::new("/") {
        return Some("is the container's root, which is its image");
    }
    if path == Path::new("/dev") {
        return Some("holds the container's own devices; mount below it");
    }
    let kernels = path.starts_with("/proc") || path.starts_with("/sys");
    kernels.then_some("belongs to the kernel's own file systems")
}

/// The bind in the words of mount(8), and of the runtime spec's list of mount options for what is recursive.
fn bind_mount(subject: &Subject, bind: &Bind) -> Result<Mount> {
    let access = match (bind.access, bind.reach) {
        (Access::ReadOnly, Reach::Recursive) => "rro",
        (Access::ReadOnly, Reach::This) => "ro",
        (Access::ReadWrite, _) => "rw",
    };
    let mut options: Vec<String> = ["bind", bind.propagation, access].map(str::to_owned).to_vec();
    options.extend(bind.options.iter().map(|option| format!("r{option}")));
    if let Some(below) = &bind.below {
        // A Spec is JSON, which holds text only; what the YAML says is text.
        let path = below.path.to_str().ok_or_else(|| subject.error("volumeMounts", "a subPath is not text"))?;
        options.push(format!("X-mount.subdir={path}"));
    }
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    Ok(mount(&bind.to, "bind", &bind.from, &options))
}

fn mount(destination: impl Into<PathBuf>, typ: &str, source: impl Into<PathBuf>, options: &[&str]) -> Mount {
    let mut mount = Mount::default();
    mount
        .set_destination(destination.into())
        .set_typ(Some(typ.to_owned()))
        .set_source(Some(source.into()))
        .set_options(Some(options.iter().map(|option| (*option).to_owned()).collect()));
    mount
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::plan::fixture::Fixture;

    fn fixture(mounts: Value) -> Fixture {
        let mut fixture = Fixture::container(json!({ "volumeMounts": mounts }));
        fixture.pod["spec"]["volumes"] = json!([
            { "name": "data", "emptyDir": { "medium": "Memory" } },
            { "name": "conf", "configMap": { "name": "none", "optional": true } },
        ]);
        fixture
    }

    fn binds(fixture: &Fixture) -> Vec<(String, String)> {
        let spec = fixture.spec();
        let mounts = spec["mounts"].as_array().unwrap().iter().filter(|mount| mount["type"] == "bind");
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        mounts.map(|mount| (text(&mount["destination"]), text(&mount["options"][2]))).collect()
    }

    #[test]
    fn parents_come_before_children() {
        let fixture = fixture(json!([
            { "name": "data", "mountPath": "/etc/a/b" },
            { "name": "conf", "mountPath": "etc/a/" },
            { "name": "data", "mountPath": "/etc", "readOnly": true },
            { "name": "data", "mountPath": "/etc/../etc/./hosts" },
            { "name": "data", "mountPath": "/dev/shm" },
        ]));
        let expected = [
            ("/dev/shm", "rw"),
            ("/dev/termination-log", "rw"),
            ("/etc", "ro"),
            ("/etc/a", "ro"),
            ("/etc/a/b", "rw"),
            ("/etc/hostname", "rw"),
            ("/etc/hosts", "rw"),
            ("/etc/resolv.conf", "rw"),
        ];
        assert_eq!(binds(&fixture), expected.map(|(path, access)| (path.to_owned(), access.to_owned())));
    }

    #[test]
    fn a_read_only_root_makes_the_pods_files_read_only() {
        let fixture = Fixture::container(json!({ "securityContext": { "readOnlyRootFilesystem": true } }));
        assert!(binds(&fixture).iter().filter(|(path, _)| path.starts_with("/etc")).all(|(_, access)| access == "ro"));
    }

    #[test]
    fn impossible_mounts() {
        for (mount, expected) in [
            (json!({ "name": "data", "mountPath": "/" }), "root"),
            (json!({ "name": "data", "mountPath": "" }), "root"),
            (json!({ "name": "data", "mountPath": "/x/.." }), "root"),
            (json!({ "name": "data", "mountPath": "/proc/sys" }), "kernel"),
            (json!({ "name": "data", "mountPath": "/sys" }), "kernel"),
            (json!({ "name": "data", "mountPath": "/dev/" }), "devices"),
            (json!({ "name": "nope", "mountPath": "/x" }), "no volume \"nope\""),
            (json!({ "name": "data", "mountPath": "/x", "mountPropagation": "Bidirectional" }), "mountPropagation"),
        ] {
            let refusal = fixture(json!([mount])).refusal();
            assert!(refusal.contains(expected) && refusal.contains("volumeMounts[0]"), "{refusal}");
        }
        let twice = json!([{ "name": "data", "mountPath": "/x" }, { "name": "conf", "mountPath": "/x/" }]);
        assert!(fixture(twice).refusal().contains("volumeMounts[1].mountPath"));
    }

    #[test]
    fn options_of_mounts() {
        let options = |mount: Value| {
            let mut said = json!({ "name": "data", "mountPath": "/x" });
            said.as_object_mut().unwrap().extend(mount.as_object().unwrap().clone());
            let spec = fixture(json!([said])).spec();
            let mounts = spec["mounts"].as_array().unwrap();
            mounts.iter().find(|mount| mount["destination"] == "/x").unwrap()["options"].clone()
        };
        for (mount, expected) in [
            (json!({}), json!(["bind", "rprivate", "rw"])),
            (json!({ "readOnly": true, "recursiveReadOnly": "Disabled" }), json!(["bind", "rprivate", "ro"])),
            (json!({ "readOnly": true, "recursiveReadOnly": "IfPossible" }), json!(["bind", "rprivate", "rro"])),
            (json!({ "readOnly": true, "recursiveReadOnly": "Enabled" }), json!(["bind", "rprivate", "rro"])),
            (json!({ "mountPropagation": "HostToContainer" }), json!(["bind", "rslave", "rw"])),
            (
                json!({ "bindMountOptions": ["noexec", "nodev"], "subPath": "a" }),
                json!(["bind", "rprivate", "rw", "rnoexec", "rnodev", "X-mount.subdir=a"]),
            ),
        ] {
            assert_eq!(options(mount), expected);
        }
    }

    #[test]
    fn the_tty_group_is_named_only_where_it_exists() {
        let options = |fixture: &Fixture| fixture.spec()["mounts"][2]["options"].to_string();
        assert!(options(&fixture(json!([]))).contains("gid=5"));
        assert!(!options(&fixture(json!([])).single_id()).contains("gid="));
    }
}
