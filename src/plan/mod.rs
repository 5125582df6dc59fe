//! Deciding: said objects + image configs + host facts -> a [`PodPlan`]. PURE: no system call, no clock, no file.

mod capabilities;
mod command;
mod decide;
mod dns;
mod downward;
mod env;
mod ephemeral;
mod etc;
mod expand;
mod files;
mod fingerprint;
#[cfg(test)]
mod fixture;
mod follow;
mod followed;
mod groups;
mod host_path;
mod job;
mod labels;
mod late;
mod lifecycle;
mod message;
mod mounts;
mod names;
mod nested;
mod objections;
mod oci;
mod options;
mod placement;
mod policy;
mod probes;
mod profiles;
mod render;
mod restarts;
mod sandbox;
mod scope;
mod seccomp;
mod security;
mod signal;
mod storage;
mod sub_path;
#[cfg(test)]
mod tests;
mod text;
mod token;
mod user;
mod volumes;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use oci_spec::runtime::Spec;
use serde::{Deserialize, Serialize};

use crate::host::IdMap;
use crate::manifest::ObjectKey;

pub use decide::{decide, emulated, plan, strictly};
pub use ephemeral::ephemeral;
pub use fingerprint::{Contents, fingerprint};
pub use follow::{Anew, Constant, anew, constant, take_present};
pub use job::{
    CompletionMode, FailureAction, FailureRule, JobPlan, JobPod, JobStart, Requirement, Selector, SuccessRule,
    decide_job, job, job_pod,
};
pub use late::{FileKey, Late, Otherwise, Piece};
pub use lifecycle::{
    Action, Hooks, HttpGet, MessagePlan, MessagePolicy, NetAction, Operator, ProbePlan, Probes, Restart, RestartPolicy,
    RestartRule, Role, StdinPlan, Terminal,
};
pub use objections::{objections, wanted};
pub use options::{Allow, Emulation, Options, PolicyLevel};
pub use policy::objections as policy_objections;
pub use render::{render, render_kept};
pub use signal::number as signal_number;
pub use storage::sharing;

/// The pod's only address, as its network is a loopback interface; and its host's, of which it sees nothing else.
pub const POD_IP: &str = "127.0.0.1";

/// What stands for a pod's uid in plans that are compared or printed: each start of a pod has one of its own.
pub const NO_UID: &str = "00000000-0000-0000-0000-000000000000";

/// What is the pod's own on this host: its uid, and where its files are in the supervisor's mount namespace.
#[derive(Debug, Clone)]
pub struct PodPaths {
    /// `metadata.uid`, or [`NO_UID`].
    pub uid: String,
    /// The pod's private tmpfs: volumes, the pod's own `/etc` files, namespace files and the containers' roots.
    pub run_dir: PathBuf,
    /// The pod's directory on disk, with `CONTAINER.upper` and `CONTAINER.work`.
    pub state_dir: PathBuf,
    /// Every container's lowest layer: the places of the mounts that every container has, for images that lack them.
    pub base: PathBuf,
    /// The named local volumes.
    pub volumes: LocalVolumes,
}

/// The named local volumes, which outlive pods.
#[derive(Debug, Clone, Default)]
pub struct LocalVolumes {
    /// The directory that has them at `NAMESPACE/NAME/data`.
    pub dir: PathBuf,
    /// Those among them that the pod may refer to without a claim in the input.
    pub known: BTreeMap<ObjectKey, Sharing>,
}

impl PodPaths {
    /// The paths of a pod that runs already, where nothing new is to be put on the disk.
    pub fn of_running(uid: String, run_dir: PathBuf) -> PodPaths {
        PodPaths { uid, run_dir, state_dir: PathBuf::new(), base: PathBuf::new(), volumes: LocalVolumes::default() }
    }
}

/// Everything that will be done to run one pod, decided before anything is created.
#[derive(Debug, Clone)]
pub struct PodPlan {
    /// The pod's `metadata.name` (or `--name`).
    pub name: String,
    /// `metadata.uid`, or [`NO_UID`].
    pub uid: String,
    /// The host name inside the pod's uts namespace, at most 64 bytes.
    pub hostname: String,
    /// The id map of the pod's user namespace.
    pub ids: IdMap,
    /// Whether and when finished containers start again.
    pub restart_policy: RestartPolicy,
    /// Time between the stop signal and SIGKILL.
    pub grace_period: Duration,
    /// `activeDeadlineSeconds`: how long the pod may run.
    pub active_deadline: Option<Duration>,
    /// Whether the containers see each other's processes.
    pub processes: Processes,
    /// The namespaces that the containers share.
    pub sandbox: SandboxPlan,
    /// The pod's directory in the supervisor's mount namespace, a tmpfs; nothing of it reaches the host's file system.
    pub run_dir: PathBuf,
    /// The tmpfs mounts beside the containers: volumes, and the pod's own `/etc/hosts` and `/etc/resolv.conf`.
    pub volumes: Vec<VolumePlan>,
    /// Init containers, run to success one after the other.
    pub init_containers: Vec<ContainerPlan>,
    /// The pod's containers, all at once.
    pub containers: Vec<ContainerPlan>,
    /// What is emulated rather than enforced, one sentence each, with the field's path and line.
    pub report: Vec<Verdict>,
}

