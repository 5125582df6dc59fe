//! The plan of a pod: every decision put together.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};

use super::scope::{Scope, Subject, plain_name};
use super::{
    ContainerPlan, Hooks, MessagePlan, MessagePolicy, Options, PodPaths, PodPlan, Probes, Processes, Restart,
    RestartPolicy, Role, StdinPlan, Terminal, Verdict, nested, oci, security, signal, user, volumes,
};
use crate::error::{Error, Result};
use crate::host::HostFacts;
use crate::image::Image;
use crate::manifest::{Bundle, Said};

/// Decides everything about one pod: pure, so the same input always gives the same plan.
///
/// `images` holds the image of each container by the string that the YAML writes.
///
/// # Errors
/// For a field that cannot be honoured here, with its file and line, and for an image that is not among `images`.
pub fn plan(
    pod: &Said<Pod>,
    bundle: &Bundle,
    images: &BTreeMap<String, Image>,
    host: &HostFacts,
    paths: &PodPaths,
    options: &Options,
) -> Result<PodPlan> {
    let Some(spec) = &pod.object.spec else { return Err(pod.source.error("spec", "is missing")) };
    let name = options.name.as_ref().or(pod.object.metadata.name.as_ref()).filter(|name| !name.is_empty());
    let Some(name) = name else {
        return Err(pod.source.error("metadata.name", "is missing").mend("write a name, or give one with --name"));
    };
    let hostname = hostname(pod, spec, name)?;
    let scope = Scope { said: pod, spec, bundle, host, ids: &host.ids, paths, options, hostname: &hostname };
    let mut report = Vec::new();
    let mut volumes = volumes::volumes(&scope, &mut report)?;
    nested::add_mount_points(&scope, &mut volumes)?;
    let mut container_plans = |list: &[Container], path: &str| -> Result<Vec<ContainerPlan>> {
        let one = |(i, said): (usize, &Container)| container(&scope, images, said, format!("{path}[{i}]"), &mut report);
        list.iter().enumerate().map(one).collect()
    };
    let init_containers = container_plans(spec.init_containers.as_deref().unwrap_or_default(), "spec.initContainers")?;
    let containers = container_plans(&spec.containers, "spec.containers")?;
    if host.ids.is_single() {
        let how = "the caller has no subordinate ids: files of every owner appear as the container's own user's, \
                   and changing a file's owner is answered with success and does nothing";
        report.push(scope.verdict("spec.containers", how));
    }
    Ok(PodPlan {
        name: name.clone(),
        ids: host.ids.clone(),
        restart_policy: restart_policy(&scope)?,
        grace_period: grace_period(&scope)?,
        active_deadline: None,
        processes: Processes::Apart,
        run_dir: paths.run_dir.clone(),
        volumes,
        init_containers,
        containers,
        report,
        hostname,
    })
}

fn container(
    scope: &Scope,
    images: &BTreeMap<String, Image>,
    said: &Container,
    path: String,
    report: &mut Vec<Verdict>,
) -> Result<ContainerPlan> {
    let name = plain_name(scope, &format!("{path}.name"), &said.name)?;
    let image = said.image.as_deref().unwrap_or_default();
    let Some(image) = images.get(image) else {
        return Err(scope.error(&format!("{path}.image"), format!("image {image:?} is not in the store")));
    };
    let subject = Subject { scope, container: said, image, path };
    security::check(&subject)?;
    let identity = user::identity(&subject, report)?;
    // A container's name is a DNS label, so what follows the point cannot be mistaken for another container's.
    let state = |what: &str| scope.paths.state_dir.join(format!("{name}.{what}"));
    let layers = [&scope.paths.base].into_iter().chain(&image.layers).cloned().collect();
    let (spec, secret) = oci::spec(&subject, &identity, report)?;
    Ok(ContainerPlan {
        name: name.to_owned(),
        role: if subject.path.starts_with("spec.init") { Role::Init } else { Role::Regular },
        restart: Restart { rules: Vec::new(), policy: restart_policy(scope)? },
        probes: Probes::default(),
        hooks: Hooks::default(),
        message: MessagePlan {
            file: scope.paths.run_dir.join("etc").join(format!("termination-{name}")),
            policy: MessagePolicy::File,
        },
        stdin: StdinPlan::Empty,
        terminal: Terminal::None,
        image: image.reference.clone(),
        layers,
        upper: state("upper"),
        work: state("work"),
        stop_signal: stop_signal(&subject)?,
        spec,
        secret,
    })
}

