//! The plan of a pod: every decision put together.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Pod};

use super::scope::{Scope, Subject, plain_name};
use super::{
    ContainerPlan, Emulation, Options, PodPaths, PodPlan, Processes, Role, StdinPlan, Terminal, Verdict, capabilities,
    groups, message, names, nested, oci, placement, probes, restarts, sandbox, security, signal, user, volumes,
};
use crate::error::{Error, Result};
use crate::host::HostFacts;
use crate::image::Image;
use crate::manifest::{Bundle, Objection, Said};

/// Decides everything about one pod: pure, so the same input always gives the same plan.
///
/// `images` holds the image of each container by the string that the YAML writes.
///
/// # Errors
/// For a field that cannot be honoured here, or that would be emulated where the options refuse that, with its file and line, and for
/// an image that is not among `images`.
pub fn plan(
    pod: &Said<Pod>,
    bundle: &Bundle,
    images: &BTreeMap<String, Image>,
    host: &HostFacts,
    paths: &PodPaths,
    options: &Options,
) -> Result<PodPlan> {
    pod.source.refuse(super::objections(pod, bundle, host, options))?;
    let plan = decide(pod, bundle, images, host, paths, options)?;
    if options.emulation == Emulation::Refused {
        pod.source.refuse(emulated(&plan))?;
    }
    Ok(plan)
}

/// What `--strict` has against the plan: everything that it emulates.
pub fn emulated(plan: &PodPlan) -> Vec<Objection> {
    plan.report.iter().map(|verdict| strictly(&verdict.path, &verdict.how)).collect()
}

/// What `--strict` has against the field at `path`, which is emulated as `how` says.
pub fn strictly(path: &str, how: &str) -> Objection {
    Objection { path: path.to_owned(), why: format!("--strict refuses what is emulated: {how}"), mend: None }
}

/// The plan of one pod, whatever stands against running it: what [`plan`] does after it has found no [`objections`](super::objections).
///
/// `images` holds the image of each container by the string that the YAML writes.
///
/// # Errors
/// For a field that cannot be honoured here, with its file and line, and for an image that is not among `images`.
pub fn decide(
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
    let names = names::names(pod, spec, name, host)?;
    let scope = Scope { said: pod, spec, bundle, host, ids: &host.ids, paths, options, name, names: &names };
    let always = |(path, how): &(String, &str)| scope.verdict(path, *how);
    let mut report: Vec<Verdict> = pod.source.emulated().iter().map(always).collect();
    security::report_host_users(&scope, &mut report);
    let mut sandbox = sandbox::sandbox(&scope, &mut report)?;
    let mut volumes = volumes::volumes(&scope, images, &mut report)?;
    nested::add_mount_points(&scope, &mut volumes)?;
    let mut container_plans = |list: &[Container], path: &str, role: fn(&Container) -> Role| -> Result<Vec<_>> {
        let one = |(i, said): (usize, &Container)| {
            container(&scope, images, said, role(said), format!("{path}[{i}]"), &mut report)
        };
        list.iter().enumerate().map(one).collect()
    };
    let init_said = spec.init_containers.as_deref().unwrap_or_default();
    let init_containers = container_plans(init_said, "spec.initContainers", restarts::init_role)?;
    let containers = container_plans(&spec.containers, "spec.containers", |_| Role::Regular)?;
    sandbox.owner = sandbox::owner(init_containers.iter().chain(&containers));
    report.extend(placement::verdicts(&scope));
    report.extend(shared_processes(&scope));
    report.extend(groups::verdicts(&scope));
    report.extend(unmounted_token(&scope));
    report.extend(service_links(&scope));
    if host.ids.is_single() {
        let how = "the caller has no subordinate ids: files of every owner appear as the container's own user's, \
                   and changing a file's owner is answered with success and does nothing";
        report.push(scope.verdict("spec.containers", how));
    }
    // What a field of the pod's means for several containers is told once.
    let mut told = BTreeSet::new();
    report.retain(|verdict| told.insert((verdict.path.clone(), verdict.how.clone())));
    Ok(PodPlan {
        name: name.clone(),
        ids: host.ids.clone(),
        restart_policy: restarts::pods_policy(&scope)?,
        grace_period: grace_period(&scope)?,
        active_deadline: active_deadline(&scope)?,
        processes: scope.processes(),
        sandbox,
        run_dir: paths.run_dir.clone(),
        volumes,
        init_containers,
        containers,
        report,
        hostname: names.kernel,
        uid: paths.uid.clone(),
    })
}

