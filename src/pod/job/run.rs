//! The Jobs of one client: what their controllers decide is done, and what happens to their pods is told them.

use std::io::Write;
use std::os::fd::RawFd;
use std::time::Instant;

use super::claim::JobClaim;
use super::controller::{Action, Controller, Outcome};
use super::policy::PodEnd;
use super::record::JobFirst;
use super::status::{End, EndKind, Progress};
use crate::error::{Context, Error, Result};
use crate::plan::{CompletionMode, FailureAction, JobPlan, JobPod};
use crate::pod::client::Start;

/// One Job to be run.
#[derive(Debug)]
pub struct StartJob<'a> {
    /// What was decided.
    pub plan: JobPlan,
    /// Its namespace.
    pub namespace: String,
    /// What its pods are made of.
    pub template: Box<dyn Template + 'a>,
    /// Where it is kept, and how it was started; `None` in the foreground, where nothing is kept.
    pub record: Option<(JobClaim, JobFirst)>,
}

/// What a Job's pods are made of.
pub trait Template: std::fmt::Debug {
    /// The plan of one pod, with the claim on its name.
    ///
    /// # Errors
    /// A field that cannot be honoured, or a name that is taken.
    fn pod(&mut self, pod: &JobPod) -> Result<Start>;
}

/// Which pod of which Job one is: their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::pod) struct Of {
    job: usize,
    pod: usize,
}

impl Of {
    /// The pod's number in its Job.
    pub(in crate::pod) fn number(self) -> usize {
        self.pod
    }
}

/// What is to be done for a Job.
pub(in crate::pod) enum Order {
    /// Start this pod.
    Start(Of, Box<Start>),
    /// Ask this pod to end.
    Stop(Of),
}

impl Order {
    /// What keeps the name and the volumes of a pod that is to be started.
    pub(in crate::pod) fn locks(&self) -> Vec<RawFd> {
        if let Order::Start(_, start) = self { start.locks() } else { Vec::new() }
    }
}

/// Whether podling says what the user may like to know, beside errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::pod) enum Notices {
    Said,
    LeftOut,
}

/// All Jobs of a client.
#[derive(Debug)]
pub(in crate::pod) struct Crew<'a> {
    jobs: Vec<Running<'a>>,
    notices: Notices,
}

#[derive(Debug)]
struct Running<'a> {
    controller: Controller,
    template: Box<dyn Template + 'a>,
    /// The code of the first pod that failed by itself.
    failure: Option<u8>,
    /// The code of the first container that failed and was started again.
    restarted: Option<u8>,
    /// The code of the first pod that failed when it was asked to end.
    stopped: Option<u8>,
    /// podling's own failure.
    error: Option<Error>,
}

/// The exit code of a Job that took too long, as timeout(1) has it and a pod with such a deadline.
const TIMED_OUT: u8 = 124;
/// As the shell reports a process that Ctrl-C ended.
pub(in crate::pod) const STOPPED: u8 = 130;

/// The letters of a made-up name, as the API server takes them: none that could make a word.
const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
/// The longest beginning of a made-up name, which leaves room for five letters in a DNS label.
const LONGEST_BEGINNING: usize = 58;

impl<'a> Crew<'a> {
    /// The Jobs begin now, on a clock that is stretched by `scale`.
    pub(in crate::pod) fn new(jobs: Vec<StartJob<'a>>, scale: f64, notices: Notices) -> Crew<'a> {
        let now = Instant::now();
        let running = |StartJob { plan, namespace, template, .. }| Running {
            controller: Controller::new(plan, namespace, scale, now),
            template,
            failure: None,
            restarted: None,
            stopped: None,
            error: None,
        };
        Crew { jobs: jobs.into_iter().map(running).collect(), notices }
    }

    /// What is to be done now. What cannot be made is its Job's end.
    pub(in crate::pod) fn orders(&mut self) -> Vec<Order> {
        let mut orders = Vec::new();
        for (job, running) in self.jobs.iter_mut().enumerate() {
            for action in running.controller.act(Instant::now()) {
                match action {
                    Action::Stop(pod) => orders.push(Order::Stop(Of { job, pod })),
                    // One could not be made, so no other is.
                    Action::Start { pod, .. } if running.error.is_some() => running.controller.lost(pod),
                    Action::Start { pod, index, failures } => {
                        let of = Of { job, pod };
                        match running.make(index, failures) {
                            Ok(start) => orders.push(Order::Start(of, Box::new(start))),
                            Err(error) => running.lost(pod, error),
                        }
                    }
                }
            }
        }
        orders
    }

    /// When there may be something to do though nothing happens.
    pub(in crate::pod) fn due(&self) -> Option<Instant> {
        self.jobs.iter().filter_map(|job| job.controller.due()).min()
    }

    /// Whether every Job has ended, and its last pod.
    pub(in crate::pod) fn is_over(&self) -> bool {
        self.jobs.iter().all(|job| job.controller.outcome().is_some())
    }

    /// The user wants an end; the pods learn it from the client.
    pub(in crate::pod) fn interrupt(&mut self) {
        self.jobs.iter_mut().for_each(|job| job.controller.interrupt());
    }

    /// Nobody sees any more what the pods print, so the Jobs end.
    pub(in crate::pod) fn abandon(&mut self) {
        self.jobs.iter_mut().for_each(|job| job.controller.give_up());
    }

    /// Whether a Job may still start pods.
    pub(in crate::pod) fn may_start(&self) -> bool {
        self.jobs.iter().any(|job| !job.controller.is_ending())
    }

    /// The containers of a pod were started again so often, all together; the last one had ended with `code`.
    pub(in crate::pod) fn restarted(&mut self, of: Of, restarts: u32, code: u8) {
        if let Some(job) = self.jobs.get_mut(of.job) {
            if code != 0 {
                job.restarted.get_or_insert(code);
            }
            job.controller.restarted(of.pod, restarts);
        }
    }

    /// The pod called `name` has ended: so, or it could not be run.
    pub(in crate::pod) fn ended(&mut self, of: Of, name: &str, end: Result<PodEnd>) {
        let Some(job) = self.jobs.get_mut(of.job) else { return };
        match end {
            Ok(end) => {
                let note = job.ended(of.pod, name, &end);
                if let Some(note) = note.filter(|_| self.notices == Notices::Said) {
                    say(&note);
                }
            }
            Err(error) => job.lost(of.pod, error.context(format!("pod {name:?}"))),
        }
    }

    /// How far the only Job has come.
    pub(in crate::pod) fn progress(&self) -> Option<Progress> {
        self.jobs.first().map(Running::progress)
    }

    /// podling's own failure, which ends the only Job.
    pub(in crate::pod) fn error(&self) -> Option<&Error> {
        self.jobs.first()?.error.as_ref()
    }

    /// How the Jobs have ended, one after the other; why one failed is said.
    pub(in crate::pod) fn finish(self) -> Vec<(String, Result<u8>)> {
        let notices = self.notices;
        self.jobs.into_iter().map(|job| (job.controller.plan().name.clone(), job.finish(notices))).collect()
    }
}

impl Running<'_> {
    fn make(&mut self, index: Option<u32>, failures: u32) -> Result<Start> {
        let plan = self.controller.plan();
        let index = index.filter(|_| plan.mode == CompletionMode::Indexed);
        let pod = JobPod { name: pod_name(&plan.name, index)?, index, failures };
        self.template.pod(&pod).context(|| format!("pod {:?}", pod.name))
    }