/// `spec.hostname`, else the pod's name, cut to the 63 bytes that a host name may have.
fn hostname(pod: &Said<Pod>, spec: &PodSpec, name: &str) -> Result<String> {
    let (path, said) = match spec.hostname.as_deref().filter(|hostname| !hostname.is_empty()) {
        Some(hostname) => ("spec.hostname", hostname),
        None => ("metadata.name", name),
    };
    let cut = said.get(..63).unwrap_or(said).trim_end_matches(['-', '.']);
    // It becomes a line of /etc/hosts.
    let clean = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    if cut.is_empty() || !said.bytes().all(clean) {
        return Err(pod.source.error(path, format!("{said:?} cannot be a host name")));
    }
    Ok(cut.to_owned())
}

fn restart_policy(scope: &Scope) -> Result<RestartPolicy> {
    match scope.spec.restart_policy.as_deref() {
        None | Some("" | "Always") => Ok(RestartPolicy::Always),
        Some("OnFailure") => Ok(RestartPolicy::OnFailure),
        Some("Never") => Ok(RestartPolicy::Never),
        Some(other) => {
            Err(scope.error("spec.restartPolicy", format!("{other:?} is none of Always, OnFailure and Never")))
        }
    }
}

fn grace_period(scope: &Scope) -> Result<Duration> {
    let seconds = scope.spec.termination_grace_period_seconds.unwrap_or(30);
    let why = |_| scope.error("spec.terminationGracePeriodSeconds", format!("{seconds} is negative"));
    u64::try_from(seconds).map(Duration::from_secs).map_err(why)
}

fn stop_signal(subject: &Subject) -> Result<i32> {
    let Some(name) = subject.config().and_then(|c| c.stop_signal().as_deref()).filter(|name| !name.is_empty()) else {
        return Ok(libc::SIGTERM);
    };
    let unknown = || -> Error {
        let why =
            format!("image {:?} asks to be stopped with {name:?}, which is not a signal", subject.image.reference);
        subject.error("image", why)
    };
    signal::number(name).ok_or_else(unknown)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use crate::plan::RestartPolicy;
    use crate::plan::fixture::Fixture;

    fn with(field: &str, value: Value) -> Fixture {
        let mut fixture = Fixture::container(json!({}));
        fixture.pod["spec"][field] = value;
        fixture
    }

    #[test]
    fn names_and_host_names() {
        let mut fixture = Fixture::container(json!({}));
        fixture.options.name = Some(format!("{}-.{}", "a".repeat(61), "b".repeat(9)));
        let plan = fixture.plan().unwrap();
        assert_eq!((plan.name.len(), plan.hostname), (72, "a".repeat(61)));
        assert_eq!(with("hostname", json!("db")).plan().unwrap().hostname, "db");
        let mut nameless = Fixture::container(json!({}));
        nameless.pod["metadata"] = json!({});
        assert!(nameless.refusal().contains("--name"));
        for name in ["é".repeat(40), "-".to_owned(), "a\n10.0.0.1 b".to_owned()] {
            nameless.options.name = Some(name);
            assert!(nameless.refusal().contains("cannot be a host name"));
        }
    }

    #[test]
    fn restart_policy_and_grace_period() {
        assert_eq!(Fixture::container(json!({})).plan().unwrap().restart_policy, RestartPolicy::Always);
        assert_eq!(with("restartPolicy", json!("Never")).plan().unwrap().restart_policy, RestartPolicy::Never);
        assert!(with("restartPolicy", json!("never")).plan().is_err());
        let grace = |seconds: i64| with("terminationGracePeriodSeconds", json!(seconds)).plan().map(|p| p.grace_period);
        assert_eq!(Fixture::container(json!({})).plan().unwrap().grace_period, Duration::from_secs(30));
        assert_eq!(grace(0), Ok(Duration::ZERO));
        assert!(grace(-1).is_err());
    }

    #[test]
    fn images_and_their_stop_signals() {
        let signal =
            |config: Value| Fixture::container(json!({})).config(config).plan().map(|p| p.containers[0].stop_signal);
        assert_eq!(signal(json!({ "Cmd": ["sh"] })), Ok(15));
        assert_eq!(signal(json!({ "Cmd": ["sh"], "StopSignal": "SIGRTMIN+3" })), Ok(37));
        assert!(signal(json!({ "Cmd": ["sh"], "StopSignal": "SIGNOPE" })).is_err());
        let missing = Fixture::container(json!({ "image": "none" })).refusal();
        assert!(missing.contains("spec.containers[0].image: image \"none\" is not in the store"), "{missing}");
        assert!(Fixture::container(json!({ "name": "a/b" })).refusal().contains("spec.containers[0].name"));
    }

    #[test]
    fn an_empty_pod_is_an_error_and_not_a_panic() {
        let mut fixture = Fixture::container(json!({}));
        fixture.pod = json!({ "metadata": { "name": "pod" } });
        assert!(fixture.refusal().contains("spec: is missing"));
    }
}
