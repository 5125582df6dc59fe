//! From read input to running pods: what `run`, `up` and `restart` share.

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Instant;

use k8s_openapi::api::core::v1::Pod;
use nix::sys::memfd::{MFdFlags, memfd_create};

use super::first::{LifeArgs, first, hold_volumes};
use super::images::{Having, have};
use super::input::Given;
use super::launch_job::{JobTemplate, first_of_job};
use super::planner::{Planner, first_pod};
use super::say;
use crate::error::{Error, Result};
use crate::host::HostFacts;
use crate::image::Store;
use crate::manifest::{ObjectKey, Said, Source};
use crate::plan::{JobPlan, JobStart, PodPlan};
use crate::pod::job::{JobClaim, sweep_jobs};
use crate::pod::record::new_uid;
use crate::pod::status::TracePoint;
use crate::pod::{Claim, Follow, Kept, Mode, Run, ShowTrace, Start, StartJob, Style, local, make_base_layer, sweep};
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

impl<'a> Launch<'a> {
    /// Gets the images that the input needs, and decides everything.
    ///
    /// # Errors
    /// An image that cannot be had, or a field that cannot be honoured here.
    pub fn plan(&mut self, given: &'a Given) -> Result<Planned<'a>> {
        let images = have(&given.bundle, self.store, self.facts, &self.having)?;
        self.trace.step("images: pull, unpack");
        let planner = Planner::new(given, images, self.facts, self.data)?;
        let plans = given.bundle.pods.iter().map(|pod| planner.start(pod)).collect::<Result<Vec<_>>>()?;
        let note = |(source, path, how): (&Source, &str, &str)| {
            format!("{}: {}: emulated: {how}", source.at(path), source.full_path(path))
        };
        let claims = given.bundle.claims.values().map(|claim| &claim.source);
        let of_claims =
            claims.flat_map(|source| source.emulated().iter().map(move |(path, how)| (source, path.as_str(), *how)));
        let (mut jobs, mut notes): (Vec<_>, Vec<_>) = (Vec::new(), of_claims.map(note).collect());
        for said in &given.bundle.jobs {
            let plan = crate::plan::job(said, new_uid()?, self.facts, &given.options)?;
            // Whatever stands against its pods is told before anything is started.
            let pod = planner.trial(&first_pod(said, &plan))?;
            let own = plan.emulated.iter().map(|(path, how)| (&said.said.source, path.as_str(), how.as_str()));
            let pods = pod.report.iter().map(|v| (&said.template.source, v.path.as_str(), v.how.as_str()));
            notes.extend(own.chain(pods).map(note));
            jobs.push((jobs.len(), plan));
        }
        self.trace.step("plan");
        Ok(Planned { plans, jobs, notes, planner })
    }

    /// Runs the planned pods; the exit code is theirs.
    ///
    /// # Errors
    /// What could not be made, or a pod that could not run.
    pub fn run(self, planned: Planned<'_>, mode: Mode, kept: Kept) -> Result<u8> {
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
        let Planned { plans, jobs, planner, .. } = planned;
        for claim in planner.given.bundle.claims.values() {
            local::ensure(data, &claim.object, facts)?;
        }
        let holds = planner.images.values().map(|image| store.hold(image)).collect::<Result<Vec<_>>>()?;
        let pods = plans
            .into_iter()
            .map(|plan| {
                let said = planner.said(&plan)?;
                let first = first(&planner, said, &plan, mode, life)?;
                let claim = Claim::new(data, &plan.name, facts, kept)?;
                let follow = follow(&planner, said)?;
                let volumes = hold_volumes(&plan, data, facts)?;
                Ok(Start { plan, claim, first, follow, volumes })
            })
            .collect::<Result<Vec<_>>>()?;
        trace.step("claim");
        let mut started = Vec::new();
        for (n, plan) in jobs {
            let said = planner.given.bundle.jobs.get(n).ok_or_else(|| Error::new("a Job is not in the input"))?;
            if let JobStart::Suspended(at) = &plan.start
                && !style.quiet
            {
                say(format_args!("{at}: the Job {:?} is suspended, and nothing of it is started", plan.name));
            }
            let record = match mode {
                Mode::Foreground => None,
                Mode::Detached(..) => {
                    let first = first_of_job(&planner, said, &plan, life)?;
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
            let template = JobTemplate { said, plan: plan.clone(), planner: &planner, facts, data, life, mode };
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
pub struct Planned<'a> {
    /// The pods.
    pub plans: Vec<PodPlan>,
    /// The Jobs, with their places in the input.
    pub jobs: Vec<(usize, JobPlan)>,
    /// What is emulated of claims and Jobs.
    notes: Vec<String>,
    /// What they were made by.
    pub planner: Planner<'a>,
}

/// What the pod's volumes follow: all files of the input, since one that says nothing about them now may do so later.
fn follow(planner: &Planner, said: &Said<Pod>) -> Result<Option<Follow>> {
    let Planner { given, node, .. } = planner;
    let files = given.inputs.iter().filter_map(|input| Some((input.name.clone(), input.path.clone()?)));
    let Some(constant) = crate::plan::constant(said, &given.bundle) else { return Ok(None) };
    let failed = |e: serde_json::Error| Error::new(e.to_string()).context("what the pod's volumes keep");
    let constant = memory(&serde_json::to_vec(&constant).map_err(failed)?)?;
    Ok(Some(Follow { files: files.collect(), constant, facts: node.clone(), options: given.options.clone() }))
}

/// Memory that holds `bytes` and belongs to no process.
fn memory(bytes: &[u8]) -> Result<OwnedFd> {
    let fd = memfd_create(c"podling", MFdFlags::MFD_CLOEXEC).named(|| "memfd_create()")?;
    let mut file = File::from(fd);
    file.write_all(bytes).named(|| "write(memfd)")?;
    Ok(file.into())
}
