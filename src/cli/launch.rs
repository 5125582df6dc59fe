//! From read input to running pods: what `run`, `up` and `restart` share.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use nix::sys::memfd::{MFdFlags, memfd_create};

use super::images::{Having, have};
use super::input::{Given, plan_pod, plan_start};
use super::say;
use crate::error::{Context, Error, Result};
use crate::host::HostFacts;
use crate::image::Image;
use crate::image::Store;
use crate::manifest::{ObjectKey, Said, SaidJob, Source};
use crate::plan::{CompletionMode, JobPlan, JobPod, JobStart, Options, PodPlan, VolumeSource};
use crate::pod::job::{JobClaim, JobFirst, sweep_jobs};
use crate::pod::record::{First, boot_id, new_uid};
use crate::pod::status::TracePoint;
use crate::pod::{
    Claim, Follow, Kept, Mode, Run, ShowTrace, Start, StartJob, Style, Template, Until, local, make_base_layer, sweep,
};
use crate::sys::Named;

/// How pods are to be started.
#[derive(Debug)]
pub struct Launch<'a> {
    /// This host.
    pub facts: &'a HostFacts,
    /// podling's data.
    pub data: &'a Path,
    /// The images.
    pub store: &'a Store,
    /// How they are had.
    pub having: Having<'a>,
    /// How the output looks.
    pub style: Style,
    /// What else the command line says of the pods' lives.
    pub life: &'a LifeArgs,
    /// Where the time went.
    pub trace: Trace,
}

/// Options about pods' lives, of `run`, `up` and `restart`.
#[derive(Debug, Clone, clap::Args)]
pub struct LifeArgs {
    /// Stretch back-offs, probe periods, grace periods and other waits by this factor; 0.01 is for tests
    #[arg(long, value_name = "FACTOR", default_value = "1", value_parser = factor)]
    pub time_scale: f64,

    /// Show where the start-up time went
    #[arg(long)]
    pub trace: bool,
}

/// Options of a start that does not wait for the pods' end.
#[derive(Debug, Clone, clap::Args)]
pub struct WaitArgs {
    /// Wait until every container is ready, not only until it runs
    #[arg(long)]
    pub wait: bool,

    /// Wait no longer than this (30s, 2m); the pods go on
    #[arg(long, value_name = "DURATION", value_parser = super::duration::parse)]
    pub timeout: Option<Duration>,
}

impl WaitArgs {
    /// How long the caller waits.
    pub fn mode(&self) -> Mode {
        Mode::Detached(if self.wait { Until::Ready } else { Until::Running }, self.timeout)
    }
}

fn factor(text: &str) -> std::result::Result<f64, String> {
    match text.parse::<f64>() {
        Ok(factor) if factor.is_finite() && (0.0001..=1000.0).contains(&factor) => Ok(factor),
        _ => Err("a factor is a number from 0.0001 to 1000; 1 is real time".to_owned()),
    }
}

/// Where the time of a command goes.
#[derive(Debug, Clone)]
pub struct Trace {
    begun: Instant,
    points: Vec<TracePoint>,
}

impl Trace {
    /// Begins now.
    pub fn begin() -> Trace {
        Trace { begun: Instant::now(), points: Vec::new() }
    }

    /// A step has ended.
    pub fn step(&mut self, step: &str) {
        let at_us = u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.points.push(TracePoint { step: step.to_owned(), at_us });
    }
}