/// One container of the pod, or of `podling debug`.
pub(super) fn container(
    scope: &Scope,
    images: &BTreeMap<String, Image>,
    said: &Container,
    role: Role,
    path: String,
    report: &mut Vec<Verdict>,
) -> Result<ContainerPlan> {
    let name = plain_name(scope, &format!("{path}.name"), &said.name)?;
    let image = said.image.as_deref().unwrap_or_default();
    let Some(image) = images.get(image) else {
        return Err(scope.error(&format!("{path}.image"), format!("image {image:?} is not in the store")));
    };
    let subject = Subject { scope, container: said, image, role, path };
    security::report_privilege(&subject, report);
    let held = capabilities::held(&subject, report)?;
    let identity = user::identity(&subject, held.wall, report)?;
    // A container's name is a DNS label, so what follows the point cannot be mistaken for another container's.
    let state = |what: &str| scope.paths.state_dir.join(format!("{name}.{what}"));
    let layers = [&scope.paths.base].into_iter().chain(&image.layers).cloned().collect();
    let (spec, secret, late) = oci::spec(&subject, &identity, &held, report)?;
    Ok(ContainerPlan {
        name: name.to_owned(),
        role,
        restart: restarts::restart(&subject)?,
        probes: probes::probes(&subject, report)?,
        hooks: probes::hooks(&subject, report)?,
        message: message::message(&subject)?,
        stdin: match (said.stdin, said.stdin_once) {
            (Some(true), Some(true)) => StdinPlan::Once,
            (Some(true), _) => StdinPlan::Open,
            _ => StdinPlan::Empty,
        },
        terminal: if said.tty == Some(true) { Terminal::Own } else { Terminal::None },
        image: image.reference.clone(),
        image_digest: image.digest.clone(),
        layers,
        upper: state("upper"),
        work: state("work"),
        stop_signal: stop_signal(&subject)?,
        spec,
        secret,
        late,
    })
}

fn grace_period(scope: &Scope) -> Result<Duration> {
    let seconds = scope.spec.termination_grace_period_seconds.unwrap_or(30);
    let why = |_| scope.error("spec.terminationGracePeriodSeconds", format!("{seconds} is negative"));
    u64::try_from(seconds).map(Duration::from_secs).map_err(why)
}

fn active_deadline(scope: &Scope) -> Result<Option<Duration>> {
    let Some(seconds) = scope.spec.active_deadline_seconds else { return Ok(None) };
    match u64::try_from(seconds) {
        Ok(seconds) if seconds > 0 => Ok(Some(Duration::from_secs(seconds))),
        _ => Err(scope.error("spec.activeDeadlineSeconds", format!("{seconds} is not greater than 0"))),
    }
}

/// `lifecycle.stopSignal`, else the image's, else SIGTERM.
fn stop_signal(subject: &Subject) -> Result<i32> {
    if let Some(name) = subject.container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.stop_signal.as_deref()) {
        let unknown = || subject.error("lifecycle.stopSignal", format!("{name:?} is not a signal"));
        return signal::number(name).ok_or_else(unknown);
    }
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

/// What is different where the YAML asks for the token that a cluster mounts.
fn unmounted_token(scope: &Scope) -> Option<Verdict> {
    let how = "no token is mounted at /var/run/secrets/kubernetes.io/serviceaccount, for there is no API server; a projected volume \
               may hold a local one";
    let asked = scope.spec.automount_service_account_token == Some(true);
    asked.then(|| scope.verdict("spec.automountServiceAccountToken", how))
}

/// What a cluster would add to the variables.
fn service_links(scope: &Scope) -> Option<Verdict> {
    let how = "a cluster tells of the Services of the namespace and of its API server in variables; here there are none to tell of";
    (scope.spec.enable_service_links == Some(true)).then(|| scope.verdict("spec.enableServiceLinks", how))
}

