//! What containers and the pod ask of the machine: amounts of resources, claims of devices, and how a container is resized.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Container, PodResourceClaim, PodSpec, ResourceClaim, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;

use super::pod::containers;
use super::{Check, key_path, names};
use crate::manifest::mistakes::nearest;
use crate::manifest::quantity::Quantity;

/// What the names of huge pages begin with, before the size of a page.
const HUGE_PAGES: &str = "hugepages-";
/// The domain of the resources that are Kubernetes' own; a name without a domain is in it, too.
const NATIVE: &str = "kubernetes.io/";
/// Where the pod's own resources are.
const OF_POD: &str = "spec.resources";

/// Amounts by the names of resources.
type Amounts<'a> = BTreeMap<&'a str, Quantity>;

impl Check<'_> {
    /// The limits and requests at `path`, of a container or of the pod.
    pub(super) fn resources(&mut self, path: &str, said: &ResourceRequirements) {
        for (field, list) in [("limits", &said.limits), ("requests", &said.requests)] {
            for (name, text) in list.iter().flatten() {
                let at = key_path(&format!("{path}.{field}"), name);
                self.grammar(&at, if path == OF_POD { of_pod(name) } else { of_container(name) });
                self.amount(&at, name, text);
            }
        }
        let limits = amounts(said.limits.as_ref());
        for (name, request) in amounts(said.requests.as_ref()) {
            let at = key_path(&format!("{path}.requests"), name);
            let limit = said.limits.as_ref().and_then(|limits| limits.get(name)).map_or("", |text| &text.0);
            match limits.get(name) {
                Some(&most) if request > most => {
                    self.problem(&at, format!("more than its limit, {limit}"));
                }
                Some(&most) if request != most && !is_shared(name) => {
                    self.problem(&at, format!("must be its limit, {limit}: nobody else gets what is not used"));
                }
                None if !is_shared(name) && limit.is_empty() => {
                    self.problem(&at, "needs a limit: nobody else gets what is not used");
                }
                _ => {}
            }
        }
        let mut asked = said.limits.iter().flatten().chain(said.requests.iter().flatten()).map(|(name, _)| name);
        let has_base = asked.clone().any(|name| matches!(name.as_str(), "cpu" | "memory"));
        if !has_base && asked.any(|name| name.starts_with(HUGE_PAGES)) {
            self.problem(path, "huge pages need cpu or memory beside them");
        }
    }

    /// What containers and pod ask for, as far as one has to fit the other.
    pub(super) fn demands(&mut self, spec: &PodSpec) {
        let claims = spec.resource_claims.as_deref().unwrap_or_default();
        self.pod_claims(claims);
        let names: Vec<&str> = claims.iter().map(|claim| claim.name.as_str()).collect();
        for (path, container) in containers(spec) {
            let claims = container.resources.as_ref().and_then(|said| said.claims.as_deref()).unwrap_or_default();
            self.claims(&format!("{path}.resources.claims"), claims, &names);
            self.resize(&path, container, spec);
        }
        for (name, text) in spec.overhead.iter().flatten() {
            let at = key_path("spec.overhead", name);
            self.grammar(&at, of_container(name));
            self.amount(&at, name, text);
        }
        if let Some(said) = &spec.resources {
            self.pod_demands(said, spec);
        }
    }

    fn amount(&mut self, path: &str, name: &str, text: &Text) {
        self.quantity(path, &text.0);
        let Ok(amount) = Quantity::parse(&text.0) else { return };
        if is_extended(name) && !amount.stored().is_whole() {
            self.problem(path, format!("{:?} must be a whole number", text.0));
        }
        if let Some(size) = name.strip_prefix(HUGE_PAGES) {
            let page = Quantity::parse(size).ok().filter(|page| page.is_whole()).map_or(0, Quantity::units);
            if page == 0 || !amount.is_whole() || amount.units() % page != 0 {
                self.problem(path, format!("{:?} is not a whole number of pages of {size:?}", text.0));
            }
        }
    }

    /// The pod's requests hold all that its containers request, and its limits the limit of each.
    fn pod_demands(&mut self, said: &ResourceRequirements, spec: &PodSpec) {
        if said.claims.is_some() {
            self.problem("spec.resources.claims", "only containers have claims");
        }
        let limits = amounts(said.limits.as_ref());
        let requests = amounts(said.requests.as_ref());
        for (name, sum) in requested(spec) {
            let (field, most) = match (requests.get(name), limits.get(name)) {
                (Some(&most), _) => ("requests", most),
                // Where the pod requests none, it requests what its containers do.
                (None, Some(&most)) if matches!(name, "cpu" | "memory") => ("limits", most),
                _ => continue,
            };
            if sum > most {
                let why = "less than the containers request together";
                self.problem(&key_path(&format!("spec.resources.{field}"), name), why);
            }
        }
        for (at, container) in spec.containers.iter().enumerate() {
            let own = container.resources.as_ref().and_then(|said| said.limits.as_ref());
            for (name, limit) in amounts(own) {
                if limits.get(name).is_some_and(|&most| limit > most) {
                    let path = key_path(&format!("spec.containers[{at}].resources.limits"), name);
                    let pods = self.source.at(&key_path("spec.resources.limits", name));
                    self.problem(&path, format!("more than the limit of the pod at {pods}"));
                }
            }
        }
    }

    /// The claims of the pod, which its containers refer to by name.
    fn pod_claims(&mut self, claims: &[PodResourceClaim]) {
        for (at, claim) in claims.iter().enumerate() {
            let path = format!("spec.resourceClaims[{at}]");
            self.label(&format!("{path}.name"), &claim.name);
            if !claim.name.is_empty() && claims.iter().take(at).any(|other| other.name == claim.name) {
                self.problem(&format!("{path}.name"), format!("the claim {:?} is written twice", claim.name));
            }
            let sources = [
                ("resourceClaimName", &claim.resource_claim_name),
                ("resourceClaimTemplateName", &claim.resource_claim_template_name),
            ];
            let there = sources.iter().filter(|(_, name)| name.is_some()).count();
            if there != 1 {
                let found = if there == 0 { "none" } else { "both" };
                let why = format!("a claim has one of resourceClaimName and resourceClaimTemplateName, found {found}");
                self.problem(&path, why);
            }
            for (field, name) in sources.iter().filter_map(|(field, name)| Some((field, name.as_deref()?))) {
                self.grammar(&format!("{path}.{field}"), names::dns_subdomain(name));
            }
        }
    }

    fn claims(&mut self, path: &str, claims: &[ResourceClaim], known: &[&str]) {
        for (at, claim) in claims.iter().enumerate() {
            let path = format!("{path}[{at}]");
            let name = claim.name.as_str();
            if name.is_empty() {
                self.problem(&format!("{path}.name"), "required");
                continue;
            }
            if let Some(request) = claim.request.as_deref().filter(|request| !request.is_empty()) {
                self.label(&format!("{path}.request"), request);
            }
            // A claim without a request means all of them, so it goes with no other of the same name.
            let whole = |claim: &ResourceClaim| claim.request.as_deref().is_none_or(str::is_empty);
            let same = |other: &ResourceClaim| {
                other.name == name && (whole(other) || whole(claim) || other.request == claim.request)
            };
            if claims.iter().take(at).any(same) {
                self.problem(&path, format!("the claim {name:?} is written twice"));
            }
            if !known.contains(&name) {
                let problem =
                    self.problem(&format!("{path}.name"), format!("spec.resourceClaims has no claim {name:?}"));
                if let Some(meant) = nearest(name, known.iter().copied()) {
                    problem.mend(format!("did you mean {meant:?}?"));
                }
            }
        }
    }

    fn resize(&mut self, path: &str, container: &Container, spec: &PodSpec) {
        let is_plain_init =
            path.starts_with("spec.initContainers") && container.restart_policy.as_deref() != Some("Always");
        let mut seen = BTreeSet::new();
        for (at, said) in container.resize_policy.iter().flatten().enumerate() {
            let path = format!("{path}.resizePolicy[{at}]");
            let name = said.resource_name.as_str();
            self.one_of(&format!("{path}.resourceName"), Some(name), &["cpu", "memory"]);
            if !seen.insert(name) {
                self.problem(&format!("{path}.resourceName"), format!("{name:?} is written twice"));
            }
            let path = format!("{path}.restartPolicy");
            self.one_of(&path, Some(&said.restart_policy), &["NotRequired", "RestartContainer"]);
            if said.restart_policy != "RestartContainer" {
                continue;
            }
            if spec.restart_policy.as_deref() == Some("Never") {
                self.problem(&path, "must be NotRequired where the pod's restartPolicy is Never");
            } else if is_plain_init {
                self.problem(&path, "must be NotRequired in an init container, unless it is a sidecar");
            }
        }
    }
}

