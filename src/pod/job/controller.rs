//! What a Job does about its pods, without a clock or a process (Kubernetes, "Jobs"; job_controller.go, `syncJob` and `manageJob`).
//!
//! It is told what happens to pods ([`Controller::pod_ended`], [`Controller::restarted`]), and asked what to do ([`Controller::act`]) after
//! each of that and when it is [due](Controller::due).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::backoff::Backoff;
use super::indexes::Indexes;
use super::policy::{PodEnd, judge};
use crate::plan::{CompletionMode, FailureAction, JobPlan, RestartPolicy};

/// A Job on its way.
#[derive(Debug)]
pub(super) struct Controller {
    plan: JobPlan,
    namespace: String,
    /// By how much waits are stretched.
    scale: f64,
    started: Instant,
    /// The pods that run, by their numbers.
    active: BTreeMap<usize, Active>,
    /// The number of the next pod.
    next: usize,
    succeeded: u32,
    /// How many pods failed whose failure counts.
    failed: u32,
    backoff: Backoff,
    /// Of an Indexed Job.
    indexes: Option<Indexes>,
    /// A pod fitted a rule that fails the Job.
    failing: Option<String>,
    outcome: Option<Outcome>,
    /// Whether the pods that were left were asked to end.
    stopped: bool,
    /// When pods may start that have to wait now.
    wake: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Active {
    index: Option<u32>,
    restarts: u32,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// Start a pod.
    Start {
        /// Its number.
        pod: usize,
        /// Its index.
        index: Option<u32>,
        /// How many pods of the index have failed before.
        failures: u32,
    },
    /// Ask this pod to end.
    Stop(usize),
}

/// The counters of a Job's status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Counts {
    /// Pods that run.
    pub active: usize,
    /// Pods that have succeeded; of an Indexed Job, indexes.
    pub succeeded: u32,
    /// Pods that have failed.
    pub failed: u32,
    /// Of an Indexed Job: the indexes that have succeeded.
    pub completed_indexes: Option<String>,
    /// Where each index has a limit of its own: those that have failed.
    pub failed_indexes: Option<String>,
}

/// What the failure of a pod means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Failure {
    /// By the Job's rules.
    pub action: FailureAction,
    /// How long the next pod waits, where the Job goes on and there is one.
    pub wait: Option<Duration>,
}

/// How a Job ends, as its condition has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// `Complete`.
    Complete,
    /// `Failed`.
    Failed {
        /// The condition's reason.
        reason: &'static str,
        /// The condition's message.
        message: String,
    },
    /// It was ended from outside.
    Interrupted,
}

impl Controller {
    /// A Job of `namespace` that begins at `now`, on a clock that is stretched by `scale`.
    pub(super) fn new(plan: JobPlan, namespace: String, scale: f64, now: Instant) -> Controller {
        let indexes = (plan.mode == CompletionMode::Indexed).then(|| Indexes::new(plan.completions.unwrap_or(0)));
        Controller {
            plan,
            namespace,
            scale,
            started: now,
            active: BTreeMap::new(),
            next: 0,
            succeeded: 0,
            failed: 0,
            backoff: Backoff::default(),
            indexes,
            failing: None,
            outcome: None,
            stopped: false,
            wake: None,
        }
    }

    /// The plan.
    pub(super) fn plan(&self) -> &JobPlan {
        &self.plan
    }

    /// How the Job has ended, once its last pod has.
    pub(super) fn outcome(&self) -> Option<&Outcome> {
        self.outcome.as_ref().filter(|_| self.active.is_empty())
    }

    /// How it ends, as soon as that is decided.
    pub(super) fn decided(&self) -> Option<&Outcome> {
        self.outcome.as_ref()
    }

    /// Why it is complete: a condition's reason and message (job_controller.go, `JobReasonCompletionsReached`, `JobReasonSuccessPolicy`).
    pub(super) fn success(&self) -> (&'static str, String) {
        match self.indexes.as_ref().and_then(|indexes| indexes.met(&self.plan.success_rules)) {
            Some(rule) => ("SuccessPolicy", format!("Matched rules at index {rule}")),
            None => ("CompletionsReached", "Reached expected number of succeeded pods".to_owned()),
        }
    }

