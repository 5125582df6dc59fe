//! The logs of a Job's pods: of those that there are, and, while it runs, of those that it starts.

use std::collections::{BTreeSet, VecDeque};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{Args, Chosen, Teller, chosen, loss, output, tell, tellers};
use crate::cli::jobs::last_word;
use crate::cli::say;
use crate::error::{Error, Result};
use crate::pod::job::{FoundJob, find_job, get_job, is_finished, new_pod_names, pod_names};
use crate::pod::log::{self, Arrival, Arrivals};
use crate::pod::{Connection, Request, list};
use crate::sys::Named;

/// Shows the logs of the pods of the Job called `name`.
///
/// # Errors
/// There is no such Job, or nothing of its pods can be shown.
pub(super) fn show(args: &Args, data: &Path, name: &str) -> Result<()> {
    let job = get_job(data, name)?;
    if args.goes_on() {
        return follow(args, data, job);
    }
    let mut shown = Err(no_pods(name));
    for (n, pod) in pod_names(data, &job.first.uid).into_iter().enumerate() {
        // One that has not started yet, or is removed just now, does not hide the others.
        match (super::show(&Args { pod, ..args.clone() }, data), &shown) {
            (Err(error), Ok(())) => say(&error),
            (Err(error), Err(_)) if n == 0 => shown = Err(error),
            (Err(_), Err(_)) => {}
            (Ok(()), _) => shown = Ok(()),
        }
    }
    shown
}

fn no_pods(name: &str) -> Error {
    Error::new(format!("the Job {name:?} has no pods whose logs are kept"))
        .mend(format!("see how it is with: podling describe job/{name}"))
}

/// Shows the logs of its pods as they are written, until the Job has ended.
fn follow(args: &Args, data: &Path, job: FoundJob) -> Result<()> {
    let name = job.name.clone();
    let mut pods = JobPods::new(args, data, job);
    let (options, mut out) = (args.options(), output(args)?);
    log::follow_arrivals(&mut pods, &options, &mut out, &mut |source, lost| say(loss(source, lost)))?;
    if pods.shown == Shown::Nothing { Err(no_pods(&name)) } else { Ok(()) }
}

/// The pods of a Job, as they come.
struct JobPods<'a> {
    args: &'a Args,
    data: &'a Path,
    name: String,
    uid: String,
    /// `None` once the Job has ended.
    keeper: Option<Connection>,
    /// The pods that have come, and those of others, none of which is looked at twice.
    known: BTreeSet<String>,
    /// Those whose logs are still to be opened, each with how much of its end is shown.
    waiting: VecDeque<(String, Option<usize>)>,
    /// What was said about the choice of containers, which is the same for all pods.
    told: BTreeSet<String>,
    shown: Shown,
}

/// Whether there was any pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    Nothing,
    Something,
}

impl<'a> JobPods<'a> {
    fn new(args: &'a Args, data: &'a Path, mut job: FoundJob) -> JobPods<'a> {
        let mut pods = JobPods {
            args,
            data,
            name: job.name.clone(),
            uid: job.first.uid.clone(),
            keeper: None,
            known: BTreeSet::new(),
            waiting: VecDeque::new(),
            told: BTreeSet::new(),
            shown: Shown::Nothing,
        };
        pods.watch(job.keeper.take());
        pods.look(args.options().tail);
        pods
    }

    /// Asks the keeper to tell of pods; one that has just ended shows so when it is heard.
    fn watch(&mut self, keeper: Option<Connection>) {
        if let Some(keeper) = &keeper {
            let _ = keeper.ask(&Request::Watch, &[]);
        }
        self.keeper = keeper;
    }

    /// Looks for pods that were started since.
    fn look(&mut self, tail: Option<usize>) {
        let new = new_pod_names(self.data, &self.uid, &mut self.known);
        self.waiting.extend(new.into_iter().map(|pod| (pod, tail)));
    }

    /// Hears what the keeper has said; whether it has said anything, or has gone.
    fn hear(&mut self) -> Result<bool> {
        let mut heard = false;
        while let Some(keeper) = &self.keeper {
            let mut fds = [PollFd::new(keeper.as_fd(), PollFlags::POLLIN)];
            if poll(&mut fds, PollTimeout::ZERO).named(|| "poll()")? == 0 {
                return Ok(heard);
            }
            heard = true;
            match keeper.answer() {
                Ok(Some((reply, _))) if last_word(&reply).is_none() => {}
                Ok(Some(_)) => self.keeper = None,
                // It was killed, or would not hear one more: the record says whether the Job goes on.
                Ok(None) | Err(_) => {
                    let is_same = |job: &FoundJob| job.first.uid == self.uid && !is_finished(&job.status);
                    let keeper = find_job(self.data, &self.name)?.filter(is_same).and_then(|job| job.keeper);
                    self.watch(keeper);
                }
            }
        }
        Ok(heard)
    }

    /// What is to be followed of one pod; `None` where it has been removed, or has nothing to show.
    fn open(&mut self, pod: String, tail: Option<usize>) -> Result<Option<Arrival<Teller>>> {
        let Some(found) = list::find(self.data, &pod)? else { return Ok(None) };
        let Chosen { sources, notes } = chosen(&Args { pod, ..self.args.clone() }, &found)?;
        for note in notes {
            if self.told.insert(note.clone()) {
                tell(&note);
            }
        }
        let sources = tellers(&found.dir, sources)?;
        Ok(Some(Arrival { dir: found.dir, sources, tail }))
    }
}

impl Arrivals<Teller> for JobPods<'_> {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.keeper.as_ref().map(AsFd::as_fd)
    }

    fn next(&mut self) -> Result<Option<Arrival<Teller>>> {
        loop {
            while let Some((pod, tail)) = self.waiting.pop_front() {
                match (self.open(pod, tail), self.shown) {
                    (Ok(None), _) => {}
                    (Ok(arrival), _) => {
                        self.shown = Shown::Something;
                        return Ok(arrival);
                    }
                    // All pods have the same containers, so that what is wrong with the first is wrong with all.
                    (Err(error), Shown::Nothing) => return Err(error),
                    // One that is removed just now does not end the others'.
                    (Err(error), Shown::Something) => say(&error),
                }
            }
            // What the pods that come later have written was all written since.
            match self.hear()? {
                true => self.look(None),
                false => return Ok(None),
            }
        }
    }
}