/// What of `list` is a quantity, as the API server stores it.
fn amounts(list: Option<&BTreeMap<String, Text>>) -> Amounts<'_> {
    let mut read = Amounts::new();
    for (name, text) in list.into_iter().flatten() {
        if let Ok(amount) = Quantity::parse(&text.0) {
            read.insert(name, amount.stored());
        }
    }
    read
}

/// What the containers of `spec` request at the time when it is most: an init container runs beside the sidecars before it, and the
/// containers beside all sidecars.
fn requested(spec: &PodSpec) -> Amounts<'_> {
    let mut sidecars = Amounts::new();
    let mut most = Amounts::new();
    for container in spec.init_containers.iter().flatten() {
        let mut beside = requests(container);
        add(&mut beside, &sidecars);
        if container.restart_policy.as_deref() == Some("Always") {
            sidecars.clone_from(&beside);
        }
        for (name, amount) in beside {
            let most = most.entry(name).or_default();
            *most = amount.max(*most);
        }
    }
    let mut sum = sidecars;
    for container in &spec.containers {
        add(&mut sum, &requests(container));
    }
    for (name, amount) in most {
        let sum = sum.entry(name).or_default();
        *sum = amount.max(*sum);
    }
    sum
}

/// The requests of `container`; a limit without a request is the request.
fn requests(container: &Container) -> Amounts<'_> {
    let Some(said) = &container.resources else { return Amounts::new() };
    let mut all = amounts(said.limits.as_ref());
    all.extend(amounts(said.requests.as_ref()));
    all
}

