//! A description's volumes.

use serde_json::Value;

use super::{Fields, Of, array, string, truth};

/// All volumes, below their title.
pub(super) fn all(of: Of, volumes: &[Value]) -> String {
    let mut fields = Fields::default();
    if volumes.is_empty() {
        fields.field(usize::from(of == Of::Template), "Volumes", "<none>");
        return fields.text();
    }
    fields.title(of, "Volumes");
    volumes.iter().for_each(|volume| one(&mut fields, of, volume));
    fields.text()
}

fn one(fields: &mut Fields, of: Of, volume: &Value) {
    fields.name(of, &string(&volume["name"]));
    let or = |value: &Value, default: &str| if value.is_null() { default.to_owned() } else { string(value) };
    if volume["emptyDir"].is_object() {
        let dir = &volume["emptyDir"];
        fields.field(2, "Type", "EmptyDir (a temporary directory that shares a pod's lifetime)");
        fields.field(2, "Medium", string(&dir["medium"]));
        fields.field(2, "SizeLimit", or(&dir["sizeLimit"], "<unset>"));
    } else if volume["configMap"].is_object() {
        let map = &volume["configMap"];
        fields.field(2, "Type", "ConfigMap (a volume populated by a ConfigMap)");
        fields.field(2, "Name", string(&map["name"]));
        fields.field(2, "Optional", truth(&map["optional"]).to_lowercase());
    } else if volume["secret"].is_object() {
        let secret = &volume["secret"];
        fields.field(2, "Type", "Secret (a volume populated by a Secret)");
        fields.field(2, "SecretName", string(&secret["secretName"]));
        fields.field(2, "Optional", truth(&secret["optional"]).to_lowercase());
    } else if volume["downwardAPI"].is_object() {
        fields.field(2, "Type", "DownwardAPI (a volume populated by information about the pod)");
        fields.heading(2, "Items");
        for item in array(&volume["downwardAPI"]["items"]) {
            fields.line(3, format!("{} -> {}", string(&item["fieldRef"]["fieldPath"]), string(&item["path"])));
        }
    } else if volume["projected"].is_object() {
        fields.field(2, "Type", "Projected (a volume that contains injected data from multiple sources)");
        for source in array(&volume["projected"]["sources"]) {
            for (title, field) in [("ConfigMapName", "configMap"), ("SecretName", "secret")] {
                if source[field].is_object() {
                    fields.field(2, title, string(&source[field]["name"]));
                }
            }
            if source["downwardAPI"].is_object() {
                fields.field(2, "DownwardAPI", "true");
            }
        }
    } else if volume["hostPath"].is_object() {
        let host = &volume["hostPath"];
        fields.field(2, "Type", "HostPath (bare host directory volume)");
        fields.field(2, "Path", string(&host["path"]));
        fields.field(2, "HostPathType", string(&host["type"]));
    } else if volume["persistentVolumeClaim"].is_object() {
        let claim = &volume["persistentVolumeClaim"];
        let kind = "PersistentVolumeClaim (a reference to a PersistentVolumeClaim in the same namespace)";
        fields.field(2, "Type", kind);
        fields.field(2, "ClaimName", string(&claim["claimName"]));
        fields.field(2, "ReadOnly", truth(&claim["readOnly"]).to_lowercase());
    } else if volume["image"].is_object() {
        let image = &volume["image"];
        fields.field(2, "Type", "Image (a container image or OCI artifact)");
        fields.field(2, "Reference", string(&image["reference"]));
        fields.field(2, "PullPolicy", string(&image["pullPolicy"]));
    } else if volume["ephemeral"].is_object() {
        let spec = &volume["ephemeral"]["volumeClaimTemplate"]["spec"];
        let kind = "EphemeralVolume (an inline specification for a volume that gets created and deleted with the pod)";
        fields.field(2, "Type", kind);
        fields.field(2, "StorageClass", string(&spec["storageClassName"]));
        fields.field(2, "Requested", string(&spec["resources"]["requests"]["storage"]));
    } else {
        let kinds = volume.as_object().into_iter().flatten().map(|(key, _)| key.as_str());
        fields.field(2, "Type", kinds.filter(|key| *key != "name").collect::<Vec<_>>().join(", "));
    }
}