    /// How far it has come.
    pub(super) fn counts(&self) -> Counts {
        let indexes = self.indexes.as_ref();
        Counts {
            active: self.active.len(),
            succeeded: indexes.map_or(self.succeeded, Indexes::succeeded),
            failed: self.failed,
            completed_indexes: indexes.map(Indexes::completed),
            failed_indexes: indexes.filter(|_| self.plan.backoff_limit_per_index.is_some()).map(Indexes::to_string),
        }
    }

    /// Whether its end is decided.
    pub(super) fn is_ending(&self) -> bool {
        self.outcome.is_some()
    }

    /// When it must be asked what to do though nothing happens.
    pub(super) fn due(&self) -> Option<Instant> {
        if self.outcome.is_some() { None } else { [self.wake, self.deadline()].into_iter().flatten().min() }
    }

    /// The Job is to end, and its pods are asked to by somebody else.
    pub(super) fn interrupt(&mut self) {
        self.stopped = true;
        self.outcome.get_or_insert(Outcome::Interrupted);
    }

    /// A pod could not be run at all.
    pub(super) fn lost(&mut self, pod: usize) {
        self.active.remove(&pod);
    }

    /// The Job is to end, and its pods with it.
    pub(super) fn give_up(&mut self) {
        self.outcome.get_or_insert(Outcome::Interrupted);
    }

    /// The containers of a running pod were started again `restarts` times, all together.
    pub(super) fn restarted(&mut self, pod: usize, restarts: u32) {
        if let Some(active) = self.active.get_mut(&pod) {
            active.restarts = restarts;
        }
    }

    /// A pod called `name` has ended at `now`; what its failure means, if it failed and the Job goes on.
    pub(super) fn pod_ended(&mut self, pod: usize, name: &str, end: &PodEnd, now: Instant) -> Option<Failure> {
        let active = self.active.remove(&pod)?;
        if self.outcome.is_some() {
            // It decides nothing any more, and is counted.
            let count = if end.code == 0 { &mut self.succeeded } else { &mut self.failed };
            *count = count.saturating_add(1);
            if let Some((index, indexes)) = active.index.zip(self.indexes.as_mut()).filter(|_| end.code == 0) {
                indexes.end(index);
                indexes.succeed(index);
            }
            return None;
        }
        let index = active.index.zip(self.indexes.as_mut());
        if end.code == 0 {
            self.succeeded = self.succeeded.saturating_add(1);
            self.backoff.succeeded();
            if let Some((index, indexes)) = index {
                indexes.end(index);
                indexes.succeed(index);
            }
            return None;
        }
        let verdict = judge(&self.plan.failure_rules, &format!("{}/{name}", self.namespace), end);
        // Whatever it means, the next one waits.
        self.backoff.failed(now);
        let counts = verdict.action != FailureAction::Ignore;
        if counts {
            self.failed = self.failed.saturating_add(1);
        }
        if verdict.action == FailureAction::FailJob {
            self.failing.get_or_insert(verdict.why);
        }
        let mut backoff = self.backoff;
        if let Some((index, indexes)) = index {
            let again = indexes.end(index);
            again.backoff.failed(now);
            if self.plan.backoff_limit_per_index.is_some() {
                backoff = again.backoff;
            }
            again.failures += u32::from(counts);
            let is_past = self.plan.backoff_limit_per_index.is_some_and(|limit| again.failures > limit);
            if is_past || verdict.action == FailureAction::FailIndex {
                indexes.fail(index);
                return Some(Failure { action: FailureAction::FailIndex, wait: None });
            }
        }
        let wait = self.decide(now).is_none().then(|| backoff.wait(self.scale));
        Some(Failure { action: verdict.action, wait })
    }

