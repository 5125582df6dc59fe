//! Jobs: what the API server would refuse, and where it is said to be.

use super::messages::error;
use crate::manifest::{Input, examine, read};

const POD: &str = "    spec:\n      restartPolicy: Never\n      containers:\n      - {name: c, image: i}\n";

/// A Job called `j` with more fields of its spec, each on a line.
fn job(fields: &str, template: &str) -> String {
    let fields: String = fields.lines().map(|line| format!("  {line}\n")).collect();
    format!("apiVersion: batch/v1\nkind: Job\nmetadata: {{name: j}}\nspec:\n{fields}  template:\n{template}")
}

#[test]
fn a_job_and_its_template() {
    let text = job("completions: 3", &format!("    metadata: {{labels: {{app: x}}, name: ignored}}\n{POD}"));
    let bundle = read(&[Input { name: "x".into(), bytes: text.into_bytes(), path: None }]).unwrap();
    let job = &bundle.jobs[0];
    assert_eq!(job.said.object.spec.as_ref().unwrap().completions, Some(3));
    let metadata = &job.template.object.metadata;
    assert_eq!(metadata.labels.as_ref().unwrap()["app"], "x");
    assert_eq!(metadata.name, None);
    assert_eq!(job.template.source.at("spec.containers[0].image"), "x:11");
    let error = job.template.source.error("spec.containers[0].image", "no").to_string();
    assert_eq!(error, "x:11: spec.template.spec.containers[0].image: no");
}

#[test]
fn a_templates_claims_are_named_when_its_pods_are() {
    let spec = "{accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}";
    let volume = format!("      volumes: [{{name: v, ephemeral: {{volumeClaimTemplate: {{spec: {spec}}}}}}}]\n");
    let text = job("completions: 1", &format!("{POD}{volume}"));
    read(&[Input { name: "x".into(), bytes: text.into_bytes(), path: None }]).unwrap();
}

