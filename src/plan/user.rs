//! Who a container runs as: `securityContext` before the image's `User`, resolved against the image's own accounts.

use std::collections::BTreeSet;

use oci_spec::runtime::{LinuxIdMapping, LinuxIdMappingBuilder};

use super::Verdict;
use super::capabilities::Wall;
use super::groups::{self, ImageGroups};
use super::scope::Subject;
use crate::error::{Error, Result};
use crate::host::IdExtent;
use crate::image::{Accounts, User};

/// A container's identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    pub uid: u32,
    pub gid: u32,
    /// Supplementary groups, the primary group first.
    pub groups: Vec<u32>,
    /// Home directory from the image's passwd, `/` where the user has no entry.
    pub home: String,
    /// The uid map of the container's own user namespace, from ids in it to ids of the pod.
    pub uid_mappings: Vec<LinuxIdMapping>,
    /// The gid map of the same.
    pub gid_mappings: Vec<LinuxIdMapping>,
}

/// Decides the identity of a container.
///
/// The rules are those of the kubelet with containerd: the container's `runAsUser` wins over the pod's, which wins over
/// the image's user; without `runAsGroup` the primary group is the one of the user's passwd entry, else 0; the groups of
/// which the image's `/etc/group` makes the user a member are added unless `supplementalGroupsPolicy` is Strict, and the pod's groups.
///
/// # Errors
/// For a user or group that the image does not know, for root where `runAsNonRoot` forbids it, and for ids which do not
/// exist in the pod's user namespace.
pub(super) fn identity(subject: &Subject, wall: Wall, report: &mut Vec<Verdict>) -> Result<Identity> {
    let accounts = &subject.image.accounts;
    let said_uid = said_id(subject, "runAsUser", |c| c.run_as_user, |p| p.run_as_user)?;
    let said_gid = said_id(subject, "runAsGroup", |c| c.run_as_group, |p| p.run_as_group)?;
    let image_user = subject.config().and_then(|c| c.user().as_deref()).unwrap_or_default();
    let (uid, image_gid) = match said_uid {
        Some(uid) => (uid, None),
        None => image_identity(subject, image_user)?,
    };
    let entry = accounts.users.iter().find(|user| user.uid == uid);
    let gid = said_gid.or(image_gid).unwrap_or_else(|| entry.map_or(0, |user| user.gid));
    forbid_root(subject, uid, said_uid.is_none().then_some(image_user), report)?;
    let members = if groups::image_groups(subject.scope)? == ImageGroups::Merged { entry } else { None };
    let groups = supplementary(accounts, members, gid, &groups::supplemental(subject.scope)?);
    let home = entry.map(|user| user.home.as_str()).filter(|home| !home.is_empty()).unwrap_or("/").to_owned();
    let identity = Identity { uid, gid, groups, home, uid_mappings: Vec::new(), gid_mappings: Vec::new() };
    match wall {
        _ if !subject.scope.ids.is_single() => full(subject, identity),
        Wall::Stands => single(subject, identity, report),
        Wall::Gone => only_root(subject, identity, report),
    }
}

/// The container's last user namespace repeats the pod's map, one extent for each of the pod's: the kernel refuses an
/// extent that spans two of the parent's.
fn full(subject: &Subject, identity: Identity) -> Result<Identity> {
    let ids = subject.scope.ids;
    if !ids.has_uid(identity.uid) {
        return Err(unmapped(subject, "user", identity.uid));
    }
    if let Some(gid) = [identity.gid].iter().chain(&identity.groups).find(|gid| !ids.has_gid(**gid)) {
        return Err(unmapped(subject, "group", *gid));
    }
    let same = |extents: &[IdExtent]| -> Result<Vec<LinuxIdMapping>> {
        extents.iter().map(|e| mapping(e.inside, e.inside, e.count)).collect()
    };
    Ok(Identity { uid_mappings: same(&ids.uids)?, gid_mappings: same(&ids.gids)?, ..identity })
}

