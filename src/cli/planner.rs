//! Everything that the plans of one command are made from.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use k8s_openapi::api::core::v1::Pod;

use super::input::{Given, pod_paths};
use crate::error::{Error, Result};
use crate::host::HostFacts;
use crate::image::Image;
use crate::manifest::{Objection, Said, SaidJob, Source};
use crate::plan::{CompletionMode, Emulation, JobPlan, JobPod, NO_UID, Options, PodPaths, PodPlan};
use crate::pod::record::new_uid;

/// Plans the pods and Jobs of one input.
#[derive(Debug)]
pub struct Planner<'a> {
    /// What the user gave.
    pub given: &'a Given,
    /// The images of all containers, by what the YAML calls them.
    pub images: BTreeMap<String, Image>,
    /// This host, with what may be otherwise at the next start.
    pub node: HostFacts,
    facts: &'a HostFacts,
    data: &'a Path,
    /// What `--name` says is the Job's where there is one.
    options: Cow<'a, Options>,
}

impl<'a> Planner<'a> {
    /// Plans for the host of `facts`, with podling's data at `data`.
    ///
    /// # Errors
    /// A claim that would be emulated where the options refuse that.
    pub fn new(
        given: &'a Given,
        images: BTreeMap<String, Image>,
        facts: &'a HostFacts,
        data: &'a Path,
    ) -> Result<Planner<'a>> {
        for claim in given.bundle.claims.values().filter(|_| given.options.emulation == Emulation::Refused) {
            claim.source.refuse(emulated_always(&claim.source))?;
        }
        let options = match given.bundle.jobs.is_empty() {
            true => Cow::Borrowed(&given.options),
            false => Cow::Owned(of_pods(&given.options)),
        };
        Ok(Planner { given, images, node: facts.with_node(data), facts, data, options })
    }

    /// One start of a pod, with a uid of its own.
    ///
    /// # Errors
    /// An image that is not in the store, or a field that cannot be honoured here.
    pub fn start(&self, pod: &Said<Pod>) -> Result<PodPlan> {
        self.plan(pod, &self.node, new_uid()?)
    }

    /// A pod as it would be started, without a uid.
    ///
    /// # Errors
    /// Those of [`Planner::start`].
    pub fn trial(&self, pod: &Said<Pod>) -> Result<PodPlan> {
        self.plan(pod, &self.node, NO_UID.to_owned())
    }

    /// A pod without what each start has of its own: the same input always gives the same plan.
    ///
    /// # Errors
    /// Those of [`Planner::start`].
    pub fn lasting(&self, pod: &Said<Pod>) -> Result<PodPlan> {
        self.plan(pod, self.facts, NO_UID.to_owned())
    }

    /// What the input says of the pod that `plan` is of.
    ///
    /// # Errors
    /// It is not in the input.
    pub fn said(&self, plan: &PodPlan) -> Result<&'a Said<Pod>> {
        let Given { bundle, options, .. } = self.given;
        let is_meant = |pod: &&Said<Pod>| {
            options.name.is_some() || pod.object.metadata.name.as_deref() == Some(plan.name.as_str())
        };
        let missing = || Error::new(format!("pod {:?} is not in the input", plan.name));
        bundle.pods.iter().find(is_meant).ok_or_else(missing)
    }

    fn plan(&self, pod: &Said<Pod>, facts: &HostFacts, uid: String) -> Result<PodPlan> {
        let paths = PodPaths { uid, ..pod_paths(pod, self.data, &self.options)? };
        let facts = facts_for(pod, facts, &self.options);
        crate::plan::plan(pod, &self.given.bundle, &self.images, &facts, &paths, &self.options)
    }
}

/// What `--strict` has against an object of which no plan is made.
pub fn emulated_always(source: &Source) -> Vec<Objection> {
    source.emulated().iter().map(|(path, how)| crate::plan::strictly(path, how)).collect()
}

/// The options for a Job's pods: what `--name` says is the Job's.
pub fn of_pods(options: &Options) -> Options {
    Options { name: None, ..options.clone() }
}

/// A Job's first pod, under the Job's own name.
pub fn first_pod(said: &SaidJob, plan: &JobPlan) -> Said<Pod> {
    let index = (plan.mode == CompletionMode::Indexed).then_some(0);
    crate::plan::job_pod(said, plan, &JobPod { name: plan.name.clone(), index, failures: 0 })
}

/// `facts`, and what else of this host the plan of `pod` depends on; what it names relative to its file is beside that.
pub fn facts_for<'a>(pod: &Said<Pod>, facts: &'a HostFacts, options: &Options) -> Cow<'a, HostFacts> {
    let wanted = crate::plan::wanted(pod, options);
    let beside = pod.source.file_path().and_then(Path::parent);
    if wanted.is_empty() { Cow::Borrowed(facts) } else { Cow::Owned(facts.with(&wanted, beside)) }
}
