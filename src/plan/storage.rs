//! Volumes of bytes rather than of objects: `emptyDir`, `image`, `persistentVolumeClaim`, `ephemeral`.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    EmptyDirVolumeSource, ImageVolumeSource, PersistentVolumeClaimSpec, PersistentVolumeClaimVolumeSource,
};

use super::scope::{Scope, plain_name};
use super::{ClaimPlan, Sharing, Verdict, VolumePlan, VolumeSource, groups};
use crate::error::Result;
use crate::image::Image;
use crate::manifest::Quantity;

/// What every directory is that podling makes for a volume: anybody in the pod may write there, as in a cluster.
const MODE: u32 = 0o777;

/// A directory that is empty at first.
pub(super) fn empty_dir(
    scope: &Scope,
    at: &str,
    said: &EmptyDirVolumeSource,
    plan: VolumePlan,
    report: &mut Vec<Verdict>,
) -> Result<VolumePlan> {
    let size_limit = match &said.size_limit {
        Some(quantity) => {
            let size = Quantity::parse(&quantity.0).map_err(|why| scope.error(&format!("{at}.sizeLimit"), why))?;
            Some(size.units())
        }
        None => None,
    };
    // A limit of zero is no limit, as with the kubelet.
    let size_limit = size_limit.filter(|bytes| *bytes > 0);
    match said.medium.as_deref() {
        Some("Memory") => {}
        None | Some("") => {
            let limit = match size_limit {
                Some(_) => "; beyond its sizeLimit nothing can be written, where a cluster would evict the pod",
                None => "",
            };
            let how = format!("is kept in memory; a cluster would keep it on the node's disk{limit}");
            report.push(scope.verdict(at, how));
        }
        Some(other) => {
            return Err(scope.error(&format!("{at}.medium"), format!("{other:?} is not honoured, only \"Memory\"")));
        }
    }
    let mode = match said.mode {
        None => MODE,
        Some(mode) => u32::try_from(mode)
            .ok()
            .filter(|mode| *mode <= 0o1777)
            .ok_or_else(|| scope.error(&format!("{at}.mode"), format!("{mode} is not between 0 and 01777 (1023)")))?,
    };
    let source = VolumeSource::Memory { size_limit };
    Ok(VolumePlan { source, mode, ..plan })
}

/// The file system of an image.
pub(super) fn image(
    scope: &Scope,
    at: &str,
    said: &ImageVolumeSource,
    images: &BTreeMap<String, Image>,
) -> Result<VolumeSource> {
    let reference = said.reference.as_deref().unwrap_or_default();
    let Some(image) = images.get(reference) else {
        return Err(scope.error(&format!("{at}.reference"), format!("image {reference:?} is not in the store")));
    };
    Ok(VolumeSource::Image { digest: image.digest.clone(), layers: image.layers.clone() })
}

/// A named local volume: that of a claim of the input, or one that is there already.
pub(super) fn claim(scope: &Scope, at: &str, said: &PersistentVolumeClaimVolumeSource) -> Result<VolumeSource> {
    // It becomes the name of a directory.
    let name = plain_name(scope, &format!("{at}.claimName"), &said.claim_name)?;
    let key = scope.key(name);
    let of_input = scope.bundle.claims.get(&key).map(|said| said.object.spec.as_ref().map(sharing).unwrap_or_default());
    let Some(sharing) = of_input.or_else(|| scope.paths.volumes.known.get(&key).copied()) else {
        let why = format!(
            "there is no PersistentVolumeClaim {:?} in the input, and no local volume of that name in the namespace {:?}",
            key.name, key.namespace
        );
        let mend = format!(
            "add the PersistentVolumeClaim to the input; or make the volume with: podling volume import -n {} {} FILE.tar",
            key.namespace, key.name
        );
        return Err(scope.error(&format!("{at}.claimName"), why).mend(mend));
    };
    let path = scope.paths.volumes.dir.join(&key.namespace).join(&key.name).join("data");
    let change = groups::change(scope)?;
    Ok(VolumeSource::Claim(ClaimPlan { namespace: key.namespace, name: key.name, path, sharing, change }))
}

/// Who else may use a volume that is claimed so.
pub fn sharing(spec: &PersistentVolumeClaimSpec) -> Sharing {
    let modes = spec.access_modes.as_deref().unwrap_or_default();
    if modes.iter().any(|mode| mode == "ReadWriteOncePod") { Sharing::Nobody } else { Sharing::Pods }
}