/// With one id in the pod, the container's last user namespace shows it as the uid and gid that the container runs as.
fn single(subject: &Subject, identity: Identity, report: &mut Vec<Verdict>) -> Result<Identity> {
    // What is said of the pod's own groups is not said again for each container.
    let pods = groups::supplemental(subject.scope)?;
    let is_lost = |gid: &&u32| **gid != identity.gid && !pods.contains(gid);
    let dropped: Vec<String> = identity.groups.iter().filter(is_lost).map(u32::to_string).collect();
    if !dropped.is_empty() {
        let how = format!(
            "supplementary groups {} are left out: the caller has no subordinate ids, so setgroups(2) is not available",
            dropped.join(", ")
        );
        report.push(subject.verdict("image", how));
    }
    let only = |extents: &[IdExtent]| extents.first().map_or(0, |extent| extent.inside);
    let ids = subject.scope.ids;
    Ok(Identity {
        groups: Vec::new(),
        uid_mappings: vec![mapping(identity.uid, only(&ids.uids), 1)?],
        gid_mappings: vec![mapping(identity.gid, only(&ids.gids), 1)?],
        ..identity
    })
}

/// With one id and without a last user namespace there is the pod's root and nobody else.
fn only_root(subject: &Subject, identity: Identity, report: &mut Vec<Verdict>) -> Result<Identity> {
    if (identity.uid, identity.gid) != (0, 0) {
        let why = format!(
            "user {} and group {} do not exist: the caller has no subordinate ids, and what the container may do keeps it from having a \
             user namespace of its own that would show another id than root's",
            identity.uid, identity.gid
        );
        return Err(subject.error("securityContext", why).mend("run it as root, or give the caller subordinate ids"));
    }
    single(subject, identity, report)
}

fn mapping(container: u32, host: u32, size: u32) -> Result<LinuxIdMapping> {
    let mapping = LinuxIdMappingBuilder::default().container_id(container).host_id(host).size(size);
    mapping.build().map_err(|e| Error::new(e.to_string()))
}

/// An error about an id that the pod's user namespace lacks, at the field that says it, or else at the container's security context.
fn unmapped(subject: &Subject, what: &str, id: u32) -> Error {
    let own = subject.container.security_context.as_ref().map(|c| (c.run_as_user, c.run_as_group));
    let pods = subject.scope.spec.security_context.as_ref().map(|p| (p.run_as_user, p.run_as_group));
    let around = format!("{}.securityContext", subject.path);
    let field = if what == "user" { "runAsUser" } else { "runAsGroup" };
    let says = |said: Option<(Option<i64>, Option<i64>)>| {
        let (user, group) = said.unwrap_or_default();
        if what == "user" { user } else { group }
    };
    let path = match (says(own), says(pods)) {
        (Some(said), _) if said == i64::from(id) => format!("{around}.{field}"),
        (None, Some(said)) if said == i64::from(id) => format!("spec.securityContext.{field}"),
        _ => around,
    };
    groups::unmapped(subject.scope, &path, what, id)
}

/// `securityContext.FIELD` of the container, else of the pod.
fn said_id(
    subject: &Subject,
    field: &str,
    container: impl Fn(&k8s_openapi::api::core::v1::SecurityContext) -> Option<i64>,
    pod: impl Fn(&k8s_openapi::api::core::v1::PodSecurityContext) -> Option<i64>,
) -> Result<Option<u32>> {
    let own = subject.container.security_context.as_ref().and_then(container);
    let (path, id) = match own {
        Some(id) => (format!("{}.securityContext.{field}", subject.path), id),
        None => match subject.scope.spec.security_context.as_ref().and_then(pod) {
            Some(id) => (format!("spec.securityContext.{field}"), id),
            None => return Ok(None),
        },
    };
    match i32::try_from(id).ok().and_then(|id| u32::try_from(id).ok()) {
        Some(id) => Ok(Some(id)),
        None => Err(subject.scope.error(&path, format!("{id} is not an id between 0 and 2147483647"))),
    }
}

