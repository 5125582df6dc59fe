//! Every field of the objects that podling takes, and its answer to each: the one table behind "nothing is silently ignored". The decoder
//! judges by it, `podling check` reports from it, `docs/fields.md` is made of it and the tests walk it.
//!
//! A path names list items by `[]` and the entries of a free-form map by `*`. A row that [stands for all](Rule::stands_for_all) is the
//! answer for everything below it, too. `spec.initContainers[]` has the rows of `spec.containers[]`, all three probes have those of
//! `livenessProbe`, and `preStop` has those of `postStart`. Below a Job's `spec.template` a Pod's rows apply, unless the Job has its own.

use std::borrow::Cow;

use super::kind::Kind;

mod config_map;
mod container;
mod environment;
mod job;
mod metadata;
mod mounts;
mod network;
mod persistent_volume_claim;
mod placement;
mod pod;
mod probes;
mod resources;
mod secret;
mod security;
mod volumes;

/// What podling does with a field. The texts are for the report and the documentation: lower case, no full stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rule {
    /// It holds fields that have rules of their own.
    Group,
    /// It is done as a cluster does it: what is done.
    Enforced(&'static str),
    /// Any value is satisfied here by itself: why.
    Trivial(&'static str),
    /// It is done otherwise than in a cluster, whatever its value: how it differs. Where that depends on the value or the host, the
    /// row is [`Rule::Enforced`] and the plan's report says it.
    Emulated(&'static str),
    /// These values are what podling does anyway; any other is refused, and why.
    Only(&'static [&'static str], &'static str),
    /// Refused: why.
    Refused(&'static str),
}

impl Rule {
    /// Whether nothing below the field has a rule of its own.
    #[cfg(test)]
    pub fn stands_for_all(self) -> bool {
        matches!(self, Rule::Trivial(_) | Rule::Only(..) | Rule::Refused(_))
    }
}

/// A path and its rule.
pub(super) type Field = (&'static str, Rule);

/// The fields of a Pod's spec, by what they are about.
const POD: &[&[Field]] = &[
    metadata::METADATA,
    container::CONTAINER,
    environment::ENVIRONMENT,
    mounts::MOUNTS,
    network::NETWORK,
    placement::PLACEMENT,
    pod::POD,
    probes::PROBES,
    resources::RESOURCES,
    security::SECURITY,
    volumes::VOLUMES,
    persistent_volume_claim::TEMPLATE,
];
const CONFIG_MAP: &[&[Field]] = &[metadata::METADATA, config_map::CONFIG_MAP];
const SECRET: &[&[Field]] = &[metadata::METADATA, secret::SECRET];
const JOB: &[&[Field]] = &[metadata::METADATA, job::JOB];

/// Where a Job has a Pod's rows.
const TEMPLATE: &str = "spec.template";

const CLAIM: &[&[Field]] = &[metadata::METADATA, persistent_volume_claim::CLAIM];

/// The rule for the field `pattern` of `kind`; `None` when the table does not know the field.
pub(super) fn rule(kind: Kind, pattern: &str) -> Option<Rule> {
    let own = below_shared(pattern);
    let own = tables(kind).iter().find_map(|table| find(table, &own));
    own.or_else(|| rule(Kind::Pod, in_template(kind, pattern)?))
}

/// The rule that answers for the field `pattern` of `kind`: its own, or that of the nearest field above it which stands for all below.
#[cfg(test)]
pub(super) fn answer(kind: Kind, pattern: &str) -> Option<Rule> {
    let mut above = pattern;
    loop {
        match rule(kind, above) {
            Some(rule) if above.len() == pattern.len() || rule.stands_for_all() => return Some(rule),
            Some(_) => return None,
            None => above = &above[..above.rfind(['.', '['])?],
        }
    }
}

/// The fields that `kind` may have directly below the object at `pattern`, with their rules.
pub(super) fn children(kind: Kind, pattern: &str) -> impl Iterator<Item = (&'static str, Rule)> {
    let (kind, pattern) = match in_template(kind, pattern) {
        Some(below) => (Kind::Pod, below),
        None => (kind, pattern),
    };
    let pattern = shared(pattern);
    rows(kind).filter_map(move |&(path, rule)| {
        let name = if pattern.is_empty() { path } else { path.strip_prefix(&*pattern)?.strip_prefix('.')? };
        (!name.is_empty() && !name.contains(['.', '[', '*'])).then_some((name, rule))
    })
}

/// Where else `kind` has a field called `name`, for a field that was written in the wrong place, directly below `parent`.
///
/// What is below `parent` goes before everything else, and what only probes and hooks have comes last.
pub(super) fn elsewhere(kind: Kind, name: &str, parent: &str) -> Vec<String> {
    if let Some(below) = in_template(kind, parent) {
        let homes = elsewhere(Kind::Pod, name, below).into_iter();
        return homes.map(|home| format!("{TEMPLATE}.{home}")).collect();
    }
    let homes = rows(kind).filter_map(|(path, rule)| {
        let (home, last) = path.rsplit_once('.').unwrap_or(("the top level", path));
        (last == name && !matches!(rule, Rule::Refused(_))).then_some(home)
    });
    let mut homes: Vec<&str> = homes.collect();
    // Whoever forgets to indent writes a name or labels there, which much else has, too.
    if parent.is_empty() && homes.contains(&"metadata") {
        return vec!["metadata".to_owned()];
    }
    if homes.is_empty() && kind == Kind::Job {
        let homes = elsewhere(Kind::Pod, name, "").into_iter();
        return homes.map(|home| format!("{TEMPLATE}.{home}")).collect();
    }
    // The fields of a claim in a volume are meant by whoever writes them there, and by few others.
    let template = |home: &&str| home.contains("volumeClaimTemplate");
    if !homes.iter().all(template) {
        homes.retain(|home| !template(home));
    }
    let shared = shared(parent);
    let below = homes.iter().filter_map(|home| home.strip_prefix(&*shared)).filter(|rest| rest.starts_with('.'));
    let below: Vec<String> = below.map(|rest| format!("{parent}{rest}")).filter(|_| !parent.is_empty()).collect();
    if !below.is_empty() {
        return below;
    }
    let plain = |home: &&&str| !home.contains("Probe") && !home.contains(".lifecycle");
    let plain: Vec<String> = homes.iter().filter(plain).map(|home| (*home).to_owned()).collect();
    if plain.is_empty() { homes.into_iter().map(str::to_owned).collect() } else { plain }
}

/// All rows of `kind`.
pub(super) fn rows(kind: Kind) -> impl Iterator<Item = &'static Field> {
    tables(kind).iter().copied().flatten()
}

/// The tables of `kind`, each in the order of its paths.
pub(super) fn tables(kind: Kind) -> &'static [&'static [Field]] {
    match kind {
        Kind::Pod => POD,
        Kind::ConfigMap => CONFIG_MAP,
        Kind::Secret => SECRET,
        Kind::Job => JOB,
        Kind::PersistentVolumeClaim => CLAIM,
    }
}

/// The path in a Pod that a Job's `pattern` stands for, where it is one in the template's metadata or spec.
fn in_template(kind: Kind, pattern: &str) -> Option<&str> {
    let below = pattern.strip_prefix(TEMPLATE).filter(|_| kind == Kind::Job)?.strip_prefix('.')?;
    ["metadata", "spec"].iter().any(|field| is_or_below(below, field)).then_some(below)
}

fn is_or_below(path: &str, field: &str) -> bool {
    path.strip_prefix(field).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// Where the table has the rows of `pattern`, which may share another field's.
fn below_shared(pattern: &str) -> Cow<'_, str> {
    let Some((parent, name)) = pattern.rsplit_once('.') else { return Cow::Borrowed(pattern) };
    match shared(parent) {
        Cow::Borrowed(_) => Cow::Borrowed(pattern),
        Cow::Owned(parent) => Cow::Owned(format!("{parent}.{name}")),
    }
}

/// Where the table has the rows of the fields below the object at `pattern`.
fn shared(pattern: &str) -> Cow<'_, str> {
    const SHARED: [(&str, &str); 4] = [
        ("spec.initContainers[]", "spec.containers[]"),
        ("spec.containers[].readinessProbe", "spec.containers[].livenessProbe"),
        ("spec.containers[].startupProbe", "spec.containers[].livenessProbe"),
        ("spec.containers[].lifecycle.preStop", "spec.containers[].lifecycle.postStart"),
    ];
    let mut pattern = Cow::Borrowed(pattern);
    for (other, own) in SHARED {
        let rest = pattern.strip_prefix(other).filter(|rest| rest.is_empty() || rest.starts_with('.'));
        if let Some(moved) = rest.map(|rest| format!("{own}{rest}")) {
            pattern = Cow::Owned(moved);
        }
    }
    pattern
}

/// The rows are in the order of their paths, so that a look-up is a binary search.
fn find(table: &[Field], path: &str) -> Option<Rule> {
    table.binary_search_by(|(row, _)| (*row).cmp(path)).ok().and_then(|at| table.get(at)).map(|&(_, rule)| rule)
}
