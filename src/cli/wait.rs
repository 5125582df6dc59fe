//! `podling wait`: until pods are in a condition.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::stdout::Stdout;
use super::wait_jobs::JobCondition;
use super::watches::{News, Watches};
use super::{data, duration};
use crate::error::{Error, Result};
use crate::pod::list::{self, Life};
use crate::pod::pod_dir;
use crate::pod::record::read_first;
use crate::pod::status::{Phase, Summary};

/// Wait until pods are in a condition
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit code: 0 when every pod is in the condition; 1 when the time is over, and at once when a pod has ended in a way
that the condition cannot come any more; 125 for other errors, as a pod that is not there.

Examples:
  podling wait web --for=ready
  podling wait web --for=succeeded --timeout=10m
  podling wait job/import --for=complete --timeout=10m
  podling wait web --for=condition=Initialized
  podling wait web --for=deleted --timeout=-1s"
)]
pub struct Args {
    /// Pods, or Jobs as job/NAME
    #[arg(value_name = "POD|job/NAME", required = true, add = super::complete::pods_or_jobs())]
    pods: Vec<String>,

    /// ready, running, succeeded, failed, deleted or condition=NAME[=VALUE], where VALUE is True unless written; of Jobs complete, failed,
    /// deleted
    #[arg(long = "for", value_name = "CONDITION", value_parser = condition)]
    condition: Condition,

    /// How long to wait: 30s, 5m; 0 looks once, and less than zero waits for ever
    #[arg(long, value_name = "DURATION", default_value = "30s", allow_hyphen_values = true, value_parser = timeout)]
    timeout: Timeout,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Timeout {
    After(Duration),
    Never,
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Condition {
    Running,
    Succeeded,
    Failed,
    Deleted,
    /// What only a Job comes into: `Complete`.
    Complete,
    /// One of `status.conditions`, and whether it is to be true.
    Named(Named, bool),
}

/// The conditions that a pod has here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Named {
    PodScheduled,
    PodReadyToStartContainers,
    Initialized,
    ContainersReady,
    Ready,
}

const NAMED: [(&str, Named); 5] = [
    ("PodScheduled", Named::PodScheduled),
    ("PodReadyToStartContainers", Named::PodReadyToStartContainers),
    ("Initialized", Named::Initialized),
    ("ContainersReady", Named::ContainersReady),
    ("Ready", Named::Ready),
];

fn condition(text: &str) -> std::result::Result<Condition, String> {
    match text.to_ascii_lowercase().as_str() {
        "ready" => return Ok(Condition::Named(Named::Ready, true)),
        "running" => return Ok(Condition::Running),
        "succeeded" => return Ok(Condition::Succeeded),
        "failed" | "condition=failed" => return Ok(Condition::Failed),
        "complete" | "condition=complete" => return Ok(Condition::Complete),
        "deleted" | "delete" => return Ok(Condition::Deleted),
        _ => {}
    }
    let Some(named) = text.strip_prefix("condition=") else {
        return Err(
            "there are ready, running, succeeded, failed, deleted and condition=NAME[=VALUE], and complete for Jobs"
                .to_owned(),
        );
    };
    let (name, value) = named.split_once('=').unwrap_or((named, "True"));
    let Some((_, named)) = NAMED.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) else {
        let names: Vec<&str> = NAMED.iter().map(|(name, _)| *name).collect();
        return Err(format!("a pod has no condition {name:?}; it has {}", names.join(", ")));
    };
    match value.to_ascii_lowercase().as_str() {
        "true" => Ok(Condition::Named(*named, true)),
        "false" => Ok(Condition::Named(*named, false)),
        _ => Err(format!("a condition is True or False here, never {value:?}")),
    }
}

fn timeout(text: &str) -> std::result::Result<Timeout, String> {
    match text.strip_prefix('-') {
        Some(rest) => duration::parse(rest).map(|length| match length {
            Duration::ZERO => Timeout::After(length),
            _ => Timeout::Never,
        }),
        None => duration::parse(text).map(Timeout::After),
    }
}

/// How a pod stands to a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    Met,
    NotYet,
    /// It cannot come any more, since the pod has ended.
    Never,
}

impl Condition {
    /// The same of a Job.
    fn of_job(self) -> Result<JobCondition> {
        match self {
            Condition::Complete => Ok(JobCondition::Complete),
            Condition::Failed => Ok(JobCondition::Failed),
            Condition::Deleted => Ok(JobCondition::Deleted),
            _ => Err(Error::new("a Job is waited for with --for=complete, --for=failed or --for=deleted")
                .mend("its pods can be waited for by their names: podling ps -a")),
        }
    }

