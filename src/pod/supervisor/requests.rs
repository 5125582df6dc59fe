//! What clients ask on the control socket.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use super::Supervisor;
use super::birth::make_root_directory;
use super::ending::Why;
use super::errands::Belongings;
use super::output::Attached;
use crate::error::{Context, Error, Result};
use crate::plan::ContainerPlan;
use crate::pod::container::{Container, State};
use crate::pod::control::{Reply, Request, Usage};
use crate::pod::errand::Purpose;
use crate::pod::processes;
use crate::runtime::seccomp::Compiled;
use crate::runtime::{Command, Overlay, Prepared, Stdio, Streams, exec};
use crate::sys::clone::Child;
use crate::sys::terminal::WindowSize;

impl Supervisor<'_> {
    /// Somebody connects, with a request on the way more often than not.
    pub(super) fn accept(&mut self) -> Result<()> {
        self.control.accept(&self.events).into_iter().try_for_each(|id| self.attend(id))
    }

    /// Connection `id` has something to say, takes more, or has ended. One request is heard at a time: the loop reports the next.
    pub(super) fn attend(&mut self, id: usize) -> Result<()> {
        match self.control.hear(id) {
            None => Ok(()),
            Some(Ok((request, fds))) => {
                if let Err(e) = self.answer(id, request, fds) {
                    self.control.refuse(id, &e);
                }
                Ok(())
            }
            Some(Err(_)) => {
                self.control.close(id, &self.events);
                self.detach(id);
                self.end_errands_for(id)?;
                self.end_ephemeral(id)
            }
        }
    }

    fn answer(&mut self, id: usize, request: Request, fds: Vec<OwnedFd>) -> Result<()> {
        match request {
            Request::Summary => {
                let summary = Box::new(self.summary());
                self.control.answer(id, &Reply::Summary(summary), &[]);
            }
            Request::Object => {
                let object = self.object()?;
                self.control.answer(id, &Reply::Object(object), &[]);
            }
            Request::Watch => {
                if let Some(peer) = self.control.get_mut(id) {
                    peer.watching = Some(0);
                    peer.behind = true;
                }
            }
            Request::Stop { grace_seconds } => {
                let grace = grace_seconds.map(|seconds| self.scaled(Duration::from_secs(seconds.min(1 << 31))));
                self.control.answer(id, &Reply::Done, &[]);
                self.stop(Why::Asked, grace)?;
            }
            Request::Kill { signal, container } => {
                self.kill(signal, container.as_deref())?;
                self.control.answer(id, &Reply::Done, &[]);
            }
            Request::Exec { container, argv, env, workdir, terminal } => {
                let n = self.running_container(&container)?;
                self.exec(id, n, &Wanted { argv, env, workdir, terminal }, fds)?;
            }
            Request::Signal { signal } => self.signal_session(id, signal)?,
            Request::EndOfInput => self.end_input(id),
            Request::Attach { container } => self.attach(id, &container, fds)?,
            Request::Copy { container, job } => {
                let n = self.running_container(&container)?;
                self.copy(id, n, &job, fds)?;
            }
            Request::Debug { plan, target, terminal } => self.debug(id, *plan, target.as_deref(), terminal, fds)?,
            Request::Sockets => self.begin_sockets(id)?,
            Request::Usage => {
                let usage = self.usage();
                self.control.answer(id, &Reply::Usage(usage), &[]);
            }
        }
        Ok(())
    }

    /// The number of the container called `name`.
    fn container(&self, name: &str) -> Result<usize> {
        self.containers.iter().rposition(|c| c.plan.name == name).ok_or_else(|| {
            let names: Vec<&str> = self.containers.iter().map(|c| c.plan.name.as_str()).collect();
            Error::new(format!("pod {:?} has no container {name:?}", self.plan.name))
                .mend(format!("its containers are: {}", names.join(", ")))
        })
    }

    fn running_container(&self, name: &str) -> Result<usize> {
        let n = self.container(name)?;
        let Some(container) = self.containers.get(n) else { return Err(Error::new("no such container")) };
        if container.running().is_some() {
            return Ok(n);
        }
        let why = match &container.state {
            State::Planned => "has not been started yet",
            State::Starting(..) => "is just being started; try again",
            State::BackingOff(_) => "has ended, and waits for its restart",
            State::Running(..) | State::Ended => "has ended",
        };
        Err(Error::new(format!("container {name:?} of pod {:?} {why}", self.plan.name))
            .mend(format!("what it printed: podling logs {} -c {name}", self.plan.name)))
    }

    fn kill(&mut self, signal: i32, container: Option<&str>) -> Result<()> {
        match container {
            Some(name) => {
                let n = self.running_container(name)?;
                self.containers.get(n).map_or(Ok(()), |c| c.signal(signal))
            }
            None => self.containers.iter().try_for_each(|c| c.signal(signal)),
        }
    }

    fn exec(&mut self, id: usize, n: usize, wanted: &Wanted, fds: Vec<OwnedFd>) -> Result<()> {
        let Some(container) = self.containers.get(n) else { return Ok(()) };
        let Some(target) = container.running() else { return Err(Error::new("the container has ended")) };
        let Wanted { argv, env, workdir, terminal } = wanted;
        let (prepared, workdir) = (&container.prepared, workdir.as_deref());
        let (child, starting) = if let Some(size) = terminal {
            let command = Command::on_terminal(prepared, argv, env, workdir)?;
            exec(prepared, target, &command, Streams::Terminal(*size))?
        } else {
            let [stdin, stdout, stderr] = three(fds)?;
            let stdio = Stdio { stdin: stdin.as_fd(), stdout: stdout.as_fd(), stderr: stderr.as_fd() };
            exec(prepared, target, &Command::new(prepared, argv, env, workdir)?, Streams::Given(stdio))?
        };
        let belongings = Belongings { starting: Some(starting), ..Belongings::default() };
        self.add_errand(Purpose::Session { connection: id, container: n }, child, belongings)
    }

    fn attach(&mut self, id: usize, name: &str, fds: Vec<OwnedFd>) -> Result<()> {
        let n = self.running_container(name)?;
        let [stdout, stderr] =
            <[OwnedFd; 2]>::try_from(fds).map_err(|_| Error::new("a client that attaches sends two descriptors"))?;
        let attached = Attached::new(id, n, stdout, stderr)?;
        self.attached.push(attached);
        let stdin = self.containers.get(n).and_then(|c| c.stdin.as_ref());
        let fds: Vec<_> = stdin.iter().map(|fd| fd.as_fd()).collect();
        self.control.answer(id, &Reply::Started, &fds);
        Ok(())
    }

    fn copy(&mut self, id: usize, n: usize, job: &crate::pod::copy::Job, fds: Vec<OwnedFd>) -> Result<()> {
        let Some(container) = self.containers.get(n) else { return Ok(()) };
        let Some(target) = container.running() else { return Err(Error::new("the container has ended")) };
        let [stream] =
            <[OwnedFd; 1]>::try_from(fds).map_err(|_| Error::new("a client that copies sends one descriptor"))?;
        let user = container.plan.spec.process().as_ref().map(|p| (p.user().uid(), p.user().gid())).unwrap_or_default();
        let child = crate::runtime::visit(&container.prepared, target, &[stream.as_fd()], || {
            crate::pod::copy::serve(job, user, &stream)
        })?;
        self.add_errand(Purpose::Copy { connection: id, container: n }, child, Belongings::default())?;
        self.control.answer(id, &Reply::Started, &[]);
        Ok(())
    }

    /// Starts one more container, which lives as long as the client of connection `id` stays.
    fn debug(
        &mut self,
        id: usize,
        plan: ContainerPlan,
        target: Option<&str>,
        terminal: bool,
        fds: Vec<OwnedFd>,
    ) -> Result<()> {
        if self.ending.is_some() {
            return Err(Error::new(format!("pod {:?} is ending", self.plan.name)));
        }
        if self.containers.iter().any(|c| c.plan.name == plan.name && !matches!(c.state, State::Ended)) {
            return Err(Error::new(format!("pod {:?} has a container {:?} already", self.plan.name, plan.name))
                .mend("give this one another name with --container"));
        }
        let given = if terminal { None } else { Some(three(fds)?) };
        make_root_directory(&plan, Path::new("/"))?;
        make_message_file(&plan.message.file)?;
        let overlay = Overlay { lower: plan.layers.clone(), upper: plan.upper.clone(), work: plan.work.clone() };
        let prepared = Prepared::new(&plan.spec, overlay, &mut Compiled::default())
            .context(|| format!("container {:?}", plan.name))?;
        let mut container = Container::new(Rc::new(plan), Rc::new(prepared));
        container.client = Some(id);
        container.given = given;
        let beside = target.map(|name| self.running_container(name)).transpose()?;
        self.containers.push(container);
        // One that could not even be cloned was never there.
        self.start_beside(self.containers.len() - 1, beside).inspect_err(|_| drop(self.containers.pop()))
    }

    /// An ephemeral container has ended.
    pub(super) fn ephemeral_ended(&mut self, n: usize, code: u8, failure: Option<Error>) -> Result<()> {
        let Some(container) = self.containers.get_mut(n) else { return Ok(()) };
        container.given = None;
        let client = container.client.take();
        let _ = container.remove_directories(self.dir.as_fd());
        if let Some(id) = client {
            match failure {
                Some(error) => self.control.refuse(id, &error),
                None => self.control.answer(id, &Reply::Exited(code), &[]),
            }
        }
        if self.ending.is_some() { self.next_to_leave() } else { Ok(()) }
    }

    /// The client of connection `id` is gone, and with it the container that it brought.
    fn end_ephemeral(&mut self, id: usize) -> Result<()> {
        self.containers.iter().filter(|c| c.client == Some(id)).try_for_each(|c| c.signal(libc::SIGKILL))
    }

    /// What each container that runs uses.
    fn usage(&self) -> Vec<Usage> {
        let processes = processes::all();
        let ticks = u64::try_from(nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok().flatten().unwrap_or(100))
            .unwrap_or(100)
            .max(1);
        let page =
            u64::try_from(nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten().unwrap_or(4096))
                .unwrap_or(4096);
        let mut usage = Vec::new();
        for (n, container) in self.containers.iter().enumerate() {
            let Some(first) = container.running() else { continue };
            let mut roots: Vec<i32> = vec![Child::pid(first)];
            let errands = self.errands.iter().filter(|e| e.purpose.container() == Some(n));
            roots.extend(errands.map(|e| e.child.pid()));
            let mut of =
                Usage { container: container.plan.name.clone(), cpu_nanoseconds: 0, memory_bytes: 0, processes: 0 };
            for (pid, process) in &processes {
                // A process's parents lead to the supervisor's child that it descends from. They were not all read at one moment, so a pid
                // may have been given again meanwhile: no way is longer than there are processes.
                let parents = std::iter::successors(Some(*pid), |at| processes.get(at).map(|p| p.parent));
                if parents.take(processes.len()).any(|at| roots.contains(&at)) {
                    of.cpu_nanoseconds += process.ticks.saturating_mul(1_000_000_000 / ticks);
                    of.memory_bytes += process.pages.saturating_mul(page);
                    of.processes += 1;
                }
            }
            usage.push(of);
        }
        usage
    }
}

/// A command that a client wants to run.
struct Wanted {
    argv: Vec<String>,
    env: Vec<(String, String)>,
    workdir: Option<String>,
    terminal: Option<WindowSize>,
}

/// The pod's plan does not know of the container, so its file is missing among those of the others.
fn make_message_file(file: &Path) -> Result<()> {
    std::fs::write(file, b"").context(|| format!("open({file:?})"))?;
    let everybody = std::fs::Permissions::from_mode(0o666);
    std::fs::set_permissions(file, everybody).context(|| format!("chmod({file:?})"))
}

fn three(fds: Vec<OwnedFd>) -> Result<[OwnedFd; 3]> {
    <[OwnedFd; 3]>::try_from(fds).map_err(|_| Error::new("a command needs three descriptors: stdin, stdout, stderr"))
}
