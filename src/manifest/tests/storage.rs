//! What the user reads about volumes of bytes, claims and mounts: one small input a row, and the whole error.

use super::messages::{Rows, check, pod};

/// What a good input ends with: nothing is wrong.
const GOOD: &[&str] = &["no error"];

#[test]
fn volumes_that_are_good() {
    let rows: Rows<'_> = &[
        ("  volumes: [{name: v, hostPath: {path: /a/..b}}, {name: w, hostPath: {path: ./a, type: ''}}]", GOOD),
        ("  volumes: [{name: v, image: {reference: x, pullPolicy: Never}}, {name: w, emptyDir: {mode: 01777}}]", GOOD),
        ("  volumes: [{name: v, persistentVolumeClaim: {claimName: a.b, readOnly: true}}]", GOOD),
        (
            "    volumeMounts: [{name: v, mountPath: /a, readOnly: true, recursiveReadOnly: Enabled, mountPropagation: None},\n      \
             {name: v, mountPath: /b, subPath: a/..b, bindMountOptions: [noexec, nosuid]}]\n  volumes: [{name: v, emptyDir: {}}]",
            GOOD,
        ),
        (
            "  volumes: [{name: v, ephemeral: {volumeClaimTemplate: {metadata: {labels: {a: b}}, spec: {accessModes: [ReadWriteOnce],\n    \
             resources: {requests: {storage: 1Gi}}}}}}]",
            GOOD,
        ),
    ];
    check(rows, pod);
}

#[test]
fn volumes_that_an_api_server_refuses() {
    let rows: Rows<'_> = &[
        (
            "  volumes: [{name: v, emptyDir: {mode: 02000}}]",
            &["pod.yaml:8: spec.volumes[0].emptyDir.mode: 1024, 02000 in octal, is outside 0 to 01777"],
        ),
        (
            "  volumes: [{name: v, hostPath: {path: a/../b, type: Dir}}, {name: w, hostPath: {type: Fil}}]",
            &[
                "pod.yaml:8: spec.volumes[0].hostPath.path: \"a/../b\" must not contain \"..\"",
                "pod.yaml:8: spec.volumes[0].hostPath.type: expected DirectoryOrCreate, Directory, FileOrCreate, File, Socket, CharDevice or BlockDevice, found \"Dir\"",
                "pod.yaml:8: spec.volumes[1].hostPath.path: required",
                "pod.yaml:8: spec.volumes[1].hostPath.type: expected DirectoryOrCreate, Directory, FileOrCreate, File, Socket, CharDevice or BlockDevice, found \"Fil\"",
                "  did you mean \"File\"?",
            ],
        ),
        (
            "  volumes: [{name: v, image: {pullPolicy: Sometimes}}, {name: w, image: {reference: ' x'}}]",
            &[
                "pod.yaml:8: spec.volumes[0].image.reference: required",
                "pod.yaml:8: spec.volumes[0].image.pullPolicy: expected Always, IfNotPresent or Never, found \"Sometimes\"",
                "pod.yaml:8: spec.volumes[1].image.reference: \" x\" must not begin or end with a space",
            ],
        ),
        (
            "  volumes: [{name: v, persistentVolumeClaim: {claimName: ../x}}, {name: w, persistentVolumeClaim: {claimName: ''}}]",
            &[
                "pod.yaml:8: spec.volumes[0].persistentVolumeClaim.claimName: \"../x\" is not a DNS name: lower-case letters, digits, \"-\" and \".\", a letter or digit at both ends and beside each \".\", at most 253 characters",
                "pod.yaml:8: spec.volumes[1].persistentVolumeClaim.claimName: required",
            ],
        ),
        (
            "  volumes: [{name: v, ephemeral: {}}, {name: w, ephemeral: {volumeClaimTemplate: {metadata: {name: x}, spec: {}}}}]",
            &[
                "pod.yaml:8: spec.volumes[0].ephemeral.volumeClaimTemplate: required",
                "pod.yaml:8: spec.volumes[1].ephemeral.volumeClaimTemplate.metadata.name: a template has only labels and annotations",
                "pod.yaml:8: spec.volumes[1].ephemeral.volumeClaimTemplate.spec.accessModes: required: at least one of ReadWriteOnce, ReadOnlyMany, ReadWriteMany and ReadWriteOncePod",
                "pod.yaml:8: spec.volumes[1].ephemeral.volumeClaimTemplate.spec.resources.requests.storage: required",
            ],
        ),
        (
            "  volumes: [{name: v, ephemeral: {volumeClaimTemplate: {metadata: {labels: {'a b': c}, annotations: {-x: z}}, spec: {accessModes: [ReadWriteOnce],\n    \
             resources: {requests: {storage: 1Gi}}}}}}, {name: w, persistentVolumeClaim: {claimName: p-v}}, {name: x, persistentVolumeClaim: {claimName: p-w}}]",
            &[
                "pod.yaml:8: spec.volumes[0].ephemeral.volumeClaimTemplate.metadata.labels[a b]: \"a b\" cannot be the name of a label or annotation: letters, digits, \"-\", \"_\" and \".\", a letter or digit at both ends, at most 63 characters, with a DNS name and \"/\" before it if need be",
                "pod.yaml:8: spec.volumes[0].ephemeral.volumeClaimTemplate.metadata.annotations.-x: \"-x\" cannot be the name of a label or annotation: letters, digits, \"-\", \"_\" and \".\", a letter or digit at both ends, at most 63 characters, with a DNS name and \"/\" before it if need be",
                "pod.yaml:9: spec.volumes[1].persistentVolumeClaim.claimName: \"p-v\" is the claim that the ephemeral volume \"v\" makes",
            ],
        ),
    ];
    check(rows, pod);
}

