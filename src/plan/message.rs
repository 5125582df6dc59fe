//! Where a container's last message is: a file in the pod's own tmpfs, bound at `terminationMessagePath`.

use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Container;

use super::scope::{Scope, Subject, cleaned, plain_name};
use super::{FilePlan, MessagePlan, MessagePolicy};
use crate::error::Result;

const DEFAULT_PATH: &str = "/dev/termination-log";
/// Whoever the container runs as writes it.
const MODE: u32 = 0o666;

/// Where the supervisor reads the message of `container`, and what counts where there is none.
///
/// # Errors
/// For a policy that is none of the API's words.
pub(super) fn message(subject: &Subject) -> Result<MessagePlan> {
    let policy = match subject.container.termination_message_policy.as_deref() {
        None | Some("" | "File") => MessagePolicy::File,
        Some("FallbackToLogsOnError") => MessagePolicy::FallbackToLogsOnError,
        Some(other) => {
            let why = format!("{other:?} is neither File nor FallbackToLogsOnError");
            return Err(subject.error("terminationMessagePolicy", why));
        }
    };
    Ok(MessagePlan { file: subject.scope.paths.run_dir.join("etc").join(file_name(subject.container)), policy })
}

/// The empty files of all containers' messages, for the pod's `etc`.
///
/// # Errors
/// For a container's name that cannot be part of a file's.
pub(super) fn files(scope: &Scope) -> Result<Vec<FilePlan>> {
    let file = |(path, container): (String, &Container)| {
        plain_name(scope, &format!("{path}.name"), &container.name)?;
        Ok(FilePlan::new(file_name(container), MODE, Vec::new()))
    };
    scope.containers().map(file).collect()
}

/// Where the container finds the file.
///
/// # Errors
/// For a path at which no file can be mounted; `volumes` are the places of the container's volumes that are directories.
pub(super) fn place<'a>(subject: &Subject, mut volumes: impl Iterator<Item = &'a Path>) -> Result<PathBuf> {
    let said = subject.container.termination_message_path.as_deref().filter(|path| !path.is_empty());
    let said = said.unwrap_or(DEFAULT_PATH);
    let place = cleaned(said);
    let why = if !said.starts_with('/') {
        "is not an absolute path"
    } else if place.starts_with("/proc") || place.starts_with("/sys") {
        "belongs to the kernel's own file systems"
    } else if ["/", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue"].iter().any(|taken| place == Path::new(taken)) {
        "is a directory in every container, and a file is needed"
    } else if place.starts_with("/dev/pts") || place.starts_with("/dev/mqueue") || place.starts_with("/dev/fd") {
        "belongs to the kernel's own file systems"
    } else if volumes.any(|volume| volume.starts_with(&place)) {
        "is where a volume is mounted, or above it, and a file is needed"
    } else {
        return Ok(place);
    };
    Err(subject.error("terminationMessagePath", format!("{said:?} {why}")))
}

fn file_name(container: &Container) -> String {
    format!("termination-{}", container.name)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::{Value, json};

    use crate::plan::MessagePolicy;
    use crate::plan::fixture::Fixture;

    fn fixture(fields: Value) -> Fixture {
        let mut fixture = Fixture::container(fields);
        fixture.pod["spec"]["initContainers"] = json!([{ "name": "first", "image": "busybox" }]);
        fixture.pod["spec"]["volumes"] = json!([
            { "name": "data", "emptyDir": {} },
            { "name": "conf", "configMap": { "name": "none", "optional": true } },
        ]);
        fixture
    }

    /// Where the message's file is mounted, with its options and its place among the mounts.
    fn bound(fixture: &Fixture) -> (String, Value, usize) {
        let spec = fixture.spec();
        let mounts = spec["mounts"].as_array().unwrap();
        let at = mounts.iter().position(|mount| mount["source"] == "/run/pod/etc/termination-main").unwrap();
        (mounts[at]["destination"].as_str().unwrap().to_owned(), mounts[at]["options"].clone(), at)
    }

    #[test]
    fn every_container_has_a_file_that_anyone_may_write() {
        let plan = fixture(json!({})).plan().unwrap();
        for (container, name) in [(&plan.init_containers[0], "first"), (&plan.containers[0], "main")] {
            let file =
                plan.volumes[0].files.iter().find(|f| f.path == Path::new(&format!("termination-{name}"))).unwrap();
            assert_eq!((file.mode, file.content.len()), (0o666, 0));
            assert_eq!(container.message.file, plan.volumes[0].path.join(&file.path));
            assert_eq!(container.message.policy, MessagePolicy::File);
        }
        let policy = json!({ "terminationMessagePolicy": "FallbackToLogsOnError" });
        let plan = fixture(policy).plan().unwrap();
        assert_eq!(plan.containers[0].message.policy, MessagePolicy::FallbackToLogsOnError);
        assert!(fixture(json!({ "terminationMessagePolicy": "Logs" })).refusal().contains("terminationMessagePolicy"));
    }

    #[test]
    fn it_is_mounted_after_dev_and_can_be_written_in_a_read_only_root() {
        let read_only = json!({ "securityContext": { "readOnlyRootFilesystem": true } });
        for (fields, place) in [
            (json!({}), "/dev/termination-log"),
            (read_only, "/dev/termination-log"),
            (json!({ "terminationMessagePath": "" }), "/dev/termination-log"),
            (json!({ "terminationMessagePath": "/tmp/./last" }), "/tmp/last"),
            // As the kubelet has it, the message's file lies over the pod's own.
            (json!({ "terminationMessagePath": "/etc/hosts" }), "/etc/hosts"),
        ] {
            let fixture = fixture(fields);
            let (destination, options, at) = bound(&fixture);
            assert_eq!((destination.as_str(), options), (place, json!(["bind", "rprivate", "rw"])));
            let mounts = fixture.spec()["mounts"].clone();
            let all = mounts.as_array().unwrap();
            let dev = all.iter().position(|mount| mount["destination"] == "/dev").unwrap();
            assert!(dev < at);
            assert_eq!(all.iter().filter(|mount| mount["destination"] == place).count(), 1);
        }
    }

    #[test]
    fn a_file_inside_a_volume_is_mounted_after_it() {
        let mounts = json!([{ "name": "data", "mountPath": "/data" }]);
        let fixture = fixture(json!({ "terminationMessagePath": "/data/last", "volumeMounts": mounts }));
        let (_, _, at) = bound(&fixture);
        let spec = fixture.spec();
        let volume = spec["mounts"].as_array().unwrap().iter().position(|mount| mount["destination"] == "/data");
        assert!(volume.unwrap() < at);
    }

    #[test]
    fn impossible_places() {
        for place in [
            "last",
            "/",
            "/x/..",
            "/dev",
            "/dev/",
            "/dev/pts/9",
            "/dev/shm",
            "/dev/mqueue/x",
            "/proc/last",
            "/sys/last",
        ] {
            let refusal = fixture(json!({ "terminationMessagePath": place })).refusal();
            assert!(refusal.contains("spec.containers[0].terminationMessagePath"), "{place}: {refusal}");
        }
        for (mount, place, expected) in [
            ("data", "/data/", "is where a volume is mounted"),
            ("data", "/data/..//data", "is where a volume is mounted"),
            ("conf", "/data/last", "is in a volume that is mounted read-only"),
        ] {
            let mounts = json!([{ "name": mount, "mountPath": "/data" }]);
            let refusal = fixture(json!({ "terminationMessagePath": place, "volumeMounts": mounts })).refusal();
            assert!(refusal.contains(expected), "{refusal}");
        }
    }
}