#[test]
fn what_an_api_server_would_refuse() {
    let indexed = |more: &str| format!("completionMode: Indexed\ncompletions: 5\n{more}");
    let rule = |rule: &str| format!("podFailurePolicy:\n  rules:\n  - {rule}");
    let codes = |codes: &str| rule(&format!("{{action: Count, onExitCodes: {codes}}}"));
    let success = |rule: &str| indexed(&format!("successPolicy: {{rules: [{rule}]}}"));
    let many = "completionMode: Indexed\ncompletions: 100001\nbackoffLimitPerIndex: 1\n";
    let rows: Vec<(String, &[&str])> = vec![
        ("completions: -1".into(), &["5: spec.completions: -1 must not be negative"]),
        ("parallelism: -1".into(), &["5: spec.parallelism: -1 must not be negative"]),
        ("backoffLimit: -1".into(), &["5: spec.backoffLimit: -1 must not be negative"]),
        ("activeDeadlineSeconds: -1".into(), &["5: spec.activeDeadlineSeconds: -1 must not be negative"]),
        ("ttlSecondsAfterFinished: -1".into(), &["5: spec.ttlSecondsAfterFinished: -1 must not be negative"]),
        (
            "completionMode: indexed".into(),
            &["5: spec.completionMode: expected NonIndexed or Indexed, found \"indexed\""],
        ),
        ("completionMode: Indexed".into(), &["spec.completions: required where completionMode is Indexed"]),
        ("backoffLimitPerIndex: 1".into(), &["5: spec.backoffLimitPerIndex: needs completionMode: Indexed"]),
        (
            "maxFailedIndexes: 1".into(),
            &["spec.backoffLimitPerIndex: required beside", "5: spec.maxFailedIndexes: needs completionMode: Indexed"],
        ),
        (
            "successPolicy: {rules: [{succeededCount: 1}]}".into(),
            &["5: spec.successPolicy: needs completionMode: Indexed"],
        ),
        (
            indexed("backoffLimitPerIndex: 1\nmaxFailedIndexes: 6"),
            &["8: spec.maxFailedIndexes: 6 is more than completions"],
        ),
        (indexed("parallelism: 100001"), &["7: spec.parallelism: 100001 is more than 100000"]),
        (many.into(), &["spec.maxFailedIndexes: required with more than 100000 completions"]),
        (format!("{many}maxFailedIndexes: 10001"), &["8: spec.maxFailedIndexes: 10001 is more than 10000 with more"]),
        (format!("{many}maxFailedIndexes: 1\nparallelism: 10001"), &["9: spec.parallelism: 10001 is more than 10000"]),
        ("managedBy: me".into(), &["5: spec.managedBy: \"me\" is no path behind a domain"]),
        (format!("managedBy: example.com/{}", "x".repeat(60)), &["5: spec.managedBy: 72 characters; at most 63"]),
        (
            "podReplacementPolicy: Never".into(),
            &["5: spec.podReplacementPolicy: expected Failed or TerminatingOrFailed"],
        ),
        (
            format!("{}\npodReplacementPolicy: TerminatingOrFailed", codes("{operator: In, values: [1]}")),
            &["8: spec.podReplacementPolicy: expected Failed, found"],
        ),
        (rule("{onExitCodes: {operator: In, values: [1]}}"), &["7: spec.podFailurePolicy.rules[0].action: required"]),
        (
            rule("{action: Fail, onExitCodes: {operator: In, values: [1]}}"),
            &["expected Count, FailIndex, FailJob or Ignore, found \"Fail\""],
        ),
        (
            rule("{action: FailIndex, onExitCodes: {operator: In, values: [1]}}"),
            &["action: FailIndex needs backoffLimitPerIndex"],
        ),
        (rule("{action: Count}"), &["rules[0]: a rule has one of onExitCodes and onPodConditions, found none"]),
        (
            rule("{action: Count, onExitCodes: {operator: In, values: [1]}, onPodConditions: [{type: Ready}]}"),
            &["rules[0]: a rule has one of onExitCodes and onPodConditions, found both"],
        ),
        (codes("{values: [1]}"), &["onExitCodes.operator: required"]),
        (codes("{operator: Is, values: [1]}"), &["operator: expected In or NotIn, found \"Is\""]),
        (codes("{operator: In}"), &["onExitCodes.values: required: at least one exit code"]),
        (codes("{operator: In, values: [0, 1]}"), &["values[0]: a container that ended with 0 has not failed"]),
        (codes("{operator: NotIn, values: [0, 1, 1]}"), &["values[2]: 1 is there already"]),
        (codes("{operator: In, values: [2, 1]}"), &["values: the codes must be in their order", "write [1, 2]"]),
        (codes(&format!("{{operator: In, values: [{}]}}", "1, ".repeat(256))), &["values: 256 items; at most 255"]),
        (
            codes("{operator: In, values: [1], containerName: d}"),
            &["containerName: the template has no container \"d\"", "did you mean \"c\"?"],
        ),
        (
            rule("{action: Count, onPodConditions: [{type: '', status: Maybe}]}"),
            &["onPodConditions[0].type", "onPodConditions[0].status: expected False, True or Unknown"],
        ),
        (
            format!(
                "podFailurePolicy:\n  rules: [{}]",
                "{action: Count, onPodConditions: [{type: Ready}]}, ".repeat(21)
            ),
            &["spec.podFailurePolicy.rules: 21 items; at most 20"],
        ),
        (indexed("successPolicy: {rules: []}"), &["spec.successPolicy.rules: required: at least one rule"]),
        (success("{}"), &["rules[0]: one of succeededCount and succeededIndexes is required"]),
        (success("{succeededCount: 6}"), &["succeededCount: 6 is more than completions, 5"]),
        (success("{succeededCount: -1}"), &["succeededCount: -1 must not be negative"]),
        (success("{succeededIndexes: '0,2-5'}"), &["succeededIndexes: the index 5 is not below completions, 5"]),
        (
            success("{succeededIndexes: '0,2-3', succeededCount: 4}"),
            &["succeededCount: 4 is more than succeededIndexes lists, 3"],
        ),
        ("manualSelector: true".into(), &["spec.selector: required beside manualSelector: true"]),
        (
            "manualSelector: true\nselector: {matchLabels: {a: b}}".into(),
            &["spec.template.metadata.labels: they do not fit spec.selector"],
        ),
        (
            "selector: {matchLabels: {a: b}}".into(),
            &["5: spec.selector: a Job makes its selector itself", "manualSelector: true"],
        ),
        (
            "selector: {matchExpressions: [{key: a, operator: In}, {key: b, operator: Exists, values: [x]}]}".into(),
            &[
                "matchExpressions[0].values: required where the operator is In",
                "matchExpressions[1].values: must not be written where the operator is Exists",
            ],
        ),
        (
            "wrong: 1\nactiveDeadlineSecond: 1".into(),
            &["5: spec.wrong: unknown field", "did you mean \"activeDeadlineSeconds\"?"],
        ),
        ("restartPolicy: Never".into(), &["5: spec.restartPolicy: unknown field", "belongs to spec.template.spec"]),
        (
            "scheduling: {schedulingPolicy: {basic: {}}}".into(),
            &["5: spec.scheduling: it is for a cluster's scheduler"],
        ),
        (
            "managedBy: example.com/mine".into(),
            &["5: spec.managedBy: \"example.com/mine\": podling runs a Job as the Job controller does"],
        ),
    ];
    for (fields, words) in rows {
        let examined = examine(&[Input { name: "x".into(), bytes: job(&fields, POD).into_bytes(), path: None }]);
        let lines = examined
            .problems
            .into_iter()
            .map(|problem| format!("{problem}\n{}\n", problem.mend.as_deref().unwrap_or_default()));
        let why: String = lines.collect();
        assert!(words.iter().all(|word| why.contains(word)), "{fields}\n{why}");
    }
}