impl Launch<'_> {
    /// Gets the images that the input needs, and decides everything.
    ///
    /// # Errors
    /// An image that cannot be had, or a field that cannot be honoured here.
    pub fn plan(&mut self, given: &Given) -> Result<Planned> {
        let images = have(&given.bundle, self.store, self.facts, &self.having)?;
        self.trace.step("images: pull, unpack");
        let facts = self.facts.with_node(self.data);
        let mut plans = Vec::new();
        for pod in &given.bundle.pods {
            plans.push(plan_start(pod, given, &given.options, &images, &facts, self.data)?);
        }
        let (mut jobs, mut notes) = (Vec::new(), Vec::new());
        for said in &given.bundle.jobs {
            let plan = crate::plan::job(said, new_uid()?, &facts, &given.options)?;
            // Whatever stands against its pods is told before anything is started.
            let pod = trial(said, &plan, given, &images, &facts, self.data)?;
            let own = plan.emulated.iter().map(|(path, how)| (&said.said.source, path.as_str(), how.as_str()));
            let pods = pod.report.iter().map(|v| (&said.template.source, v.path.as_str(), v.how.as_str()));
            let note = |(source, path, how): (&Source, &str, &str)| {
                format!("{}: {}: emulated: {how}", source.at(path), source.full_path(path))
            };
            notes.extend(own.chain(pods).map(note));
            jobs.push((jobs.len(), plan));
        }
        self.trace.step("plan");
        Ok(Planned { plans, jobs, notes, images, facts })
    }

    /// One of the plans without what this start has of its own, to be compared with others.
    ///
    /// # Errors
    /// The pod is not in the input.
    pub fn lasting(&self, given: &Given, planned: &Planned, plan: &PodPlan) -> Result<PodPlan> {
        lasting(given, &planned.images, plan, self.facts, self.data)
    }

    /// Runs the planned pods; the exit code is theirs.
    ///
    /// # Errors
    /// What could not be made, or a pod that could not run.
    pub fn run(self, given: &Given, planned: Planned, mode: Mode, kept: Kept) -> Result<u8> {
        let Launch { facts, data, store, style, life, mut trace, .. } = self;
        if !style.quiet {
            facts.notices.iter().for_each(say);
            for verdict in planned.plans.iter().flat_map(|plan| &plan.report) {
                say(format_args!("{}: {}: emulated: {}", verdict.at, verdict.path, verdict.how));
            }
            planned.notes.iter().for_each(say);
        }
        for left in sweep(data, facts) {
            say(left);
        }
        sweep_jobs(data, facts);
        if let Err(left) = store.sweep(facts) {
            say(&left);
        }
        for left in local::sweep(data, facts) {
            say(left);
        }
        make_base_layer(data, facts)?;
        for claim in given.bundle.claims.values() {
            local::ensure(data, &claim.object, facts)?;
        }
        let Planned { plans, jobs, images, facts: as_node, .. } = planned;
        let holds = images.values().map(|image| store.hold(image)).collect::<Result<Vec<_>>>()?;
        let pods = plans
            .into_iter()
            .map(|plan| {
                let lasts = match mode {
                    Mode::Foreground => None,
                    Mode::Detached(..) => Some(lasting(given, &images, &plan, facts, data)?),
                };
                let first = first(given, said_pod(given, &plan)?, &plan, lasts.as_ref(), life)?;
                let claim = Claim::new(data, &plan.name, facts, kept)?;
                let follow = follow(given, &plan, &as_node)?;
                let volumes = hold_volumes(&plan, data, facts)?;
                Ok(Start { plan, claim, first, follow, volumes })
            })
            .collect::<Result<Vec<_>>>()?;
        trace.step("claim");
        let mut started = Vec::new();
        for (n, plan) in jobs {
            let said = given.bundle.jobs.get(n).ok_or_else(|| Error::new("a Job is not in the input"))?;
            if let JobStart::Suspended(at) = &plan.start
                && !style.quiet
            {
                say(format_args!("{at}: the Job {:?} is suspended, and nothing of it is started", plan.name));
            }
            let record = match mode {
                Mode::Foreground => None,
                Mode::Detached(..) => {
                    let first = first_of_job(given, said, &plan, &images, facts, data, life)?;
                    Some((JobClaim::new(data, &plan.name, kept)?, first))
                }
            };
            if let JobStart::Suspended(_) = &plan.start {
                if let Some((claim, first)) = record {
                    claim.write_first(&first)?;
                }
                continue;
            }
            let namespace = ObjectKey::of(&said.said.object).namespace;
            let template =
                JobTemplate { said, plan: plan.clone(), given, images: &images, facts: &as_node, data, life, mode };
            started.push(StartJob { plan, namespace, template: Box::new(template), record });
        }
        let jobs = started;
        let Trace { begun, points } = trace;
        let show_trace = if life.trace { ShowTrace::Yes } else { ShowTrace::No };
        let code = crate::pod::run(Run {
            pods,
            jobs,
            facts,
            data,
            style,
            mode,
            time_scale: life.time_scale,
            begun,
            trace: points,
            show_trace,
        });
        drop(holds);
        code
    }
}

/// What was decided.
#[derive(Debug)]
pub struct Planned {
    /// The pods.
    pub plans: Vec<PodPlan>,
    /// The Jobs, with their places in the input.
    pub jobs: Vec<(usize, JobPlan)>,
    /// What is emulated of the Jobs.
    notes: Vec<String>,
    images: BTreeMap<String, Image>,
    /// This host, as a node, too.
    facts: HostFacts,
}

