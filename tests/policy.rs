//! Promise: a policy refuses what the Pod Security Standards refuse, each field with its path and what allows it.

mod support;

use std::path::{Path, PathBuf};

use support::{Place, shell_with};

const PTRACE: &str = "securityContext: {capabilities: {add: [SYS_PTRACE]}}";

#[test]
fn what_leads_out_is_refused_unless_it_is_allowed_by_name() {
    let place = Place::with(&["busybox"]);
    let yaml = shell_with("busybox", "echo ran", PTRACE, "");
    place.run(&yaml).expect_refusal(&[
        "spec.containers[0].securityContext.capabilities.add[0]: the baseline policy forbids to add the capability \"SYS_PTRACE\"",
        "--allow capabilities lets this pod do it",
    ]);
    for options in [&["--allow", "capabilities"][..], &["--policy", "privileged"], &["--allow", "hostPID,Capabilities"]]
    {
        place.run_with(&yaml, options).expect_success().expect_line("c | ran");
    }
    place.assert_nothing_left();
}

#[test]
fn the_strictest_level_runs_what_keeps_to_it() {
    let place = Place::with(&["busybox"]);
    let restricted = ["--policy", "restricted"];
    place.run_with(&shell_with("busybox", "echo ran", "", ""), &restricted).expect_refusal(&[
        "spec.containers[0].securityContext.allowPrivilegeEscalation: the restricted policy requires",
        "spec.containers[0].securityContext.capabilities.drop: the restricted policy requires",
        "spec.containers[0].securityContext.runAsNonRoot: the restricted policy requires",
        "spec.containers[0].securityContext.seccompProfile: the restricted policy requires",
    ]);
    let container = "securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}";
    let spec = "securityContext: {runAsNonRoot: true, runAsUser: 1000, seccompProfile: {type: RuntimeDefault}}";
    let yaml = shell_with("busybox", "id -u", container, spec);
    place.run_with(&yaml, &restricted).expect_success().expect_line("c | 1000");
    place.assert_nothing_left();
}

#[test]
fn an_input_that_is_wrong_is_judged_all_the_same() {
    let place = Place::with(&[]);
    place.write(&shell_with("busybox", "true", PTRACE, "priorityClassName: High"));
    let output = place.podling(&["check", "--quiet", "pod.yaml"]);
    output.expect_code(1);
    for part in
        ["spec.priorityClassName: \"High\" is not a DNS name", "the baseline policy forbids to add the capability"]
    {
        assert!(output.stdout.contains(part), "{output}");
    }
}

/// `podling check --policy` agrees with the verdict on each pod of the newest version in `PODLING_PSS_FIXTURES`, a tree of
/// kubernetes/pod-security-admission.
#[test]
#[ignore = "needs PODLING_PSS_FIXTURES=DIR, a tree of kubernetes/pod-security-admission"]
fn check_agrees_with_the_standards_own_fixtures() {
    let tree = std::env::var_os("PODLING_PSS_FIXTURES").map(PathBuf::from);
    let tree = tree.expect("PODLING_PSS_FIXTURES is to name a tree of kubernetes/pod-security-admission");
    let place = Place::with(&[]);
    let mut judged = 0;
    let mut wrong = Vec::new();
    for level in ["baseline", "restricted"] {
        let minor = |path: &PathBuf| path.file_name()?.to_str()?.strip_prefix("v1.")?.parse::<u32>().ok();
        let newest = files(&tree.join("test/testdata").join(level)).into_iter().max_by_key(minor).unwrap();
        for (verdict, is_good) in [("pass", true), ("fail", false)] {
            for file in files(&newest.join(verdict)) {
                let output = place.podling(&["check", "--policy", level, "-o", "json", file.to_str().unwrap()]);
                let report: serde_json::Value =
                    serde_json::from_str(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output}"));
                let found: Vec<&serde_json::Value> =
                    report["problems"].as_array().unwrap().iter().filter(|problem| is_policys(problem)).collect();
                judged += 1;
                if found.is_empty() != is_good || found.iter().any(|problem| problem["path"] == "") {
                    wrong.push(format!("{}: {found:?}", file.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(judged > 100, "only {judged} pods below {}", tree.display());
    eprintln!("podling check agrees about {judged} pods");
}

fn is_policys(problem: &serde_json::Value) -> bool {
    let why = problem["why"].as_str().unwrap();
    problem["class"] == "refused" && (why.contains(" policy forbids ") || why.contains(" policy requires "))
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap_or_else(|e| panic!("{}: {e}", directory.display()));
    entries.map(|entry| entry.unwrap().path()).collect()
}
