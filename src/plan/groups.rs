//! The pod's groups: those that its processes are in besides their own, and the one that its volumes belong to.

use k8s_openapi::api::core::v1::PodSecurityContext;

use super::scope::Scope;
use super::{GroupChange, Verdict};
use crate::error::{Error, Result};

/// Whether the image's `/etc/group` counts (`supplementalGroupsPolicy`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ImageGroups {
    /// The groups that it has the user in are the process's, too.
    Merged,
    /// Only those of the pod are.
    LeftOut,
}

/// The pod's `supplementalGroupsPolicy`.
///
/// # Errors
/// A word that is none of the API's.
pub(super) fn image_groups(scope: &Scope) -> Result<ImageGroups> {
    match context(scope).and_then(|context| context.supplemental_groups_policy.as_deref()) {
        None | Some("" | "Merge") => Ok(ImageGroups::Merged),
        Some("Strict") => Ok(ImageGroups::LeftOut),
        Some(other) => {
            let why = format!("{other:?} is neither Merge nor Strict");
            Err(scope.error("spec.securityContext.supplementalGroupsPolicy", why))
        }
    }
}

/// The groups that every process of the pod is in: `supplementalGroups`, then `fsGroup`.
///
/// # Errors
/// An id that does not exist in the pod's user namespace.
pub(super) fn supplemental(scope: &Scope) -> Result<Vec<u32>> {
    let said = context(scope).and_then(|context| context.supplemental_groups.as_deref()).unwrap_or_default();
    let one = |(i, id): (usize, &i64)| group(scope, &format!("spec.securityContext.supplementalGroups[{i}]"), *id);
    let mut groups = said.iter().enumerate().map(one).collect::<Result<Vec<_>>>()?;
    groups.extend(file_group(scope)?);
    Ok(groups)
}

/// `fsGroup`: the group of the volumes that podling makes.
///
/// # Errors
/// An id that does not exist in the pod's user namespace.
pub(super) fn file_group(scope: &Scope) -> Result<Option<u32>> {
    let said = context(scope).and_then(|context| context.fs_group);
    said.map(|id| group(scope, "spec.securityContext.fsGroup", id)).transpose()
}

/// The mode and group of the root of a volume whose mode would be `mode` without `fsGroup`. The group may do what `access` says
/// and gets what is made there, as the kubelet has it. With one id there is no other group than the container's own.
///
/// # Errors
/// An id that does not exist in the pod's user namespace.
pub(super) fn root(scope: &Scope, mode: u32, access: GroupAccess) -> Result<(u32, Option<u32>)> {
    let Some(group) = file_group(scope)? else { return Ok((mode, None)) };
    let bits = match access {
        GroupAccess::Reads => 0o550,
        GroupAccess::Writes => 0o770,
    };
    if scope.ids.is_single() { Ok((mode | bits, None)) } else { Ok((mode | bits | 0o2000, Some(group))) }
}

/// `fsGroup` where there are groups to give.
///
/// # Errors
/// An id that does not exist in the pod's user namespace.
pub(super) fn given(scope: &Scope) -> Result<Option<u32>> {
    Ok(file_group(scope)?.filter(|_| !scope.ids.is_single()))
}

/// `fsGroupChangePolicy`.
///
/// # Errors
/// A word that is none of the API's.
pub(super) fn change(scope: &Scope) -> Result<GroupChange> {
    match context(scope).and_then(|context| context.fs_group_change_policy.as_deref()) {
        None | Some("" | "Always") => Ok(GroupChange::Always),
        Some("OnRootMismatch") => Ok(GroupChange::OnRootMismatch),
        Some(other) => {
            let why = format!("{other:?} is neither Always nor OnRootMismatch");
            Err(scope.error("spec.securityContext.fsGroupChangePolicy", why))
        }
    }
}

/// What the volumes' group may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GroupAccess {
    /// Read: the volume's files are generated.
    Reads,
    /// Read and write.
    Writes,
}

/// The user that all containers run as by the YAML, where that is one (`FsUserFrom` of the kubelet).
pub(super) fn only_user(scope: &Scope) -> Option<u32> {
    let pods = context(scope).and_then(|context| context.run_as_user);
    let users = scope.containers().map(|(_, c)| c.security_context.as_ref().and_then(|own| own.run_as_user).or(pods));
    let mut users = users.map(|user| user.and_then(|id| u32::try_from(id).ok()));
    let first = users.next()??;
    users.all(|user| user == Some(first)).then_some(first)
}