#[test]
fn mounts_that_an_api_server_refuses() {
    let rows: Rows<'_> = &[
        (
            "    volumeMounts: [{name: v, mountPath: /a, subPath: /x}, {name: v, mountPath: /b, subPath: a/../b},\n      \
             {name: v, mountPath: /c, subPath: a, subPathExpr: ../b}]\n  volumes: [{name: v, emptyDir: {}}]",
            &[
                "pod.yaml:8: spec.containers[0].volumeMounts[0].subPath: \"/x\" must be a relative path",
                "pod.yaml:8: spec.containers[0].volumeMounts[1].subPath: \"a/../b\" must not contain \"..\"",
                "pod.yaml:9: spec.containers[0].volumeMounts[2].subPathExpr: subPathExpr and subPath are mutually exclusive",
                "pod.yaml:9: spec.containers[0].volumeMounts[2].subPathExpr: \"../b\" must not contain \"..\"",
            ],
        ),
        (
            "    volumeMounts: [{name: v, mountPath: /a, recursiveReadOnly: Enabled, mountPropagation: HostToContainer},\n      \
             {name: v, mountPath: /b, recursiveReadOnly: enabled}]\n  volumes: [{name: v, emptyDir: {}}]",
            &[
                "pod.yaml:8: spec.containers[0].volumeMounts[0].recursiveReadOnly: may only be specified when readOnly is true",
                "pod.yaml:8: spec.containers[0].volumeMounts[0].recursiveReadOnly: may only be specified when mountPropagation is None or not specified",
                "pod.yaml:9: spec.containers[0].volumeMounts[1].recursiveReadOnly: expected Disabled, IfPossible or Enabled, found \"enabled\"",
                "  did you mean \"Enabled\"?",
            ],
        ),
        (
            "    volumeMounts: [{name: v, mountPath: /a, bindMountOptions: [noexec, ro, noexec]}]\n  volumes: [{name: v, image: {reference: x}}]",
            &[
                "pod.yaml:8: spec.containers[0].volumeMounts[0].bindMountOptions[1]: expected noexec, nodev or nosuid, found \"ro\"",
                "pod.yaml:8: spec.containers[0].volumeMounts[0].bindMountOptions[2]: \"noexec\" is written twice",
                "pod.yaml:8: spec.containers[0].volumeMounts[0].bindMountOptions: is not supported with image volumes",
            ],
        ),
    ];
    check(rows, pod);
}

