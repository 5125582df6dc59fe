//! The API server's rules for resources, their limits and requests, and claims of devices.

use super::messages::pod;
use super::rules::{invalid, problems};

#[test]
fn amounts_of_resources() {
    assert_eq!(
        problems(&pod("    resources: {requests: {cpu: 1.5, memory: ' 64Mi ', ephemeral-storage: 1e3}}")),
        [""; 0]
    );
    for (resources, expected) in [
        ("limits: {cpu: 1}, requests: {cpu: 1000m}", &[][..]),
        ("limits: {cpu: 1}, requests: {cpu: 1.0001}", &["requests.cpu: more than its limit, 1"]),
        // What is stored is a whole number of thousandths.
        ("limits: {cpu: 1.00001}, requests: {cpu: 1.0009}", &[]),
        ("limits: {memory: -1}", &["limits.memory: \"-1\" must not be negative"]),
        ("limits: {example.com/gpu: 2}", &[]),
        ("limits: {example.com/gpu: 1.5}", &["limits[example.com/gpu]: \"1.5\" must be a whole number"]),
        (
            "limits: {example.com/gpu: 2}, requests: {example.com/gpu: 1}",
            &["requests[example.com/gpu]: must be its limit, 2: nobody else gets what is not used"],
        ),
        (
            "requests: {example.com/gpu: 1}",
            &["requests[example.com/gpu]: needs a limit: nobody else gets what is not used"],
        ),
        (
            "limits: {gpu: 1}",
            &[
                "limits.gpu: \"gpu\" is not a resource of a container: cpu, memory, ephemeral-storage, hugepages-SIZE, or a name with a domain such as example.com/gpu",
            ],
        ),
        ("limits: {hugepages-2Mi: 4Mi, cpu: 1}", &[]),
        ("limits: {hugepages-2Mi: 4Mi}", &[": huge pages need cpu or memory beside them"]),
        (
            "limits: {hugepages-2Mi: 3Mi, cpu: 1}",
            &["limits.hugepages-2Mi: \"3Mi\" is not a whole number of pages of \"2Mi\""],
        ),
        (
            "limits: {hugepages-x: 3Mi, cpu: 1}",
            &["limits.hugepages-x: \"3Mi\" is not a whole number of pages of \"x\""],
        ),
        ("limits: {kubernetes.io/mine: 1}", &[]),
        (
            "limits: {requests.example.com/a: 1}",
            &[
                "limits[requests.example.com/a]: \"requests.example.com/a\" is not a resource of a container: cpu, memory, ephemeral-storage, hugepages-SIZE, or a name with a domain such as example.com/gpu",
            ],
        ),
    ] {
        let at = |line: &&str| {
            let dot = if line.starts_with(':') { "" } else { "." };
            format!("invalid spec.containers[0].resources{dot}{line}")
        };
        let expected: Vec<String> = expected.iter().map(at).collect();
        assert_eq!(invalid(&format!("    resources: {{{resources}}}")), expected, "{resources}");
    }
}