/// What is different where there is only one id.
pub(super) fn verdicts(scope: &Scope) -> Vec<Verdict> {
    let Some(context) = context(scope).filter(|_| scope.ids.is_single()) else { return Vec::new() };
    let mut verdicts = Vec::new();
    if context.fs_group.is_some() {
        let how = "the caller has no subordinate ids: volumes belong to the container's own user and group, who may write them";
        verdicts.push(scope.verdict("spec.securityContext.fsGroup", how));
    }
    if context.supplemental_groups.as_ref().is_some_and(|groups| !groups.is_empty()) {
        let how = "they are left out: the caller has no subordinate ids, so setgroups(2) is not available";
        verdicts.push(scope.verdict("spec.securityContext.supplementalGroups", how));
    }
    verdicts
}

/// An error about the field at `path`, whose `id` the pod's user namespace lacks; `what` is `user` or `group`.
pub(super) fn unmapped(scope: &Scope, path: &str, what: &str, id: u32) -> Error {
    let (extents, file) = if what == "user" { (&scope.ids.uids, "subuid") } else { (&scope.ids.gids, "subgid") };
    let highest = extents.iter().map(|e| e.inside.saturating_add(e.count.saturating_sub(1))).max().unwrap_or(0);
    scope
        .error(path, format!("{what} id {id} does not exist in the pod, whose highest is {highest}"))
        .mend(format!("give the caller more subordinate ids: an entry of at least {id} ids in /etc/{file}"))
}

fn group(scope: &Scope, path: &str, id: i64) -> Result<u32> {
    let Some(gid) = i32::try_from(id).ok().and_then(|id| u32::try_from(id).ok()) else {
        return Err(scope.error(path, format!("{id} is not an id between 0 and 2147483647")));
    };
    if !scope.ids.is_single() && !scope.ids.has_gid(gid) {
        return Err(unmapped(scope, path, "group", gid));
    }
    Ok(gid)
}

fn context<'a>(scope: &'a Scope) -> Option<&'a PodSecurityContext> {
    scope.spec.security_context.as_ref()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::plan::fixture::Fixture;

    fn fixture(security: Value) -> Fixture {
        let mut fixture = Fixture::container(json!({ "securityContext": { "runAsUser": 1000 } }));
        fixture.pod["spec"]["securityContext"] = security;
        fixture.pod["spec"]["volumes"] = json!([{ "name": "v", "emptyDir": { "medium": "Memory" } }]);
        fixture
    }

    #[test]
    fn processes_are_in_the_pods_groups() {
        for (security, groups) in [
            (json!({}), json!([1000, 4, 33])),
            (json!({ "supplementalGroups": [7, 4, 7], "fsGroup": 9 }), json!([1000, 4, 33, 7, 9])),
            (json!({ "supplementalGroups": [7], "supplementalGroupsPolicy": "Strict" }), json!([1000, 7])),
            (json!({ "runAsGroup": 5, "fsGroup": 5, "supplementalGroupsPolicy": "Strict" }), json!([5])),
        ] {
            assert_eq!(fixture(security.clone()).spec()["process"]["user"]["additionalGids"], groups, "{security}");
        }
    }

    #[test]
    fn the_groups_volume() {
        let volume = |fixture: Fixture| fixture.plan().unwrap().volumes.pop().unwrap();
        let own = volume(fixture(json!({ "fsGroup": 9 })));
        assert_eq!((own.mode, own.group), (0o2777, Some(9)));
        let single = volume(fixture(json!({ "fsGroup": 9 })).single_id());
        assert_eq!((single.mode, single.group), (0o777, None));
        let none = volume(fixture(json!({})));
        assert_eq!((none.mode, none.group), (0o777, None));
    }

    #[test]
    fn groups_that_do_not_exist() {
        for (security, path) in [
            (json!({ "fsGroup": 70_000 }), "spec.securityContext.fsGroup: group id 70000 does not exist"),
            (json!({ "supplementalGroups": [1, 70_000] }), "spec.securityContext.supplementalGroups[1]"),
            (json!({ "fsGroup": -1 }), "between 0 and"),
        ] {
            let refusal = fixture(security).refusal();
            assert!(refusal.contains(path), "{refusal}");
        }
        let all = json!({ "runAsGroup": 0, "supplementalGroups": (1..=65_536).collect::<Vec<u32>>() });
        let refusal = fixture(all).refusal();
        assert!(refusal.contains("65537 groups are more than a process can be in"), "{refusal}");
        let single = fixture(json!({ "fsGroup": 70_000, "supplementalGroups": [1] })).single_id().plan().unwrap();
        for path in ["spec.securityContext.fsGroup", "spec.securityContext.supplementalGroups"] {
            assert_eq!(single.report.iter().filter(|verdict| verdict.path == path).count(), 1, "{:?}", single.report);
        }
    }
}
