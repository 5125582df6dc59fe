//! Digests in the place of seccomp profiles, which are the longest part of a plan and mostly one and the same for all its containers.

use oci_spec::runtime::{LinuxSeccomp, Spec};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The profiles that were seen so far.
#[derive(Default)]
pub(super) struct Profiles(Vec<(LinuxSeccomp, String)>);

impl Profiles {
    /// Takes the profile out of `spec`; what stands for it in [`put`].
    ///
    /// # Errors
    /// It cannot be written as JSON.
    pub fn take(&mut self, spec: &mut Spec) -> serde_json::Result<Option<String>> {
        let Some(linux) = spec.linux_mut() else { return Ok(None) };
        let Some(profile) = linux.seccomp().clone() else { return Ok(None) };
        linux.set_seccomp(None);
        if let Some((_, digest)) = self.0.iter().find(|(known, _)| *known == profile) {
            return Ok(Some(digest.clone()));
        }
        let digest = format!("sha256:{}", hex(&serde_json::to_vec(&profile)?));
        self.0.push((profile, digest.clone()));
        Ok(Some(digest))
    }
}

/// Puts what [`Profiles::take`] took out back into the Spec's JSON.
pub(super) fn put(spec: &mut Value, digest: Option<String>) {
    if let (Some(digest), Some(linux)) = (digest, spec.get_mut("linux")) {
        linux["seccomp"] = json!(digest);
    }
}

/// The SHA-256 of `bytes` in hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use oci_spec::runtime::{LinuxBuilder, LinuxSeccompAction, LinuxSeccompBuilder, SpecBuilder};

    use super::*;

    fn spec(action: Option<LinuxSeccompAction>) -> Spec {
        let mut linux = LinuxBuilder::default().build().unwrap();
        linux.set_seccomp(action.map(|a| LinuxSeccompBuilder::default().default_action(a).build().unwrap()));
        SpecBuilder::default().linux(linux).build().unwrap()
    }

    #[test]
    fn equal_profiles_have_equal_digests_and_others_have_others() {
        let mut profiles = Profiles::default();
        let mut seen = |action| {
            let mut spec = spec(action);
            let digest = profiles.take(&mut spec).unwrap();
            let mut value = serde_json::to_value(&spec).unwrap();
            assert!(value["linux"].get("seccomp").is_none());
            put(&mut value, digest);
            value["linux"].get("seccomp").cloned()
        };
        let (allow, log) = (seen(Some(LinuxSeccompAction::ScmpActAllow)), seen(Some(LinuxSeccompAction::ScmpActLog)));
        assert!(allow.as_ref().unwrap().as_str().unwrap().starts_with("sha256:"));
        assert_ne!(allow, log);
        assert_eq!(
            (seen(Some(LinuxSeccompAction::ScmpActAllow)), seen(Some(LinuxSeccompAction::ScmpActLog))),
            (allow, log)
        );
        assert_eq!(seen(None), None);
    }
}