/// The image's `User`: `name`, `uid`, `name:group` or `uid:gid`, mixed as one likes; empty means root.
fn image_identity(subject: &Subject, said: &str) -> Result<(u32, Option<u32>)> {
    let accounts = &subject.image.accounts;
    let (user, group) = match said.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
        None => (said, None),
    };
    let unknown = |what: &str, name: &str| {
        let why = format!(
            "image {:?} runs as {what} {name:?}, which its own /etc/{} does not know",
            subject.image.reference,
            if what == "user" { "passwd" } else { "group" }
        );
        subject.error("image", why).mend("write securityContext.runAsUser and runAsGroup")
    };
    let known = |name: &str| accounts.users.iter().find(|entry| entry.name == name);
    let (uid, primary) = match (user, parse_id(user)) {
        ("", _) => (0, None),
        (_, Some(uid)) => (uid, None),
        (name, None) => known(name).map(|entry| (entry.uid, Some(entry.gid))).ok_or_else(|| unknown("user", name))?,
    };
    let gid = match group.map(|name| (name, parse_id(name))) {
        None => primary,
        Some((_, Some(gid))) => Some(gid),
        Some((name, None)) => {
            let entry = accounts.groups.iter().find(|entry| entry.name == name);
            Some(entry.ok_or_else(|| unknown("group", name))?.gid)
        }
    };
    Ok((uid, gid))
}

/// A numeric id. 4294967295 is not one: it means "no change" to the kernel.
fn parse_id(text: &str) -> Option<u32> {
    text.parse::<u32>().ok().filter(|id| *id != u32::MAX)
}

/// The primary group, those that the image has the user in, and the pod's, each once.
fn supplementary(accounts: &Accounts, entry: Option<&User>, gid: u32, pods: &[u32]) -> Vec<u32> {
    let mut groups = vec![gid];
    if let Some(user) = entry {
        let own = accounts.groups.iter().filter(|group| group.members.contains(&user.name));
        groups.extend(own.map(|group| group.gid));
    }
    groups.extend(pods);
    let mut seen = BTreeSet::new();
    groups.retain(|group| seen.insert(*group));
    groups
}