/// What is different from a cluster where the containers see each other's processes.
fn shared_processes(scope: &Scope) -> Option<Verdict> {
    let kill = if scope.ids.is_single() {
        "with one id all of them belong to one user and appear as the looking container's own, so any may signal any"
    } else {
        "a container may signal those of its own user only, as root, too"
    };
    let how = format!(
        "the containers see each other's processes, and podling's own stands in the place of the pause container; since each \
         container has a user namespace of its own, what is behind /proc/PID/root, cwd, fd and environ of the others stays \
         closed, and {kill}"
    );
    (scope.processes() == Processes::Shared).then(|| scope.verdict("spec.shareProcessNamespace", how))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use crate::plan::fixture::Fixture;
    use crate::plan::{Processes, RestartPolicy, StdinPlan, Terminal};

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

    // shows: spec.terminationGracePeriodSeconds
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
    fn the_yaml_s_stop_signal_goes_before_the_images() {
        let signal = |name: &str| {
            let fixture = Fixture::container(json!({ "lifecycle": { "stopSignal": name } }));
            fixture.config(json!({ "Cmd": ["sh"], "StopSignal": "SIGINT" })).plan().map(|p| p.containers[0].stop_signal)
        };
        assert_eq!(signal("SIGUSR1"), Ok(10));
        assert_eq!(signal("SIGRTMAX-1"), Ok(63));
        assert!(signal("SIGNOPE").unwrap_err().to_string().contains("spec.containers[0].lifecycle.stopSignal"));
    }

    #[test]
    fn what_a_field_of_the_pods_means_for_several_containers_is_told_once() {
        let mut fixture = with("securityContext", json!({ "seccompProfile": { "type": "Unconfined" } })).single_id();
        let mut second = fixture.pod["spec"]["containers"][0].clone();
        second["name"] = json!("second");
        fixture.pod["spec"]["containers"].as_array_mut().unwrap().push(second);
        let report = fixture.plan().unwrap().report;
        assert_eq!(report.iter().filter(|v| v.path == "spec.securityContext.seccompProfile").count(), 1, "{report:?}");
    }

    #[test]
    fn a_deadline() {
        let deadline = |seconds: i64| with("activeDeadlineSeconds", json!(seconds)).plan().map(|p| p.active_deadline);
        assert_eq!(Fixture::container(json!({})).plan().unwrap().active_deadline, None);
        assert_eq!(deadline(7), Ok(Some(Duration::from_secs(7))));
        assert!(deadline(0).is_err() && deadline(-1).is_err());
    }

    #[test]
    fn shared_processes_join_the_pods_pid_namespace_and_say_what_differs() {
        let namespace = |fixture: &Fixture| fixture.spec()["linux"]["namespaces"][0].clone();
        assert_eq!(namespace(&Fixture::container(json!({}))), json!({ "type": "pid" }));
        let shared = with("shareProcessNamespace", json!(true));
        assert_eq!(namespace(&shared), json!({ "type": "pid", "path": "/run/pod/ns/pid" }));
        let plan = shared.plan().unwrap();
        assert_eq!(plan.processes, Processes::Shared);
        assert!(
            plan.report.iter().any(|v| v.path == "spec.shareProcessNamespace" && v.how.contains("its own user only"))
        );
        let single = shared.single_id().plan().unwrap();
        assert!(single.report.iter().any(|v| v.how.contains("any may signal any")));
    }

    #[test]
    fn standard_input_and_a_terminal() {
        let plan = |fields: Value| {
            let plan = Fixture::container(fields).plan().unwrap().containers.remove(0);
            let process = plan.spec.process().as_ref().unwrap();
            let term = process.env().iter().flatten().find(|v| v.starts_with("TERM=")).cloned();
            (plan.stdin, plan.terminal, process.terminal(), term)
        };
        let xterm = Some("TERM=xterm".to_owned());
        for (fields, expected) in [
            (json!({}), (StdinPlan::Empty, Terminal::None, None, None)),
            (json!({ "stdin": true }), (StdinPlan::Open, Terminal::None, None, None)),
            (json!({ "stdin": true, "stdinOnce": true }), (StdinPlan::Once, Terminal::None, None, None)),
            (json!({ "stdinOnce": true }), (StdinPlan::Empty, Terminal::None, None, None)),
            (json!({ "stdin": true, "tty": true }), (StdinPlan::Open, Terminal::Own, Some(true), xterm)),
            (
                json!({ "tty": true, "env": [{ "name": "TERM", "value": "dumb" }] }),
                (StdinPlan::Empty, Terminal::Own, Some(true), Some("TERM=dumb".to_owned())),
            ),
        ] {
            assert_eq!(plan(fields.clone()), expected, "{fields}");
        }
    }

    #[test]
    fn an_empty_pod_is_an_error_and_not_a_panic() {
        let mut fixture = Fixture::container(json!({}));
        fixture.pod = json!({ "metadata": { "name": "pod" } });
        assert!(fixture.refusal().contains("spec: is missing"));
    }
}