/// A directory that lives as long as the pod.
pub(super) fn ephemeral(scope: &Scope, plan: VolumePlan) -> VolumePlan {
    // A volume's name is a DNS label, so what follows the point cannot be mistaken for a container's directory.
    let directory = scope.paths.state_dir.join(format!("{}.volume", plan.name));
    VolumePlan { source: VolumeSource::PodDirectory(directory), mode: MODE, ..plan }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use serde_json::{Value, json};

    use crate::plan::fixture::Fixture;
    use crate::plan::{Sharing, VolumePlan, VolumeSource};

    fn volume(fixture: &Fixture) -> VolumePlan {
        fixture.plan().unwrap().volumes.pop().unwrap()
    }

    #[test]
    fn empty_directories() {
        let of = |said: Value| volume(&Fixture::with_volume(json!({ "name": "v", "emptyDir": said })));
        let memory = of(json!({ "medium": "Memory", "sizeLimit": "1Mi", "mode": 0o1750 }));
        assert_eq!((memory.mode, memory.files.len()), (0o1750, 0));
        assert_eq!(memory.source, VolumeSource::Memory { size_limit: Some(1 << 20) });
        assert_eq!(memory.path.to_str(), Some("/run/pod/volumes/v"));
        assert_eq!(of(json!({ "sizeLimit": "0" })).source, VolumeSource::Memory { size_limit: None });
        let report =
            Fixture::with_volume(json!({ "name": "v", "emptyDir": { "sizeLimit": "0" } })).plan().unwrap().report;
        assert!(report.iter().all(|v| !v.how.contains("beyond its sizeLimit")), "{report:?}");
        assert_eq!(of(json!({})).mode, 0o777);
        let report =
            Fixture::with_volume(json!({ "name": "v", "emptyDir": { "sizeLimit": "1" } })).plan().unwrap().report;
        assert!(report[0].path == "spec.volumes[0].emptyDir" && report[0].how.contains("evict"), "{report:?}");
        for (said, field) in [
            (json!({ "medium": "HugePages" }), "emptyDir.medium"),
            (json!({ "sizeLimit": "lots" }), "emptyDir.sizeLimit: \"lots\""),
            (json!({ "mode": 0o2000 }), "emptyDir.mode"),
        ] {
            let refusal = Fixture::with_volume(json!({ "name": "v", "emptyDir": said })).refusal();
            assert!(refusal.contains(field), "{refusal}");
        }
    }

    #[test]
    fn the_image_of_an_image_volume() {
        let web = Fixture::with_volume(json!({ "name": "v", "image": { "reference": "web" } }));
        let VolumeSource::Image { digest, layers } = volume(&web).source else { panic!() };
        assert_eq!((digest.as_str(), layers.len()), ("sha256:0123", 2));
        let none = Fixture::with_volume(json!({ "name": "v", "image": { "reference": "none" } })).refusal();
        assert!(none.contains("spec.volumes[0].image.reference: image \"none\" is not in the store"), "{none}");
    }

    #[test]
    fn claims() {
        let said = json!({ "name": "v", "persistentVolumeClaim": { "claimName": "data" } });
        let refusal = Fixture::with_volume(said.clone()).refusal();
        assert!(
            refusal.contains("persistentVolumeClaim.claimName: ") && refusal.contains("podling volume import"),
            "{refusal}"
        );
        let claim = |fixture: &Fixture| match volume(fixture).source {
            VolumeSource::Claim(claim) => (claim.name, claim.namespace, claim.path, claim.sharing),
            other => panic!("{other:?}"),
        };
        let named = |sharing| {
            let path = PathBuf::from("/state/volumes/default/data/data");
            ("data".to_owned(), "default".to_owned(), path, sharing)
        };
        let known = Fixture::with_volume(said.clone()).known_volume("data", Sharing::Nobody);
        assert_eq!(claim(&known), named(Sharing::Nobody));
        // What the input says goes before what was said when the volume was made.
        let both = known.claim(json!({ "metadata": { "name": "data" }, "spec": { "accessModes": ["ReadWriteOnce"] } }));
        assert_eq!(claim(&both), named(Sharing::Pods));
    }

    #[test]
    fn an_ephemeral_volume_is_the_pods() {
        let template = json!({ "volumeClaimTemplate": { "spec": { "accessModes": ["ReadWriteOnce"] } } });
        let plan = volume(&Fixture::with_volume(json!({ "name": "v", "ephemeral": template })));
        assert_eq!(plan.source, VolumeSource::PodDirectory(PathBuf::from("/state/pod/v.volume")));
        assert_eq!(plan.mode, 0o777);
    }
}