    /// What is to be done at `now`.
    pub(super) fn act(&mut self, now: Instant) -> Vec<Action> {
        self.wake = None;
        if self.outcome.is_none() {
            self.outcome = self.decide(now);
        }
        if self.outcome.is_none() {
            return self.start(now);
        }
        if std::mem::replace(&mut self.stopped, true) {
            return Vec::new();
        }
        self.active.keys().map(|&pod| Action::Stop(pod)).collect()
    }

    /// Whether the Job is over, in the order in which the controller asks.
    fn decide(&self, now: Instant) -> Option<Outcome> {
        let failed = |reason, message: &str| Some(Outcome::Failed { reason, message: message.to_owned() });
        if let Some(why) = &self.failing {
            return failed("PodFailurePolicy", why);
        }
        if self.failed > self.plan.backoff_limit || self.is_past_restarts() {
            return failed("BackoffLimitExceeded", "Job has reached the specified backoff limit");
        }
        if self.deadline().is_some_and(|deadline| now >= deadline) {
            return failed("DeadlineExceeded", "Job was active longer than specified deadline");
        }
        if let Some(indexes) = &self.indexes {
            if self.plan.max_failed_indexes.is_some_and(|most| indexes.failed() > most) {
                let message = "Job has exceeded the specified maximal number of failed indexes";
                return failed("MaxFailedIndexesExceeded", message);
            }
            let all = u64::from(indexes.failed()) + u64::from(indexes.succeeded());
            if indexes.failed() > 0 && all >= u64::from(self.plan.completions.unwrap_or(0)) {
                return failed("FailedIndexes", &format!("Job has failed indexes: {indexes}"));
            }
            if indexes.met(&self.plan.success_rules).is_some() {
                return Some(Outcome::Complete);
            }
        }
        let enough = match self.plan.completions {
            None => self.succeeded > 0,
            Some(completions) => self.succeeded >= completions,
        };
        (enough && self.active.is_empty()).then_some(Outcome::Complete)
    }

    /// With `OnFailure` a pod's containers start again by themselves, and that is what the limit is about.
    fn is_past_restarts(&self) -> bool {
        let restarts: u64 = self.active.values().map(|active| u64::from(active.restarts)).sum();
        self.plan.restart_policy == RestartPolicy::OnFailure && restarts >= u64::from(self.plan.backoff_limit.max(1))
    }

    fn deadline(&self) -> Option<Instant> {
        self.plan.active_deadline.map(|deadline| self.started + deadline.mul_f64(self.scale))
    }

    /// The pods that are wanted beside those that run.
    fn start(&mut self, now: Instant) -> Vec<Action> {
        let wanted = match self.plan.completions {
            // Work is found somewhere else: the first success says that there is no more.
            None if self.succeeded > 0 => 0,
            None => self.plan.parallelism,
            Some(completions) => completions.saturating_sub(self.succeeded).min(self.plan.parallelism),
        };
        let missing = usize::try_from(wanted).unwrap_or(usize::MAX).saturating_sub(self.active.len());
        let is_per_index = self.plan.backoff_limit_per_index.is_some();
        if missing == 0 {
            return Vec::new();
        }
        if !is_per_index && let Some(until) = self.backoff.until(now, self.scale) {
            self.wake = Some(until);
            return Vec::new();
        }
        let Some(indexes) = &self.indexes else {
            return (0..missing).map(|_| self.begin(None, 0)).collect();
        };
        let mut ready = Vec::new();
        for (index, again) in indexes.pending(missing) {
            match again.backoff.until(now, self.scale).filter(|_| is_per_index) {
                None => ready.push((index, again.failures)),
                Some(until) => self.wake = Some(self.wake.map_or(until, |wake| wake.min(until))),
            }
        }
        ready.into_iter().map(|(index, failures)| self.begin(Some(index), failures)).collect()
    }

    fn begin(&mut self, index: Option<u32>, failures: u32) -> Action {
        let pod = self.next;
        self.next += 1;
        self.active.insert(pod, Active { index, restarts: 0 });
        if let Some((index, indexes)) = index.zip(self.indexes.as_mut()) {
            indexes.start(index);
        }
        Action::Start { pod, index, failures }
    }
}
