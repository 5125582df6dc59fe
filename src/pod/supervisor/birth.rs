//! The supervisor's birth: everything that the containers share is made, and what was inherited becomes its own, before it begins to watch.

use std::path::Path;
use std::rc::Rc;
use std::time::Instant;

use nix::fcntl::{OFlag, open};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::stat::Mode;

use super::following::Following;
use super::inheritance::{Inheritance, Keep};
use super::{Client, Front, Supervisor, TURN, stop_signals};
use crate::error::{Context, Result};
use crate::host::confine::{Tree, become_root};
use crate::plan::{PodPlan, Processes};
use crate::pod::clock::now;
use crate::pod::container::Container;
use crate::pod::control::server::Server;
use crate::pod::events::{Events, Source};
use crate::pod::follow::{Follow, Watched};
use crate::pod::happenings::Happenings;
use crate::pod::host_path::HostTrees;
use crate::pod::root::mount_root;
use crate::pod::sandbox::{self, Sandbox};
use crate::pod::status::EventKind;
use crate::pod::stream::Sink;
use crate::pod::{host_path, record, storage, volumes};
use crate::runtime::Pause;
use crate::sys::{Named, SysError};

impl<'a> Supervisor<'a> {
    pub(super) fn new(inheritance: Inheritance<'a>) -> Result<Self> {
        let Inheritance {
            mut plan,
            prepared,
            data,
            dir,
            link,
            listener,
            owner,
            stdin,
            front,
            notices,
            mut about,
            follow,
            host_trees,
        } = inheritance;
        about.trace("clone, id map");
        // What is followed is looked at before the host's files are out of sight.
        let (watched, unwatched) = match follow.map(watch).transpose() {
            Ok(watched) => (watched, None),
            Err(e) => (None, Some(e)),
        };
        let sandbox = build(&plan, data, host_trees)?;
        let following = Following::new(&mut plan, watched);
        about.trace("sandbox, volumes");
        let plans = std::mem::take(&mut plan.init_containers).into_iter().chain(std::mem::take(&mut plan.containers));
        let containers: Vec<_> = plans.zip(prepared).map(|(p, r)| Container::new(Rc::new(p), Rc::new(r))).collect();
        let pause = match plan.processes {
            Processes::Shared => Some(Pause::new(containers.iter().map(|container| &*container.prepared))?),
            Processes::Apart => None,
        };
        let events = Events::new()?;
        let signals = SignalFd::with_flags(&stop_signals(), SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
            .named(|| "signalfd()")?;
        events.watch(&link, Source::Client)?;
        events.watch(&signals, Source::Signals)?;
        if let Some(pause) = &pause {
            events.watch(pause, Source::Pause)?;
        }
        let front = match front {
            None => None,
            Some(f) => Some(Front {
                stdout: Sink::new(f.stdout, Source::Stdout)?,
                stderr: Sink::new(f.stderr, Source::Stderr)?,
                labels: f.labels,
            }),
        };
        let control = Server::new(listener, owner, &events)?;
        let active_until = plan.active_deadline.map(|d| Instant::now() + d.mul_f64(about.time_scale));
        let started_at = now();
        let pod_dir =
            open(dir, OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty()).named(|| format!("open({dir:?})"))?;
        if about.keep == Keep::Record {
            record::reserve_last(&pod_dir);
        }
        let mut supervisor = Supervisor {
            plan,
            about,
            dir: Rc::new(pod_dir),
            path: dir,
            client: Client::There,
            sandbox,
            pause,
            containers,
            errands: Vec::new(),
            next_errand: 0,
            events,
            link,
            control,
            signals,
            stdin,
            front,
            attached: Vec::new(),
            notices,
            happenings: Happenings::default(),
            following,
            started_at,
            ended_at: None,
            conditions: Vec::new(),
            active_until,
            ending: None,
            failure: None,
            verdict: None,
            changed: false,
            buffer: vec![0; TURN],
            batch: Vec::new(),
        };
        supervisor.begin_following()?;
        if let Some(e) = unwatched {
            let why = format!("the volumes will not follow their files: {e}");
            supervisor.happened(EventKind::Warning, "FailedUpdate", None, &why);
        }
        Ok(supervisor)
    }
}

fn watch(follow: Follow) -> std::result::Result<(Watched, Follow), SysError> {
    Ok((Watched::new(&follow.files)?, follow))
}

/// Makes everything that the containers share: the supervisor's root, the sandbox, the volumes.
fn build(plan: &PodPlan, data: &Tree, host_trees: Option<HostTrees>) -> Result<Sandbox> {
    // Directories of the host are made with mode 0755, as the kubelet makes them; and the new root may cover what is looked for.
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));
    let host_trees = host_trees.map_or_else(|| host_path::trees(plan), Ok)?;
    mount_root(data).context(|| "building the pod's root")?;
    let making = sandbox::make(&plan.hostname, &plan.ids, &plan.sandbox)?;
    for volume in &plan.volumes {
        storage::mount(Path::new("."), volume, &host_trees)?;
        volumes::make(Path::new("."), volume)?;
    }
    for container in plan.init_containers.iter().chain(&plan.containers) {
        make_root_directory(container, Path::new("."))?;
    }
    let sandbox = making.finish()?;
    become_root()?;
    Ok(sandbox)
}

/// Makes the directory below `base` that a container's root is mounted on.
pub(super) fn make_root_directory(container: &crate::plan::ContainerPlan, base: &Path) -> Result<()> {
    if let Some(root) = container.spec.root() {
        let at = base.join(root.path().strip_prefix("/").unwrap_or(root.path()));
        std::fs::create_dir_all(&at).named(|| format!("mkdir({at:?})"))?;
    }
    Ok(())
}