    fn progress(&self) -> Progress {
        let end = |kind, reason: &str, message: String| End { kind, reason: reason.to_owned(), message };
        let end = match (self.controller.decided(), &self.error) {
            (None, _) => None,
            (_, Some(error)) => Some(end(EndKind::Failed, "PodNotRun", error.to_string())),
            (Some(Outcome::Complete), _) => {
                let (reason, message) = self.controller.success();
                Some(end(EndKind::Complete, reason, message))
            }
            (Some(Outcome::Failed { reason, message }), _) => Some(end(EndKind::Failed, reason, message.clone())),
            (Some(Outcome::Interrupted), _) => {
                Some(end(EndKind::Failed, "Stopped", "the Job was stopped before it was complete".to_owned()))
            }
        };
        Progress { counts: self.controller.counts(), end, is_over: self.controller.outcome().is_some() }
    }

    /// A pod could not be run: that is no failure of the pod's, and no other would fare better.
    fn lost(&mut self, pod: usize, error: Error) {
        self.controller.lost(pod);
        self.controller.give_up();
        self.error.get_or_insert(error);
    }

    /// A pod has ended; what the user may like to know about it.
    fn ended(&mut self, pod: usize, name: &str, end: &PodEnd) -> Option<String> {
        if end.code != 0 {
            let slot = if self.controller.is_ending() { &mut self.stopped } else { &mut self.failure };
            slot.get_or_insert(end.code);
        }
        let now = Instant::now();
        let failure = self.controller.pod_ended(pod, name, end, now)?;
        let meaning = match failure.action {
            FailureAction::Count | FailureAction::FailJob => "",
            FailureAction::FailIndex => ", and with it its index",
            FailureAction::Ignore => ", which does not count",
        };
        let wait = failure.wait.map(|wait| format!("; the next one waits {:.3} s", wait.as_secs_f64()));
        let wait = wait.map(|wait| wait.replace(".000 s", " s")).unwrap_or_default();
        let (job, code) = (&self.controller.plan().name, end.code);
        Some(format!("job {job:?}: pod {name:?} failed with code {code}{meaning}{wait}"))
    }

    fn finish(self, notices: Notices) -> Result<u8> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let name = &self.controller.plan().name;
        Ok(match self.controller.outcome() {
            Some(Outcome::Complete) => 0,
            Some(Outcome::Failed { reason, message }) => {
                say(&format!("job {name:?} failed: {reason}: {message}"));
                match *reason {
                    "DeadlineExceeded" => self.failure.unwrap_or(TIMED_OUT),
                    _ => self.failure.or(self.restarted).or(self.stopped).unwrap_or(1),
                }
            }
            Some(Outcome::Interrupted) | None => {
                if notices == Notices::Said {
                    say(&format!("job {name:?} was stopped before it was complete"));
                }
                self.failure.or(self.stopped).unwrap_or(STOPPED)
            }
        })
    }
}

/// `JOB-RANDOM`, or `JOB-INDEX-RANDOM`, whose beginning is cut where it is too long.
fn pod_name(job: &str, index: Option<u32>) -> Result<String> {
    let behind = index.map_or_else(|| "-".to_owned(), |index| format!("-{index}-"));
    let beginning = job.get(..LONGEST_BEGINNING.saturating_sub(behind.len())).unwrap_or(job);
    let mut random = [0; 5];
    std::io::Read::read_exact(&mut std::fs::File::open("/dev/urandom")?, &mut random).context(|| "/dev/urandom")?;
    let letter = |byte: &u8| LETTERS.get(usize::from(*byte) % LETTERS.len()).copied().map_or('b', char::from);
    Ok(format!("{beginning}{behind}{}", random.iter().map(letter).collect::<String>()))
}

fn say(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "podling: {text}");
}