/// What the pod's containers share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SandboxPlan {
    /// `spec.hostNetwork`.
    pub network: Namespace,
    /// `spec.hostIPC`.
    pub ipc: Namespace,
    /// `spec.securityContext.sysctls`: paths below `/proc/sys` and what is written there, in this order.
    pub sysctls: Vec<(String, String)>,
    /// Who owns these namespaces.
    pub owner: SandboxOwner,
    /// Whether a container may write to /sys, as far as the kernel lets the pod's root.
    pub sysfs: Sysfs,
}

/// The user namespace to which the pod's net, ipc and uts namespaces belong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum SandboxOwner {
    /// The supervisor's, which no container is in.
    Supervisor,
    /// One below it, which those containers join that govern these namespaces.
    Containers {
        /// How many processes there may be in it at any time.
        pids: u64,
    },
}

/// How the sysfs of a pod's network namespace is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Sysfs {
    /// No mount of it can be written to.
    ReadOnly,
    /// Each mount says for itself.
    Writable,
}

/// Whose a namespace is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Namespace {
    /// The pod's own.
    Own,
    /// The host's.
    Hosts,
}

/// `spec.shareProcessNamespace`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Processes {
    /// Each container has a pid namespace of its own.
    Apart,
    /// One pid namespace is the pod's.
    Shared,
}

/// One tree that the supervisor mounts, fills and hands to containers as the source of bind mounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumePlan {
    /// The volume's name in the Pod, or `etc` for the pod's own files.
    pub name: String,
    /// Where it is mounted in the supervisor's mount namespace, `RUN_DIR/volumes/NAME` or `RUN_DIR/etc`.
    pub path: PathBuf,
    /// What is mounted there.
    pub source: VolumeSource,
    /// Permission bits of the root directory of a volume that podling makes.
    pub mode: u32,
    /// The group that owns the root directory and, by its set-group-id bit, everything that is made below it (`fsGroup`).
    pub group: Option<u32>,
    /// How the files are laid out.
    pub layout: Layout,
    /// What of the input it follows while the pod runs, if it does.
    pub follows: Option<FollowedInput>,
    /// Directories made there, mode 0755, because some container mounts another volume at them.
    pub directories: Vec<PathBuf>,
    /// Files put there before the first container starts.
    pub files: Vec<FilePlan>,
}

/// What of the input a volume follows: files of it that come from there may become others at any time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FollowedInput {
    /// The volume as the Pod has it.
    pub said: serde_json::Value,
    /// The files of its ConfigMaps and Secrets, by absolute paths, in the order in which the volume names them.
    pub from: Vec<PathBuf>,
}

/// How the files of a volume are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Layout {
    /// At their paths.
    Plain,
    /// As the kubelet's atomic writer does it: in a directory named after the time, to which the link `..data` leads; what is at the paths
    /// leads there by way of that link, so that all files change at once.
    Atomic,
}

/// What a volume is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum VolumeSource {
    /// A tmpfs of the pod's own.
    #[serde(rename_all = "camelCase")]
    Memory {
        /// How many bytes it takes, where that is written or implied.
        size_limit: Option<u64>,
    },
    /// A directory on the disk that lives as long as the pod, below its own directory.
    PodDirectory(PathBuf),
    /// A named local volume, which outlives the pod.
    Claim(ClaimPlan),
    /// A file or directory of the host.
    HostPath(HostPathPlan),
    /// The file system of an image, read-only.
    Image {
        /// The digest of the image's manifest.
        digest: String,
        /// Its layers' directories, bottom layer first.
        layers: Vec<PathBuf>,
    },
}

/// A named local volume as a pod uses it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClaimPlan {
    /// The claim's namespace.
    pub namespace: String,
    /// The claim's name.
    pub name: String,
    /// The directory with its files.
    pub path: PathBuf,
    /// Who else may use it at the same time.
    pub sharing: Sharing,
    /// When it is given to the volume's group.
    pub change: GroupChange,
}