/// `runAsNonRoot`. `image_user` is the image's user where that decided.
fn forbid_root(subject: &Subject, uid: u32, image_user: Option<&str>, report: &mut Vec<Verdict>) -> Result<()> {
    let container = subject.container.security_context.as_ref().and_then(|c| c.run_as_non_root);
    let pod = subject.scope.spec.security_context.as_ref().and_then(|p| p.run_as_non_root);
    if !container.or(pod).unwrap_or(false) {
        return Ok(());
    }
    let path = match container {
        Some(_) => format!("{}.securityContext.runAsNonRoot", subject.path),
        None => "spec.securityContext.runAsNonRoot".to_owned(),
    };
    if uid == 0 {
        // The kubelet's words, which people look for.
        let why = match image_user {
            Some(_) => format!("container has runAsNonRoot and image {:?} will run as root", subject.image.reference),
            None => "container's runAsUser breaks non-root policy".to_owned(),
        };
        return Err(subject.scope.error(&path, why).mend("write securityContext.runAsUser, or remove runAsNonRoot"));
    }
    if let Some(name) = image_user.map(|user| user.split(':').next().unwrap_or(user)).filter(|u| parse_id(u).is_none())
    {
        let how = format!(
            "the image's user {name:?} is looked up in its passwd and is uid {uid}; a kubelet cannot verify that a non-numeric user is non-root, and refuses it"
        );
        report.push(subject.scope.verdict(path, how));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::plan::fixture::Fixture;

    fn fixture(image_user: &str, pod: Value, container: Value) -> Fixture {
        let mut fixture = Fixture::container(json!({ "securityContext": container }))
            .config(json!({ "Cmd": ["sh"], "User": image_user }));
        fixture.pod["spec"]["securityContext"] = pod;
        fixture
    }

    #[test]
    fn users_groups_and_homes() {
        let none = || json!({});
        for (image, pod, container, uid, gid, groups, home) in [
            ("", none(), none(), 0, 0, json!([0]), "/root"),
            ("app", none(), none(), 1000, 1000, json!([1000, 4, 33]), "/home/app"),
            ("1000", none(), none(), 1000, 1000, json!([1000, 4, 33]), "/home/app"),
            ("app:adm", none(), none(), 1000, 4, json!([4, 33, 1000]), "/home/app"),
            ("1000:7", none(), none(), 1000, 7, json!([7, 4, 33, 1000]), "/home/app"),
            ("4242", none(), none(), 4242, 0, json!([0]), "/"),
            (":33", none(), none(), 0, 33, json!([33]), "/root"),
            ("app", json!({ "runAsUser": 33 }), none(), 33, 33, json!([33]), "/var/www"),
            ("app", json!({ "runAsUser": 33 }), json!({ "runAsUser": 4242 }), 4242, 0, json!([0]), "/"),
            ("app", json!({ "runAsGroup": 9 }), none(), 1000, 9, json!([9, 4, 33, 1000]), "/home/app"),
            (
                "app",
                json!({ "runAsGroup": 9 }),
                json!({ "runAsGroup": 0 }),
                1000,
                0,
                json!([0, 4, 33, 1000]),
                "/home/app",
            ),
        ] {
            let spec = fixture(image, pod.clone(), container.clone()).spec();
            let user = &spec["process"]["user"];
            assert_eq!(
                (&user["uid"], &user["gid"], &user["additionalGids"]),
                (&json!(uid), &json!(gid), &groups),
                "{image} {pod} {container}"
            );
            assert!(spec["process"]["env"].as_array().unwrap().contains(&json!(format!("HOME={home}"))), "{image}");
        }
    }

    #[test]
    fn ids_that_do_not_exist_are_refused() {
        for (image, pod, expected) in [
            ("nobody-here", json!({}), "\"nobody-here\", which its own /etc/passwd"),
            ("app:nothing", json!({}), "\"nothing\", which its own /etc/group"),
            ("4294967295", json!({}), "/etc/passwd"),
            ("far", json!({}), "subordinate ids"),
            ("far", json!({}), "spec.containers[0].securityContext: user id"),
            ("", json!({ "runAsUser": 65_537 }), "highest is 65536"),
            ("", json!({ "runAsUser": 65_537 }), "spec.securityContext.runAsUser: user id 65537"),
            ("", json!({ "runAsGroup": 65_537 }), "/etc/subgid"),
            ("", json!({ "runAsGroup": 65_537 }), "spec.securityContext.runAsGroup: group id 65537"),
            ("", json!({ "runAsUser": -1 }), "spec.securityContext.runAsUser"),
            ("", json!({ "runAsUser": 1_i64 << 40 }), "between 0 and 2147483647"),
        ] {
            let refusal = fixture(image, pod, json!({})).refusal();
            assert!(refusal.contains(expected), "{refusal}");
        }
    }

    #[test]
    fn run_as_non_root() {
        let said = json!({ "runAsNonRoot": true });
        assert!(
            fixture("", json!({}), said.clone()).refusal().contains("spec.containers[0].securityContext.runAsNonRoot")
        );
        assert!(fixture("root", said.clone(), json!({})).refusal().contains("will run as root"));
        assert!(fixture("", said.clone(), json!({ "runAsNonRoot": false })).plan().is_ok());
        assert_eq!(fixture("1000", said.clone(), json!({})).plan().unwrap().report, []);
        assert_eq!(fixture("app", said.clone(), json!({ "runAsUser": 5 })).plan().unwrap().report, []);
        let report = fixture("app:adm", said, json!({})).plan().unwrap().report;
        assert!(report[0].how.contains("\"app\"") && report.len() == 1, "{report:?}");
    }

    #[test]
    fn one_id_is_shown_as_the_containers_own() {
        let fixture = fixture("far:adm", json!({}), json!({})).single_id();
        let spec = fixture.spec();
        assert_eq!(spec["linux"]["uidMappings"], json!([{ "containerID": 70_000, "hostID": 0, "size": 1 }]));
        assert_eq!(spec["linux"]["gidMappings"], json!([{ "containerID": 4, "hostID": 0, "size": 1 }]));
        assert_eq!(spec["process"]["user"], json!({ "uid": 70_000, "gid": 4, "umask": 18 }));
        assert_eq!(fixture.plan().unwrap().report.len(), 1);
        let app = super::tests::fixture("app", json!({}), json!({})).single_id().plan().unwrap();
        assert!(app.report[0].how.contains("groups 4, 33"), "{:?}", app.report);
    }
}