/// A claim with this spec, after a good Pod.
fn claim(spec: &str) -> String {
    let claim = format!("---\napiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {{name: c}}\nspec: {spec}");
    format!("{}{claim}\n", pod(""))
}

#[test]
fn claims() {
    let rows: Rows<'_> = &[
        ("{accessModes: [ReadWriteOncePod], resources: {requests: {storage: 1}}, storageClassName: ''}", GOOD),
        (
            "{}",
            &[
                "pod.yaml:12: spec.accessModes: required: at least one of ReadWriteOnce, ReadOnlyMany, ReadWriteMany and ReadWriteOncePod",
                "pod.yaml:12: spec.resources.requests.storage: required",
            ],
        ),
        (
            "{accessModes: [ReadWriteOncePod, ReadWriteMay], resources: {requests: {storage: 0}, limits: {storage: 1x}}, storageClassName: A}",
            &[
                "pod.yaml:12: spec.accessModes[1]: expected ReadWriteOnce, ReadOnlyMany, ReadWriteMany or ReadWriteOncePod, found \"ReadWriteMay\"",
                "  did you mean \"ReadWriteMany\"?",
                "pod.yaml:12: spec.accessModes: ReadWriteOncePod must not be beside other access modes",
                "pod.yaml:12: spec.resources.requests.storage: \"0\" must be greater than zero",
                "pod.yaml:12: spec.resources.limits.storage: \"1x\" is not a quantity: a number, then m, k, M, G, T, P, E, or Ki, Mi, Gi, Ti, Pi, Ei, or an exponent such as e3",
                "pod.yaml:12: spec.storageClassName: \"A\" is not a DNS name: lower-case letters, digits, \"-\" and \".\", a letter or digit at both ends and beside each \".\", at most 253 characters",
            ],
        ),
        (
            "{accessModes: [ReadWriteOnce], resources: {requests: {storage: 1}}, volumeMode: Block, volumeName: pv}",
            &[
                "pod.yaml:12: spec.volumeMode: \"Block\": without rights on the host podling has no block device to hand out; a volume is a directory",
                "pod.yaml:12: spec.volumeName: there are no PersistentVolumes on one host to select from; a claim's volume has the claim's name",
            ],
        ),
    ];
    check(rows, claim);
}

/// The values of what podling refuses anyway are an API server's to judge, too.
#[test]
fn claims_that_select() {
    let whole = "accessModes: [ReadWriteOnce], resources: {requests: {storage: 1}}";
    for (field, expected) in [
        ("selector: {matchExpressions: [{key: a, operator: Exists}]}", ""),
        ("volumeAttributesClassName: fast", ""),
        (
            "selector: {matchExpressions: [{key: a, operator: In}]}",
            "invalid spec.selector.matchExpressions[0].values: required where the operator is In",
        ),
        (
            "volumeAttributesClassName: Fast",
            "invalid spec.volumeAttributesClassName: \"Fast\" is not a DNS name: lower-case letters, digits, \"-\" and \".\", a letter or digit at both ends and beside each \".\", at most 253 characters",
        ),
    ] {
        let told = super::rules::problems(&claim(&format!("{{{whole}, {field}}}")));
        let invalid: Vec<&str> = told.iter().map(String::as_str).filter(|line| line.starts_with("invalid")).collect();
        assert_eq!(invalid.join("\n"), expected, "{field}");
        let refused = format!("refused spec.{}: ", field.split(':').next().unwrap());
        assert!(!expected.is_empty() || told.iter().any(|line| line.starts_with(&refused)), "{told:?}");
    }
}