/// When everything in a volume is given to `fsGroup`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum GroupChange {
    /// Whenever a pod starts.
    Always,
    /// Where the volume's root is not the group's already.
    OnRootMismatch,
}

/// Who else may use a local volume at the same time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sharing {
    /// Any pod.
    #[default]
    Pods,
    /// Nobody (`ReadWriteOncePod`).
    Nobody,
}

/// A `hostPath` volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HostPathPlan {
    /// The directory of the host that it must not lead out of, where `--allow hostPath=DIR` names one.
    pub beneath: Option<PathBuf>,
    /// The path: absolute, or relative to `beneath`.
    pub path: PathBuf,
    /// What must be there.
    pub kind: HostPathKind,
}

/// `hostPath.type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum HostPathKind {
    /// Anything; a directory is made where nothing is.
    Any,
    /// A directory, made where nothing is.
    DirectoryOrCreate,
    /// A directory.
    Directory,
    /// A regular file, made where nothing is.
    FileOrCreate,
    /// A regular file.
    File,
    /// A UNIX socket.
    Socket,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
}

/// One file of a volume.
#[derive(Clone, PartialEq, Eq)]
pub struct FilePlan {
    /// Path below the volume's root, without `..`; missing directories are made with mode 0755.
    pub path: PathBuf,
    /// Permission bits.
    pub mode: u32,
    /// The user that owns the file; `None` for the pod's root.
    pub owner: Option<u32>,
    /// The content; `podling plan` prints its length only, since it may be a Secret's.
    pub content: Vec<u8>,
    /// Of a service account's token, how many seconds it is valid for. `content` are its claims then, as a JSON object without times.
    pub lifetime: Option<u64>,
    /// Whether it is made anew when the input changes.
    pub origin: Origin,
}

/// Where the content of a volume's file comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// What was decided at the start.
    Plan,
    /// A ConfigMap or Secret that the volume follows.
    Followed,
}

impl FilePlan {
    /// A file of the pod's root that holds `content` itself.
    pub fn new(path: impl Into<PathBuf>, mode: u32, content: impl Into<Vec<u8>>) -> FilePlan {
        FilePlan { path: path.into(), mode, owner: None, content: content.into(), lifetime: None, origin: Origin::Plan }
    }
}

impl std::fmt::Debug for FilePlan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FilePlan")
            .field("path", &self.path)
            .field("mode", &format_args!("{:#o}", self.mode))
            .field("bytes", &self.content.len())
            .finish()
    }
}

/// One container: the overlay that becomes its root, and the OCI Spec that the runtime executes in it.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct ContainerPlan {
    /// `containers[].name`.
    pub name: String,
    /// What kind of container it is.
    pub role: Role,
    /// When it starts again.
    pub restart: Restart,
    /// Its probes.
    pub probes: Probes,
    /// Its hooks.
    pub hooks: Hooks,
    /// Where its last message is.
    pub message: MessagePlan,
    /// Its standard input.
    pub stdin: StdinPlan,
    /// Whether it has a terminal.
    pub terminal: Terminal,
    /// The normalized image reference.
    pub image: String,
    /// The digest of the image's manifest, `sha256:…`.
    pub image_digest: String,
    /// overlayfs lower directories, bottom layer first.
    pub layers: Vec<PathBuf>,
    /// overlayfs upper directory, this container's own.
    pub upper: PathBuf,
    /// overlayfs work directory, beside the upper one.
    pub work: PathBuf,
    /// The signal that asks the container to end (`lifecycle.stopSignal`, else the image's `StopSignal`, else SIGTERM), as a number of the host's architecture.
    pub stop_signal: i32,
    /// What the runtime executes. `root.path` is where the overlay is mounted.
    pub spec: Spec,
    /// Which strings of `spec` hold values of Secrets; `podling plan` prints their lengths only.
    pub secret: SecretStrings,
    /// Which strings of `spec.process` are known only when it starts.
    pub late: Late,
}

/// The strings of a container that hold values of Secrets, whether written there or by way of `$(NAME)`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretStrings {
    /// Names of variables.
    pub env: Vec<String>,
    /// Indices into `args`.
    pub args: Vec<usize>,
    /// Indices into `mounts`, of which an option holds one.
    #[serde(default)]
    pub mounts: Vec<usize>,
}

impl std::fmt::Debug for ContainerPlan {
    /// Leaves the spec out, which may hold values of Secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ContainerPlan").field("name", &self.name).field("image", &self.image).finish_non_exhaustive()
    }
}

/// How a field of the YAML is honoured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Where the field is written: `file:line`.
    pub at: String,
    /// The field's path, `spec.containers[0].image`.
    pub path: String,
    /// How it is emulated and where that differs from a cluster.
    pub how: String,
}
