//! The token of a pod's service account, which stands for nothing outside this machine and says so.

use k8s_openapi::api::core::v1::ObjectFieldSelector;
use serde_json::json;

use super::downward;
use super::scope::Scope;

/// Who takes a token that names no audience, in a cluster (kube-apiserver's `--api-audiences`).
const AUDIENCE: &str = "https://kubernetes.default.svc.cluster.local";
/// Who issues it: no URI, so that nobody takes it for one to look keys up at.
const ISSUER: &str = "podling";
const NOTICE: &str = "made by podling on one machine, unsigned: no API server takes it";

/// The claims of a token as a JSON object, but for the times, which are those of the writing (RFC 7519, and Kubernetes' own
/// `kubernetes.io`).
pub(super) fn claims(scope: &Scope, audience: Option<&str>) -> Vec<u8> {
    // These paths are always there.
    let told = |path: &str| {
        let field = ObjectFieldSelector { field_path: path.to_owned(), ..ObjectFieldSelector::default() };
        downward::field(scope, "", &field, &mut Vec::new()).unwrap_or_default()
    };
    let (namespace, account) = (told("metadata.namespace"), told("spec.serviceAccountName"));
    let claims = json!({
        "aud": [audience.filter(|audience| !audience.is_empty()).unwrap_or(AUDIENCE)],
        "iss": ISSUER,
        "notice": NOTICE,
        "sub": format!("system:serviceaccount:{namespace}:{account}"),
        "kubernetes.io": {
            "namespace": namespace,
            "node": { "name": told("spec.nodeName") },
            "pod": { "name": told("metadata.name"), "uid": told("metadata.uid") },
            "serviceaccount": { "name": account },
        },
    });
    claims.to_string().into_bytes()
}