    /// `Deleted` is not seen in a pod that there is.
    fn judge(self, pod: &Summary) -> Verdict {
        let has_ended = pod.ended_at.is_some() || pod.exit_code.is_some();
        let met = match self {
            Condition::Running => !has_ended && pod.phase == Phase::Running,
            Condition::Succeeded => has_ended && pod.phase == Phase::Succeeded,
            Condition::Failed => has_ended && pod.phase == Phase::Failed,
            Condition::Deleted | Condition::Complete => false,
            Condition::Named(named, value) => {
                let holds = match named {
                    Named::PodScheduled => true,
                    Named::PodReadyToStartContainers => !has_ended,
                    Named::Initialized => pod.initialized,
                    Named::ContainersReady | Named::Ready => pod.ready,
                };
                holds == value
            }
        };
        match met {
            true => Verdict::Met,
            false if has_ended && self != Condition::Deleted => Verdict::Never,
            false => Verdict::NotYet,
        }
    }
}

/// How often somebody else's directory is looked at while a record is waited to go: nothing tells of that.
const LOOK: Duration = Duration::from_millis(50);

/// One pod that is waited for.
struct Waited {
    name: String,
    /// Its directory; `None` where there was none from the beginning.
    dir: Option<PathBuf>,
    uid: Option<String>,
    last: Option<Summary>,
    verdict: Verdict,
}

/// Runs the verb.
///
/// # Errors
/// A pod that is not there, or cannot be asked.
pub fn run(args: &Args) -> Result<u8> {
    let data = data::of_pods()?;
    let deadline = match args.timeout {
        // What the clock cannot add is for ever.
        Timeout::After(length) => Instant::now().checked_add(length),
        Timeout::Never => None,
    };
    let (jobs, names) = super::jobs::apart(&args.pods);
    if !jobs.is_empty() {
        if let Some(pod) = names.first() {
            return Err(Error::new(format!("Jobs and pods are waited for by two commands, and {pod:?} is a pod")));
        }
        let condition = args.condition.of_job()?;
        return Ok(u8::from(!super::wait_jobs::wait(&data, &jobs, condition, deadline)?));
    }
    if args.condition == Condition::Complete {
        return Err(
            Error::new("complete is what Jobs are").mend("write job/NAME, or wait for a pod with --for=succeeded")
        );
    }
    let mut watches = Watches::default();
    let mut pods = Vec::new();
    for (n, name) in args.pods.iter().enumerate() {
        pods.push(begin(&data, name, n, args.condition, &mut watches)?);
    }
    wait(&mut pods, args.condition, deadline, &mut watches)?;
    Ok(u8::from(!pods.iter().all(|pod| pod.verdict == Verdict::Met)))
}