#[test]
fn what_an_api_server_would_refuse_of_a_template() {
    let with = |policy: &str| POD.replace("restartPolicy: Never", policy);
    let rows = [
        (
            "",
            with("hostname: h"),
            "spec.template.spec.restartPolicy: a Job's pods need restartPolicy: Never or OnFailure",
        ),
        ("", with("restartPolicy: Always"), "7: spec.template.spec.restartPolicy: a Job's pods need"),
        (
            "",
            with("restartPolicy: Sometimes"),
            "7: spec.template.spec.restartPolicy: expected Always, OnFailure or Never",
        ),
        (
            "podFailurePolicy: {rules: [{action: Count, onPodConditions: [{type: Ready}]}]}",
            with("restartPolicy: OnFailure"),
            "8: spec.template.spec.restartPolicy: podFailurePolicy needs restartPolicy: Never",
        ),
        ("", POD.replace("image: i", "imag: i"), "9: spec.template.spec.containers[0].imag: unknown field"),
        ("", POD.replace("name: c", "name: C"), "9: spec.template.spec.containers[0].name"),
        (
            "",
            POD.replace("image: i", "image: i, envFrom: [{configMapRef: {name: m}}]"),
            "9: spec.template.spec.containers[0].envFrom[0].configMapRef.name: the input has no ConfigMap \"m\"",
        ),
        (
            "",
            format!("    metadata: {{labels: {{job-name: other}}}}\n{POD}"),
            "6: spec.template.metadata.labels.job-name: the Job gives",
        ),
        ("", format!("    metadata: {{labels: {{a: '-'}}}}\n{POD}"), "6: spec.template.metadata.labels.a"),
        ("", "    metadata: {}\n".to_owned(), "spec.template.spec: required"),
    ];
    for (fields, template, words) in rows {
        let why = error(&job(fields, &template));
        assert!(why.contains(words), "{fields} {template}\n{why}");
    }
}

#[test]
fn names_that_their_pods_could_not_have() {
    let named = |name: &str, fields: &str| error(&job(fields, POD).replace("name: j", &format!("name: {name}")));
    let long = "a".repeat(62);
    assert!(named(&format!("{long}aa"), "").contains("metadata.name: 64 characters; the label job-name"));
    assert_eq!(named(&long, ""), "no error");
    assert!(named(&long, "completionMode: Indexed\ncompletions: 1").contains("the pod of the last index"));
    assert!(named("a.b", "completionMode: Indexed\ncompletions: 1").contains("\"a.b-0\", which is no DNS label"));
    assert_eq!(named("a.b", ""), "no error");
}

#[test]
fn what_kubectl_exports_is_taken() {
    let labels = "{batch.kubernetes.io/controller-uid: u-1, controller-uid: u-1, batch.kubernetes.io/job-name: j, job-name: j, a: b}";
    let fields =
        "suspend: false\nmanualSelector: false\nselector: {matchLabels: {batch.kubernetes.io/controller-uid: u-1}}";
    let text = job(fields, &format!("    metadata: {{creationTimestamp: null, labels: {labels}}}\n{POD}"));
    let text = text.replace("{name: j}", "{name: j, uid: u-1, resourceVersion: '7'}") + "status: {succeeded: 1}\n";
    assert_eq!(error(&text), "no error");
    assert!(error(&text.replace("uid: u-1, resourceVersion", "uid: u-2, resourceVersion")).contains("spec.selector"));
}

#[test]
fn each_field_of_a_template_has_an_answer() {
    let text = job("ttlSecondsAfterFinished: 1", POD);
    let examined = examine(&[Input { name: "x".into(), bytes: text.into_bytes(), path: None }]);
    let paths: Vec<&str> = examined.objects[0].answers.iter().map(|answer| answer.path.as_str()).collect();
    for path in
        ["spec.ttlSecondsAfterFinished", "spec.template.spec.restartPolicy", "spec.template.spec.containers[0].image"]
    {
        assert!(paths.contains(&path), "{paths:?}");
    }
}
