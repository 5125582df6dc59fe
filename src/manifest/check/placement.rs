//! What a pod may say about where it runs: node names and selectors, affinities, tolerations, spread.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Affinity, NodeSelectorRequirement, NodeSelectorTerm, PodAffinityTerm, PodSpec, Toleration, TopologySpreadConstraint,
};

use super::selectors::Values;
use super::{Check, key_path, names};

/// The only field of a node that a node affinity can select by.
const NODE_FIELD: &str = "metadata.name";

/// The labels of the pod itself.
type Labels = BTreeMap<String, String>;

impl Check<'_> {
    pub(super) fn placement(&mut self, spec: &PodSpec, labels: &Labels) {
        for (field, name) in [("nodeName", &spec.node_name), ("priorityClassName", &spec.priority_class_name)] {
            if let Some(name) = name.as_deref().filter(|name| !name.is_empty()) {
                self.grammar(&format!("spec.{field}"), names::dns_subdomain(name));
            }
        }
        // An empty class is not the same as none.
        if let Some(class) = &spec.runtime_class_name {
            self.grammar("spec.runtimeClassName", names::dns_subdomain(class));
        }
        if let Some(os) = &spec.os {
            self.required("spec.os.name", &os.name);
            self.one_of(
                "spec.os.name",
                Some(&os.name).filter(|name| !name.is_empty()).map(String::as_str),
                &["linux", "windows"],
            );
        }
        self.one_of("spec.preemptionPolicy", spec.preemption_policy.as_deref(), &["PreemptLowerPriority", "Never"]);
        for (key, value) in spec.node_selector.iter().flatten() {
            let path = key_path("spec.nodeSelector", key);
            self.grammar(&path, names::qualified_name(key));
            self.grammar(&path, names::label_value(value));
        }
        self.gates(spec);
        if let Some(affinity) = &spec.affinity {
            self.affinity(affinity, labels);
        }
        for (at, toleration) in spec.tolerations.iter().flatten().enumerate() {
            self.toleration(&format!("spec.tolerations[{at}]"), toleration);
        }
        let constraints = spec.topology_spread_constraints.as_deref().unwrap_or_default();
        for (at, constraint) in constraints.iter().enumerate() {
            self.spread(&format!("spec.topologySpreadConstraints[{at}]"), constraint, labels);
            let twin = |other: &TopologySpreadConstraint| {
                other.topology_key == constraint.topology_key
                    && other.when_unsatisfiable == constraint.when_unsatisfiable
            };
            if let Some(first) = constraints.iter().take(at).position(twin) {
                let first = self.source.at(&format!("spec.topologySpreadConstraints[{first}]"));
                let why = format!("another constraint has the same topologyKey and whenUnsatisfiable at {first}");
                self.problem(&format!("spec.topologySpreadConstraints[{at}]"), why);
            }
        }
    }

    fn gates(&mut self, spec: &PodSpec) {
        let gates = spec.scheduling_gates.as_deref().unwrap_or_default();
        for (at, gate) in gates.iter().enumerate() {
            let path = format!("spec.schedulingGates[{at}]");
            self.grammar(&format!("{path}.name"), names::qualified_name(&gate.name));
            if gates.iter().take(at).any(|other| other.name == gate.name) {
                self.problem(&path, format!("the gate {:?} is written twice", gate.name));
            }
        }
        if !gates.is_empty() && spec.node_name.as_ref().is_some_and(|name| !name.is_empty()) {
            self.problem("spec.nodeName", "must not be set before all schedulingGates are taken away");
        }
        for (at, gate) in spec.readiness_gates.iter().flatten().enumerate() {
            let path = format!("spec.readinessGates[{at}].conditionType");
            self.grammar(&path, names::qualified_name(&gate.condition_type));
        }
    }

    fn affinity(&mut self, affinity: &Affinity, labels: &Labels) {
        const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
        const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";
        if let Some(node) = &affinity.node_affinity {
            let path = "spec.affinity.nodeAffinity";
            if let Some(required) = &node.required_during_scheduling_ignored_during_execution {
                let path = format!("{path}.{REQUIRED}.nodeSelectorTerms");
                if required.node_selector_terms.is_empty() {
                    self.problem(&path, "required: at least one term");
                }
                for (at, term) in required.node_selector_terms.iter().enumerate() {
                    self.node_term(&format!("{path}[{at}]"), term, Values::OfLabels);
                }
            }
            let preferred = node.preferred_during_scheduling_ignored_during_execution.iter().flatten();
            for (at, said) in preferred.enumerate() {
                let path = format!("{path}.{PREFERRED}[{at}]");
                self.weight(&path, said.weight);
                self.node_term(&format!("{path}.preference"), &said.preference, Values::Any);
            }
        }
        let beside = affinity.pod_affinity.as_ref().map(|said| {
            let required = said.required_during_scheduling_ignored_during_execution.as_deref();
            ("podAffinity", required, said.preferred_during_scheduling_ignored_during_execution.as_deref())
        });
        let apart = affinity.pod_anti_affinity.as_ref().map(|said| {
            let required = said.required_during_scheduling_ignored_during_execution.as_deref();
            ("podAntiAffinity", required, said.preferred_during_scheduling_ignored_during_execution.as_deref())
        });
        for (kind, required, preferred) in beside.into_iter().chain(apart) {
            let path = format!("spec.affinity.{kind}");
            for (at, term) in required.unwrap_or_default().iter().enumerate() {
                self.pod_term(&format!("{path}.{REQUIRED}[{at}]"), term, labels);
            }
            for (at, said) in preferred.unwrap_or_default().iter().enumerate() {
                let path = format!("{path}.{PREFERRED}[{at}]");
                self.weight(&path, said.weight);
                self.pod_term(&format!("{path}.podAffinityTerm"), &said.pod_affinity_term, labels);
            }
        }
    }

    fn weight(&mut self, path: &str, weight: i32) {
        if !(1..=100).contains(&weight) {
            self.problem(&format!("{path}.weight"), format!("{weight} is outside 1 to 100"));
        }
    }

    fn node_term(&mut self, path: &str, term: &NodeSelectorTerm, kind: Values) {
        for (at, said) in term.match_expressions.iter().flatten().enumerate() {
            let path = format!("{path}.matchExpressions[{at}]");
            self.grammar(&format!("{path}.key"), names::qualified_name(&said.key));
            let values = said.values.as_deref().unwrap_or_default();
            let operators = ["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"];
            self.requirement(&path, &said.operator, values, &operators, kind);
        }
        for (at, said) in term.match_fields.iter().flatten().enumerate() {
            self.node_field(&format!("{path}.matchFields[{at}]"), said);
        }
    }

    fn node_field(&mut self, path: &str, said: &NodeSelectorRequirement) {
        self.one_of(&format!("{path}.key"), Some(&said.key), &[NODE_FIELD]);
        self.one_of(&format!("{path}.operator"), Some(&said.operator), &["In", "NotIn"]);
        match said.values.as_deref().unwrap_or_default() {
            [name] => self.grammar(&format!("{path}.values[0]"), names::dns_subdomain(name)),
            values => {
                let why = format!("a field takes exactly one value, found {}", values.len());
                self.problem(&format!("{path}.values"), why);
            }
        }
    }

    fn pod_term(&mut self, path: &str, term: &PodAffinityTerm, labels: &Labels) {
        self.selector(&format!("{path}.labelSelector"), term.label_selector.as_ref());
        self.selector(&format!("{path}.namespaceSelector"), term.namespace_selector.as_ref());
        for (at, namespace) in term.namespaces.iter().flatten().enumerate() {
            self.label(&format!("{path}.namespaces[{at}]"), namespace);
        }
        let mut taken = Vec::new();
        for (field, keys) in
            [("matchLabelKeys", &term.match_label_keys), ("mismatchLabelKeys", &term.mismatch_label_keys)]
        {
            let keys = keys.as_deref().unwrap_or_default();
            self.label_keys(&format!("{path}.{field}"), keys, term.label_selector.is_some());
            for (at, key) in keys.iter().enumerate() {
                if taken.contains(&key) {
                    self.problem(&format!("{path}.{field}[{at}]"), format!("{key:?} is in matchLabelKeys, too"));
                }
            }
            taken.extend(keys);
        }
        let matched = term.match_label_keys.as_deref().unwrap_or_default();
        self.selected_once(path, matched, term.label_selector.as_ref(), labels);
        self.required(&format!("{path}.topologyKey"), &term.topology_key);
        if !term.topology_key.is_empty() {
            self.grammar(&format!("{path}.topologyKey"), names::qualified_name(&term.topology_key));
        }
    }

    pub(super) fn toleration(&mut self, path: &str, said: &Toleration) {
        let key = said.key.as_deref().unwrap_or_default();
        let operator = said.operator.as_deref().unwrap_or_default();
        let value = said.value.as_deref().unwrap_or_default();
        let effect = said.effect.as_deref().unwrap_or_default();
        if !key.is_empty() {
            self.grammar(&format!("{path}.key"), names::qualified_name(key));
        } else if operator != "Exists" {
            self.problem(&format!("{path}.operator"), "must be Exists where no key is written, which means all taints");
        }
        if said.toleration_seconds.is_some() && effect != "NoExecute" {
            self.problem(&format!("{path}.effect"), "must be NoExecute where tolerationSeconds is written");
        }
        match operator {
            "" | "Equal" => self.grammar(&format!("{path}.value"), names::label_value(value)),
            "Exists" if !value.is_empty() => {
                self.problem(&format!("{path}.value"), "must not be written where the operator is Exists");
            }
            "Lt" | "Gt" if value.parse::<i64>().is_err() => {
                self.problem(&format!("{path}.value"), format!("{value:?} is not a whole number"));
            }
            _ => self.one_of(&format!("{path}.operator"), Some(operator), &["Equal", "Exists", "Lt", "Gt"]),
        }
        let effect = Some(effect).filter(|effect| !effect.is_empty());
        self.one_of(&format!("{path}.effect"), effect, &["NoSchedule", "PreferNoSchedule", "NoExecute"]);
    }

    fn spread(&mut self, path: &str, said: &TopologySpreadConstraint, labels: &Labels) {
        if said.max_skew < 1 {
            self.problem(&format!("{path}.maxSkew"), format!("{} is not greater than 0", said.max_skew));
        }
        self.required(&format!("{path}.topologyKey"), &said.topology_key);
        let actions = ["DoNotSchedule", "ScheduleAnyway"];
        if said.when_unsatisfiable.is_empty() {
            self.problem(&format!("{path}.whenUnsatisfiable"), "required, DoNotSchedule or ScheduleAnyway");
        } else {
            self.one_of(&format!("{path}.whenUnsatisfiable"), Some(&said.when_unsatisfiable), &actions);
        }
        if let Some(least) = said.min_domains {
            if least < 1 {
                self.problem(&format!("{path}.minDomains"), format!("{least} is not greater than 0"));
            }
            if said.when_unsatisfiable != "DoNotSchedule" {
                let why = "may only be written where whenUnsatisfiable is DoNotSchedule";
                self.problem(&format!("{path}.minDomains"), why);
            }
        }
        for (field, policy) in
            [("nodeAffinityPolicy", &said.node_affinity_policy), ("nodeTaintsPolicy", &said.node_taints_policy)]
        {
            self.one_of(&format!("{path}.{field}"), policy.as_deref(), &["Honor", "Ignore"]);
        }
        let keys = said.match_label_keys.as_deref().unwrap_or_default();
        self.label_keys(&format!("{path}.matchLabelKeys"), keys, said.label_selector.is_some());
        self.selected_once(path, keys, said.label_selector.as_ref(), labels);
        self.selector(&format!("{path}.labelSelector"), said.label_selector.as_ref());
    }

    /// Keys whose values are the pod's own.
    fn label_keys(&mut self, path: &str, keys: &[String], has_selector: bool) {
        if !keys.is_empty() && !has_selector {
            self.problem(path, "must not be written without a labelSelector");
        }
        for (at, key) in keys.iter().enumerate() {
            self.grammar(&format!("{path}[{at}]"), names::qualified_name(key));
        }
    }
}
