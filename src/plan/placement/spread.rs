//! `topologySpreadConstraints`. One host is one domain of every topology, so the pods in it are spread evenly, however many there are:
//! what is left to require is that the host has the label that makes it a domain.

use k8s_openapi::api::core::v1::{PodSpec, TopologySpreadConstraint};

use super::node::Node;
use super::{Objection, Scope, Verdict};

const PATH: &str = "spec.topologySpreadConstraints";

/// The constraints that forbid to place the pod on a host without a label that this one does not have.
pub(super) fn constraints(node: &Node, spec: &PodSpec) -> Vec<Objection> {
    let said = required(spec);
    said.filter_map(|(at, said)| node.lacks(format!("{PATH}[{at}].topologyKey"), &said.topology_key)).collect()
}

/// That fewer domains than a constraint asks for are no obstacle.
pub(super) fn verdicts(scope: &Scope) -> Vec<Verdict> {
    let several = required(scope.spec).filter(|(_, said)| said.min_domains.is_some_and(|least| least > 1));
    let verdict = |(at, said): (usize, &TopologySpreadConstraint)| {
        let how = format!(
            "this host is the only domain, and podling starts any number of such pods on it; a cluster with fewer than {} \
             domains starts at most {} in each",
            said.min_domains.unwrap_or_default(),
            said.max_skew
        );
        scope.verdict(format!("{PATH}[{at}].minDomains"), how)
    };
    several.map(verdict).collect()
}

/// The constraints that are more than a preference.
fn required(spec: &PodSpec) -> impl Iterator<Item = (usize, &TopologySpreadConstraint)> {
    let said = spec.topology_spread_constraints.iter().flatten().enumerate();
    said.filter(|(_, said)| said.when_unsatisfiable == "DoNotSchedule")
}