fn add<'a>(sum: &mut Amounts<'a>, more: &Amounts<'a>) {
    for (&name, &amount) in more {
        let sum = sum.entry(name).or_default();
        *sum = sum.plus(amount);
    }
}

/// Whether `name` can be a resource of a container.
fn of_container(name: &str) -> Result<(), String> {
    let own = matches!(name, "cpu" | "memory" | "ephemeral-storage") || name.starts_with(HUGE_PAGES);
    let known = if name.contains('/') { name.contains(NATIVE) || is_extended(name) } else { own };
    if known && names::qualified_name(name).is_ok() {
        return Ok(());
    }
    Err(format!(
        "{name:?} is not a resource of a container: cpu, memory, ephemeral-storage, hugepages-SIZE, or a name with a domain such as \
         example.com/gpu"
    ))
}

/// Whether `name` can be a resource of the pod as a whole.
fn of_pod(name: &str) -> Result<(), String> {
    let known = matches!(name, "cpu" | "memory") || name.starts_with(HUGE_PAGES);
    if known && names::qualified_name(name).is_ok() {
        return Ok(());
    }
    Err(format!("{name:?} is not a resource of a pod: cpu, memory, or hugepages-SIZE"))
}

/// Whether `name` is a resource of somebody's own, which is counted in whole numbers.
fn is_extended(name: &str) -> bool {
    let native = !name.contains('/') || name.contains(NATIVE);
    // In a quota it has this prefix, and must still be a name.
    !native && !name.starts_with("requests.") && names::qualified_name(&format!("requests.{name}")).is_ok()
}

/// Whether what one container does not use of it is another's meanwhile.
fn is_shared(name: &str) -> bool {
    (!name.contains('/') || name.contains(NATIVE)) && !name.starts_with(HUGE_PAGES)
}
