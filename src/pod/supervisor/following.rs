//! Volumes follow their files while the pod runs, and tokens are renewed: when, and by whom.

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sched::CloneFlags;
use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};

use super::Supervisor;
use super::errands::Belongings;
use crate::error::{Error, Result};
use crate::host::confine::keep_capabilities_over_files;
use crate::plan::{FilePlan, PodPaths, PodPlan};
use crate::pod::errand::{Errand, Purpose};
use crate::pod::events::Source;
use crate::pod::follow::{FAILED, Follow, News, Watched, follow, renew};
use crate::pod::status::EventKind;
use crate::sys::clone::{Exit, spawn};
use crate::sys::process::close_all_but;
use crate::sys::{Named, SysError, packet};

/// How long the files are left alone after something has happened to one: editors and tools do several things to several files.
const SETTLING: Duration = Duration::from_millis(100);

/// How long reading and writing may take.
const LONGEST: Duration = Duration::from_secs(30);

/// As much of the news as one message takes, in bytes.
const NEWS: usize = 6 * 1024;

/// What is followed, and when something is to be done about it.
#[derive(Debug, Default)]
pub(super) struct Following {
    files: Option<(Watched, Follow)>,
    /// When the files are read again.
    settled_at: Option<Instant>,
    /// Volumes with tokens: name, path, and the tokens.
    tokens: Vec<(String, PathBuf, Vec<FilePlan>)>,
    renewed_at: Option<Instant>,
    busy: Busy,
}

/// Whether a process is writing volumes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Busy {
    #[default]
    No,
    Yes,
}

/// What the process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Job {
    Follow,
    Renew,
}

impl Following {
    /// What is to be followed of a pod whose volumes have just been written. Their contents are let go, but for tokens' claims.
    pub(super) fn new(plan: &mut PodPlan, files: Option<(Watched, Follow)>) -> Following {
        let mut tokens = Vec::new();
        for volume in &mut plan.volumes {
            let mut files = std::mem::take(&mut volume.files);
            files.retain(|file| file.lifetime.is_some());
            if !files.is_empty() {
                tokens.push((volume.name.clone(), volume.path.clone(), files));
            }
        }
        Following { files, tokens, ..Following::default() }
    }

    /// When something is to be done.
    pub(super) fn due(&self) -> Option<Instant> {
        if self.busy == Busy::Yes {
            return None;
        }
        [self.settled_at, self.renewed_at].into_iter().flatten().min()
    }

    /// How long the shortest-lived token lasts.
    fn lifetime(&self) -> Option<Duration> {
        let lifetimes = self.tokens.iter().flat_map(|(_, _, tokens)| tokens).filter_map(|token| token.lifetime);
        lifetimes.min().map(Duration::from_secs)
    }

    /// What is watched.
    pub(super) fn watched(&self) -> Option<&Watched> {
        self.files.as_ref().map(|(watched, _)| watched)
    }
}

impl Supervisor<'_> {
    /// Watches the files, and minds the tokens' time from now on.
    pub(super) fn begin_following(&mut self) -> Result<()> {
        if let Some(watched) = self.following.watched() {
            self.events.watch(watched, Source::Files)?;
        }
        self.mind_tokens();
        Ok(())
    }

    /// A token is renewed when four fifths of its time are over, as the kubelet does it.
    fn mind_tokens(&mut self) {
        let wait = self.following.lifetime().map(|lifetime| self.scaled(lifetime.mul_f64(0.8)));
        self.following.renewed_at = wait.map(|wait| Instant::now() + wait);
    }

    /// Something has happened in the files' directories.
    pub(super) fn files_changed(&mut self) {
        if self.following.watched().is_some_and(Watched::take) {
            let settled = Instant::now() + SETTLING;
            self.following.settled_at.get_or_insert(settled);
        }
    }

    /// Does what is due.
    pub(super) fn due_following(&mut self, now: Instant) -> Result<()> {
        if self.following.due().is_none_or(|due| now < due) {
            return Ok(());
        }
        let job = if self.following.settled_at.is_some_and(|at| now >= at) {
            self.following.settled_at = None;
            Job::Follow
        } else {
            self.mind_tokens();
            Job::Renew
        };
        if let Err(e) = self.begin_writing(job) {
            self.happened(EventKind::Warning, FAILED, None, e.what());
        }
        Ok(())
    }

    fn begin_writing(&mut self, job: Job) -> Result<()> {
        let (ours, theirs) = packet::pair()?;
        let (pod, uid, run_dir) = (&self.about.object, self.plan.uid.clone(), self.plan.run_dir.clone());
        let following = &mut self.following;
        let mut ours = Some(ours);
        let child = spawn(CloneFlags::empty(), || {
            ours.take();
            let news = match (confine(&theirs, following), job) {
                (Err(e), _) => vec![News { kind: EventKind::Warning, message: e.to_string() }],
                (Ok(()), Job::Renew) => renew(&following.tokens),
                (Ok(()), Job::Follow) => match &mut following.files {
                    Some((watched, what)) => follow(watched, what, pod, &PodPaths::of_running(uid, run_dir)),
                    None => Vec::new(),
                },
            };
            i32::from(packet::send(&theirs, &message(news), &[]).is_err())
        })?;
        let ours = ours.ok_or_else(|| Error::new("the answer's socket is gone"))?;
        fcntl(&ours, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).named(|| "fcntl(F_SETFL, O_NONBLOCK)")?;
        self.following.busy = Busy::Yes;
        let deadline = Some(Instant::now() + LONGEST);
        self.add_errand(Purpose::Files, child, Belongings { answer: Some(ours), deadline, ..Belongings::default() })
    }

    /// The process that writes volumes has ended; `said` is what it had to tell.
    pub(super) fn files_written(&mut self, errand: &Errand, said: &[u8], exit: Exit) {
        self.following.busy = Busy::No;
        let news: Vec<News> = serde_json::from_slice(said).unwrap_or_else(|_| {
            let why = if errand.late { "it took too long".to_owned() } else { format!("its process ended: {exit:?}") };
            vec![News { kind: EventKind::Warning, message: format!("writing volumes anew: {why}") }]
        });
        for News { kind, message } in news {
            match kind {
                EventKind::Normal => self.happened(kind, "Updated", None, &message),
                EventKind::Warning => {
                    self.say(&message);
                    self.happened(kind, FAILED, None, &message);
                }
            }
        }
    }
}

/// It reads what the user has written by now, and needs nothing but files.
fn confine(socket: &OwnedFd, following: &Following) -> std::result::Result<(), SysError> {
    nix::unistd::setsid().named(|| "setsid()")?;
    let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None);
    let mut kept = vec![socket.as_fd()];
    if let Some((watched, what)) = &following.files {
        kept.extend(watched.directories());
        kept.push(what.constant.as_fd());
    }
    close_all_but(&kept)?;
    keep_capabilities_over_files()
}

/// As many of the news as one message takes; secret values are in none.
fn message(mut news: Vec<News>) -> Vec<u8> {
    loop {
        let bytes = serde_json::to_vec(&news).unwrap_or_default();
        if bytes.len() <= NEWS || news.pop().is_none() {
            return bytes;
        }
    }
}