#[test]
fn resources_of_the_pod_and_claims() {
    for (fields, expected) in [
        ("    resources: {requests: {cpu: 1}}\n  resources: {requests: {cpu: 1}}", &[][..]),
        (
            "    resources: {requests: {cpu: 2}}\n  resources: {requests: {cpu: 1}}",
            &["spec.resources.requests.cpu: less than the containers request together"],
        ),
        // A limit without a request is the request, and where the pod requests nothing its limit has to do.
        (
            "    resources: {limits: {cpu: 1}}\n  - {name: d, image: i, resources: {requests: {cpu: 1}}}\n  resources: {limits: {cpu: 1}}",
            &["spec.resources.limits.cpu: less than the containers request together"],
        ),
        // Init containers come before the others, and sidecars stay.
        (
            "    resources: {requests: {cpu: 1}}\n  initContainers: [{name: x, image: i, resources: {requests: {cpu: 2}}}]\n  resources: {requests: {cpu: 2}}",
            &[],
        ),
        (
            "    resources: {requests: {cpu: 1}}\n  initContainers: [{name: x, image: i, restartPolicy: Always, resources: {requests: {cpu: 2}}}]\n  resources: {requests: {cpu: 2}}",
            &["spec.resources.requests.cpu: less than the containers request together"],
        ),
        (
            "    resources: {limits: {memory: 2Mi}}\n  resources: {limits: {memory: 1Mi}, requests: {memory: 2Mi}}",
            &[
                "spec.containers[0].resources.limits.memory: more than the limit of the pod at pod.yaml:9",
                "spec.resources.requests.memory: more than its limit, 1Mi",
            ],
        ),
        (
            "  resources: {requests: {ephemeral-storage: 1}, claims: [{name: a}]}",
            &[
                "spec.resources.requests.ephemeral-storage: \"ephemeral-storage\" is not a resource of a pod: cpu, memory, or hugepages-SIZE",
                "spec.resources.claims: only containers have claims",
            ],
        ),
        (
            "  overhead: {cpu: -1, gpu: 1}",
            &[
                "spec.overhead.cpu: \"-1\" must not be negative",
                "spec.overhead.gpu: \"gpu\" is not a resource of a container: cpu, memory, ephemeral-storage, hugepages-SIZE, or a name with a domain such as example.com/gpu",
            ],
        ),
        (
            "    resources: {claims: [{name: a}, {name: b, request: r}, {name: b, request: s}]}\n  resourceClaims: [{name: a, resourceClaimName: x}, {name: b, resourceClaimTemplateName: t}]",
            &[],
        ),
        (
            "    resources: {claims: [{name: gpu, request: r}, {name: gpu}, {name: gpus}]}\n  resourceClaims: [{name: gpu}, {name: gpu, resourceClaimName: X, resourceClaimTemplateName: t}]",
            &[
                "spec.containers[0].resources.claims[1]: the claim \"gpu\" is written twice",
                "spec.containers[0].resources.claims[2].name: spec.resourceClaims has no claim \"gpus\"",
                "spec.resourceClaims[0]: a claim has one of resourceClaimName and resourceClaimTemplateName, found none",
                "spec.resourceClaims[1].name: the claim \"gpu\" is written twice",
                "spec.resourceClaims[1]: a claim has one of resourceClaimName and resourceClaimTemplateName, found both",
                "spec.resourceClaims[1].resourceClaimName: \"X\" is not a DNS name: lower-case letters, digits, \"-\" and \".\", a letter or digit at both ends and beside each \".\", at most 253 characters",
            ],
        ),
        (
            "    resizePolicy: [{resourceName: cpu, restartPolicy: NotRequired}, {resourceName: memory, restartPolicy: RestartContainer}]",
            &[],
        ),
        (
            "    resizePolicy: [{resourceName: cpu, restartPolicy: Never}, {resourceName: cpu, restartPolicy: NotRequired}, {resourceName: disk, restartPolicy: NotRequired}]",
            &[
                "spec.containers[0].resizePolicy[0].restartPolicy: expected NotRequired or RestartContainer, found \"Never\"",
                "spec.containers[0].resizePolicy[1].resourceName: \"cpu\" is written twice",
                "spec.containers[0].resizePolicy[2].resourceName: expected cpu or memory, found \"disk\"",
            ],
        ),
        (
            "    resizePolicy: [{resourceName: cpu, restartPolicy: RestartContainer}]\n  restartPolicy: Never",
            &[
                "spec.containers[0].resizePolicy[0].restartPolicy: must be NotRequired where the pod's restartPolicy is Never",
            ],
        ),
        (
            "  initContainers: [{name: x, image: i, resizePolicy: [{resourceName: cpu, restartPolicy: RestartContainer}]}]",
            &[
                "spec.initContainers[0].resizePolicy[0].restartPolicy: must be NotRequired in an init container, unless it is a sidecar",
            ],
        ),
    ] {
        let mut expected: Vec<String> = expected.iter().map(|line| format!("invalid {line}")).collect();
        let mut found = invalid(fields);
        expected.sort();
        found.sort();
        assert_eq!(found, expected, "{fields}");
    }
}