/// What the pods of a Job are made of.
#[derive(Debug)]
struct JobTemplate<'a> {
    said: &'a SaidJob,
    plan: JobPlan,
    given: &'a Given,
    images: &'a BTreeMap<String, Image>,
    facts: &'a HostFacts,
    data: &'a Path,
    life: &'a LifeArgs,
    mode: Mode,
}

impl Template for JobTemplate<'_> {
    fn pod(&mut self, pod: &JobPod) -> Result<Start> {
        let said = crate::plan::job_pod(self.said, &self.plan, pod);
        let plan = plan_start(&said, self.given, &of_pods(&self.given.options), self.images, self.facts, self.data)?;
        let lasts = match self.mode {
            Mode::Foreground => None,
            Mode::Detached(..) => {
                let facts = self.facts.without_node();
                Some(plan_pod(&said, self.given, &of_pods(&self.given.options), self.images, &facts, self.data)?)
            }
        };
        let mut first = first(self.given, &said, &plan, lasts.as_ref(), self.life)?;
        // It is never started again: its Job starts another in its place.
        first.inputs.clear();
        let claim = Claim::new(self.data, &plan.name, self.facts, Kept::Stays)?;
        let volumes = hold_volumes(&plan, self.data, self.facts)?;
        // Their volumes stay as the Job was read: what it makes later must be what it made first.
        Ok(Start { plan, claim, first, follow: None, volumes })
    }
}

/// How a Job is started, to be kept.
fn first_of_job(
    given: &Given,
    said: &SaidJob,
    plan: &JobPlan,
    images: &BTreeMap<String, Image>,
    facts: &HostFacts,
    data: &Path,
    life: &LifeArgs,
) -> Result<JobFirst> {
    let object = &said.said.object;
    let ttl = object.spec.as_ref().and_then(|spec| spec.ttl_seconds_after_finished);
    Ok(JobFirst {
        boot_id: boot_id(),
        name: plan.name.clone(),
        namespace: ObjectKey::of(object).namespace,
        uid: plan.uid.clone(),
        started_at: crate::pod::now(),
        fingerprint: job_fingerprint(given, said, plan, images, facts, data)?,
        object: job_text(said)?,
        inputs: given.inputs.clone(),
        options: given.options.clone(),
        time_scale: life.time_scale.to_string(),
        ttl_seconds: ttl.and_then(|ttl| u64::try_from(ttl).ok()),
        suspended: matches!(plan.start, JobStart::Suspended(_)),
    })
}

fn job_text(said: &SaidJob) -> Result<String> {
    serde_json::to_string(&said.said.object).map_err(|e| Error::new(e.to_string())).context(|| "the Job")
}

/// What tells two Jobs' pods apart, whatever uids the Jobs have.
fn job_fingerprint(
    given: &Given,
    said: &SaidJob,
    plan: &JobPlan,
    images: &BTreeMap<String, Image>,
    facts: &HostFacts,
    data: &Path,
) -> Result<String> {
    let plan = JobPlan { uid: String::new(), ..plan.clone() };
    crate::plan::fingerprint(&trial(said, &plan, given, images, &facts.without_node(), data)?)
}

impl Launch<'_> {
    /// Whether the Job that was started as `first` says is the same as `plan`, the `n`th of the input.
    ///
    /// # Errors
    /// A pod that cannot be planned.
    pub fn is_same_job(
        &self,
        given: &Given,
        planned: &Planned,
        n: usize,
        plan: &JobPlan,
        first: &JobFirst,
    ) -> Result<bool> {
        let Some(said) = given.bundle.jobs.get(n) else { return Ok(false) };
        Ok(first.object == job_text(said)?
            && first.time_scale == self.life.time_scale.to_string()
            && first.fingerprint == job_fingerprint(given, said, plan, &planned.images, self.facts, self.data)?)
    }
}

/// The plan of a pod as the Job's first one would be.
///
/// # Errors
/// A field that cannot be honoured here.
pub fn trial(
    said: &SaidJob,
    plan: &JobPlan,
    given: &Given,
    images: &BTreeMap<String, Image>,
    facts: &HostFacts,
    data: &Path,
) -> Result<PodPlan> {
    plan_pod(&first_pod(said, plan), given, &of_pods(&given.options), images, facts, data)
}