/// Looks at a pod for the first time.
fn begin(data: &Path, name: &str, n: usize, condition: Condition, watches: &mut Watches) -> Result<Waited> {
    let plain = name.strip_prefix("pod/").or_else(|| name.strip_prefix("pods/")).unwrap_or(name).to_owned();
    let mut got = list::get(data, name);
    // One that is just being removed is not there to be asked, and not gone yet.
    for _ in 0..500 {
        if condition != Condition::Deleted || got.is_ok() || read_first(&pod_dir(data, &plain))?.is_none() {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
        got = list::get(data, name);
    }
    if condition == Condition::Deleted
        && got.is_err()
        && (!list::names(data).contains(&plain) || read_first(&pod_dir(data, &plain))?.is_none())
    {
        // It was never there, or it has just gone.
        let mut pod = Waited { name: plain, dir: None, uid: None, last: None, verdict: Verdict::NotYet };
        pod.decide(Verdict::Met)?;
        return Ok(pod);
    }
    let found = got?;
    let uid = read_first(&found.dir)?.map(|first| first.uid);
    let mut pod = Waited { name: plain, dir: Some(found.dir.clone()), uid, last: None, verdict: Verdict::NotYet };
    match found.life {
        Life::Live(connection) => watches.add(n, connection),
        _ => pod.end_as(list::summary(&found, list::Asked::No)?, condition)?,
    }
    Ok(pod)
}

impl Waited {
    /// Judges by what was heard last.
    fn look(&mut self, condition: Condition) -> Result<()> {
        let Some(last) = &self.last else { return Ok(()) };
        self.decide(condition.judge(last))
    }

    /// Says what has been decided, once.
    fn decide(&mut self, verdict: Verdict) -> Result<()> {
        if self.verdict != Verdict::NotYet || verdict == Verdict::NotYet {
            return Ok(());
        }
        match verdict {
            Verdict::Met => writeln!(Stdout::lock(), "pod/{} condition met", self.name)?,
            _ => {
                let mut how = String::new();
                if let Some(last) = &self.last {
                    how = format!(" ({}, exit code {})", last.state, last.exit_code.unwrap_or_default());
                }
                let error =
                    Error::new(format!("pod {:?} has ended{how}: the condition cannot come any more", self.name));
                super::say(error.mend(format!("see why with: podling describe {}", self.name)));
            }
        }
        self.verdict = verdict;
        Ok(())
    }

    /// Its supervisor says nothing more.
    fn end(&mut self, condition: Condition) -> Result<()> {
        // One that was killed has not said how it ended.
        let again = self.dir.as_deref().map_or(Ok(None), |dir| list::again(dir, &self.name))?;
        let last = match again {
            Some(again) if !matches!(again.life, Life::Live(_)) => list::summary(&again, list::Asked::No)?,
            _ => self.last.take(),
        };
        self.end_as(last, condition)
    }

    /// It has ended, as `last` says.
    fn end_as(&mut self, last: Option<Summary>, condition: Condition) -> Result<()> {
        self.last = last;
        self.look(condition)?;
        if condition == Condition::Deleted { Ok(()) } else { self.decide(Verdict::Never) }
    }

    /// Whether the pod has gone, or another has its name now.
    fn is_deleted(&self) -> bool {
        let Some(dir) = &self.dir else { return true };
        if !dir.exists() {
            return true;
        }
        let now = read_first(dir).ok().flatten().map(|first| first.uid);
        self.uid.is_some() && now.is_some() && now != self.uid
    }
}

fn wait(pods: &mut [Waited], condition: Condition, deadline: Option<Instant>, watches: &mut Watches) -> Result<()> {
    // Each pod that runs says how it is before time counts: zero looks once.
    let mut unheard: Vec<usize> = (0..pods.len()).filter(|n| pods.get(*n).is_some_and(Waited::is_unheard)).collect();
    loop {
        for pod in pods.iter_mut().filter(|pod| condition == Condition::Deleted && pod.verdict == Verdict::NotYet) {
            if pod.is_deleted() {
                pod.decide(Verdict::Met)?;
            }
        }
        // One pod that cannot come into the condition decides the outcome.
        if pods.iter().any(|pod| pod.verdict == Verdict::Never) || pods.iter().all(|pod| pod.verdict == Verdict::Met) {
            return Ok(());
        }
        if unheard.is_empty() && deadline.is_some_and(|at| Instant::now() >= at) {
            for pod in pods.iter().filter(|pod| pod.verdict == Verdict::NotYet) {
                super::say(format_args!("timed out waiting for the condition on pods/{}", pod.name));
            }
            return Ok(());
        }
        let look_again = (condition == Condition::Deleted).then(|| Instant::now() + LOOK);
        let until = if unheard.is_empty() { [deadline, look_again].into_iter().flatten().min() } else { look_again };
        let Some((n, news)) = watches.next(until)? else { continue };
        let Some(pod) = pods.get_mut(n) else { continue };
        match news {
            News::Summary(summary) => {
                pod.last = Some(*summary);
                pod.look(condition)?;
                unheard.retain(|other| *other != n);
            }
            News::Events(_) => {}
            News::End => {
                pod.end(condition)?;
                unheard.retain(|other| *other != n);
            }
        }
        if pod.verdict == Verdict::Met {
            watches.forget(n);
        }
    }
}

impl Waited {
    fn is_unheard(&self) -> bool {
        self.last.is_none() && self.verdict == Verdict::NotYet
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_and_times_are_read() {
        assert_eq!(condition("Ready"), Ok(Condition::Named(Named::Ready, true)));
        assert_eq!(condition("delete"), Ok(Condition::Deleted));
        assert_eq!(condition("condition=initialized"), Ok(Condition::Named(Named::Initialized, true)));
        assert_eq!(condition("condition=Ready=false"), Ok(Condition::Named(Named::Ready, false)));
        assert_eq!(condition("condition=Complete"), Ok(Condition::Complete));
        assert_eq!(condition("Complete").unwrap().of_job().unwrap(), JobCondition::Complete);
        assert!(condition("ready").unwrap().of_job().is_err());
        for (bad, why) in [
            ("read", "there are ready"),
            ("condition=Red", "it has PodScheduled"),
            ("condition=Ready=maybe", "True or False"),
            ("jsonpath={.status}", "there are ready"),
        ] {
            assert!(condition(bad).unwrap_err().contains(why), "{bad}");
        }
        assert_eq!(timeout("0"), Ok(Timeout::After(Duration::ZERO)));
        assert_eq!(timeout("-1s"), Ok(Timeout::Never));
        assert_eq!(timeout("1m"), Ok(Timeout::After(Duration::from_secs(60))));
        assert!(timeout("--1s").is_err() && timeout("-1").is_err());
    }
}