/// A Job's first pod, under the Job's own name.
pub fn first_pod(said: &SaidJob, plan: &JobPlan) -> Said<Pod> {
    let index = (plan.mode == CompletionMode::Indexed).then_some(0);
    crate::plan::job_pod(said, plan, &JobPod { name: plan.name.clone(), index, failures: 0 })
}

/// The options for a Job's pods: what `--name` says is the Job's.
fn of_pods(options: &Options) -> Options {
    Options { name: None, ..options.clone() }
}

/// What the input says of the pod that `plan` is of.
fn said_pod<'a>(given: &'a Given, plan: &PodPlan) -> Result<&'a Said<Pod>> {
    let mut pods = given.bundle.pods.iter();
    pods.find(|pod| given.options.name.is_some() || pod.object.metadata.name.as_deref() == Some(&plan.name))
        .ok_or_else(|| Error::new(format!("pod {:?} is not in the input", plan.name)))
}

/// What the pod's volumes follow: all files of the input, since one that says nothing about them now may do so later.
fn follow(given: &Given, plan: &PodPlan, facts: &HostFacts) -> Result<Option<Follow>> {
    let files = given.inputs.iter().filter_map(|input| Some((input.name.clone(), input.path.clone()?)));
    let Some(constant) = crate::plan::constant(said_pod(given, plan)?, &given.bundle) else { return Ok(None) };
    let failed = |e: serde_json::Error| Error::new(e.to_string()).context("what the pod's volumes keep");
    let constant = memory(&serde_json::to_vec(&constant).map_err(failed)?)?;
    Ok(Some(Follow { files: files.collect(), constant, facts: facts.clone(), options: given.options.clone() }))
}

/// Memory that holds `bytes` and belongs to no process.
fn memory(bytes: &[u8]) -> Result<OwnedFd> {
    let fd = memfd_create(c"podling", MFdFlags::MFD_CLOEXEC).named(|| "memfd_create()")?;
    let mut file = File::from(fd);
    file.write_all(bytes).named(|| "write(memfd)")?;
    Ok(file.into())
}

/// Keeps the local volumes of a pod for it.
fn hold_volumes(plan: &PodPlan, data: &Path, facts: &HostFacts) -> Result<Vec<File>> {
    let mut held = Vec::new();
    for volume in &plan.volumes {
        let VolumeSource::Claim(claim) = &volume.source else { continue };
        let key = ObjectKey { namespace: claim.namespace.clone(), name: claim.name.clone() };
        let hold = local::get(data, &key).and_then(|local| local::hold(&local, claim.sharing, facts));
        held.push(hold.context(|| format!("pod {:?}: volume {:?}", plan.name, volume.name))?);
    }
    Ok(held)
}

/// How a pod is started, and, where it goes on alone, `lasts`: the plan that later ones are compared with.
fn first(given: &Given, said: &Said<Pod>, plan: &PodPlan, lasts: Option<&PodPlan>, life: &LifeArgs) -> Result<First> {
    let object = serde_json::to_string(&said.object).map_err(|e| Error::new(e.to_string())).context(|| "the pod")?;
    let namespace = said.object.metadata.namespace.clone().filter(|n| !n.is_empty());
    let names = plan.init_containers.iter().chain(&plan.containers).map(|c| c.name.clone());
    Ok(First {
        boot_id: lasts.map(|_| boot_id()).unwrap_or_default(),
        name: plan.name.clone(),
        namespace: namespace.unwrap_or_else(|| "default".to_owned()),
        uid: plan.uid.clone(),
        started_at: crate::pod::now(),
        fingerprint: lasts.map(crate::plan::fingerprint).transpose()?.unwrap_or_default(),
        plan: lasts.map(crate::plan::render).transpose()?.map(|plan| plan.to_string()).unwrap_or_default(),
        object,
        inputs: lasts.map(|_| given.inputs.clone()).unwrap_or_default(),
        options: given.options.clone(),
        time_scale: life.time_scale.to_string(),
        containers: names.collect(),
    })
}

/// `plan` without what its start has of its own.
fn lasting(
    given: &Given,
    images: &BTreeMap<String, Image>,
    plan: &PodPlan,
    facts: &HostFacts,
    data: &Path,
) -> Result<PodPlan> {
    plan_pod(said_pod(given, plan)?, given, &given.options, images, &facts.without_node(), data)
}
