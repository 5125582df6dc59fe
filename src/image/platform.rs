//! Choosing this machine's image from an index for several platforms (OCI image-spec image-index.md, "platform").

use std::fmt;

use oci_spec::image::{Descriptor, Platform};

use crate::error::{Error, Result};
use crate::host::architecture;

/// A platform that an image is wanted for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    architecture: String,
    variant: Option<String>,
}

impl Target {
    /// This machine.
    pub fn host() -> Target {
        Target { architecture: architecture().to_owned(), variant: None }
    }

    /// Reads `linux/arm64`, `linux/arm/v7`, or the architecture alone.
    pub fn parse(text: &str) -> Result<Target> {
        let bad = |why: &str| {
            Error::new(format!("platform {text:?}: {why}"))
                .mend("write it as linux/ARCHITECTURE[/VARIANT], say linux/arm64")
        };
        let word =
            |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        let words: Vec<&str> = text.split('/').collect();
        if !words.iter().copied().all(word) {
            return Err(bad("a part of it is empty or no word"));
        }
        let (architecture, variant) = match words.as_slice() {
            ["linux"] => (architecture(), None),
            [architecture] | ["linux", architecture] => (*architecture, None),
            ["linux", architecture, variant] => (*architecture, Some((*variant).to_owned())),
            [_, _] | [_, _, _] => return Err(bad("podling runs images for linux only")),
            _ => return Err(bad("it has too many parts")),
        };
        // uname(1)'s words for the two that most machines have.
        let architecture = match architecture {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        Ok(Target { architecture: architecture.to_owned(), variant })
    }

    /// Whether an image for this architecture and variant is what is wanted.
    pub fn fits(&self, architecture: &str, variant: Option<&str>) -> bool {
        self.architecture == architecture
            && self.variant.as_deref().is_none_or(|wanted| variant.is_none_or(|variant| variant == wanted))
    }

    /// The best of `images` for it; one that says no platform is taken only where nothing else fits.
    pub fn choose<'a>(&self, images: impl Iterator<Item = &'a Descriptor> + Clone) -> Result<&'a Descriptor> {
        let ranked = images.clone().filter_map(|image| Some((self.rank(image.platform().as_ref())?, image)));
        // Of equals the first one: min_by_key takes it.
        if let Some((_, best)) = ranked.min_by_key(|(rank, _)| *rank) {
            return Ok(best);
        }
        let mut there: Vec<String> = images.filter_map(|image| image.platform().as_ref().map(describe)).collect();
        there.retain(|platform| platform != "unknown/unknown");
        there.dedup();
        let there = if there.is_empty() { "nothing".to_owned() } else { there.join(", ") };
        Err(Error::new(format!("it has no image for {self}, only for {there}")))
    }

    /// How well a platform fits, 0 best; `None` where it does not.
    fn rank(&self, platform: Option<&Platform>) -> Option<u8> {
        match (&self.variant, platform.and_then(|platform| platform.variant().as_deref())) {
            // Nothing but the variant that was asked for, or what does not say.
            (Some(wanted), Some(there)) => (wanted == there
                && rank(&self.architecture, platform.map(without_variant).as_ref()).is_some())
            .then_some(0),
            _ => rank(&self.architecture, platform),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let variant = self.variant.as_deref().map(|v| format!("/{v}")).unwrap_or_default();
        write!(f, "linux/{}{variant}", self.architecture)
    }
}

fn without_variant(platform: &Platform) -> Platform {
    let mut platform = platform.clone();
    platform.set_variant(None);
    platform
}

/// How well a platform fits, 0 best; `None` where it does not.
fn rank(architecture: &str, platform: Option<&Platform>) -> Option<u8> {
    let Some(platform) = platform else { return Some(9) };
    if platform.os().to_string() != "linux" || platform.architecture().to_string() != architecture {
        return None;
    }
    match (architecture, platform.variant().as_deref()) {
        (_, None | Some("")) => Some(1),
        ("arm64", Some("v8")) => Some(0),
        ("amd64", Some("v1")) => Some(0),
        ("amd64", Some(level)) => amd64_level(level),
        ("arm", Some("v7")) => Some(0),
        ("arm", Some("v6")) => Some(2),
        ("arm", Some("v5")) => Some(3),
        _ => None,
    }
}

/// The x86-64 levels above the first are taken only where the processor has them, and then only for want of a plain image.
fn amd64_level(level: &str) -> Option<u8> {
    #[cfg(target_arch = "x86_64")]
    return match level {
        "v2" if std::is_x86_feature_detected!("sse4.2") && std::is_x86_feature_detected!("popcnt") => Some(2),
        "v3" if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("bmi2") => Some(3),
        _ => None,
    };
    #[cfg(not(target_arch = "x86_64"))]
    return level.is_empty().then_some(9);
}

/// `linux/arm/v7`.
pub fn describe(platform: &Platform) -> String {
    let variant = platform.variant().as_deref().map(|v| format!("/{v}")).unwrap_or_default();
    format!("{}/{}{variant}", platform.os(), platform.architecture())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(digit: char, os: &str, architecture: &str, variant: Option<&str>) -> Descriptor {
        let hex: String = std::iter::repeat_n(digit, 64).collect();
        let mut platform = serde_json::json!({"os": os, "architecture": architecture});
        if let Some(variant) = variant {
            platform["variant"] = variant.into();
        }
        serde_json::from_value(serde_json::json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": format!("sha256:{hex}"), "size": 1, "platform": platform,
        }))
        .unwrap()
    }

    fn chosen(architecture: &str, images: &[Descriptor]) -> Result<char> {
        Ok(Target::parse(architecture)?.choose(images.iter())?.digest().digest().chars().next().unwrap())
    }

    #[test]
    fn platforms_are_read() {
        for (text, shown) in [
            ("linux/arm64", "linux/arm64"),
            ("arm64", "linux/arm64"),
            ("linux/arm/v7", "linux/arm/v7"),
            ("linux/x86_64", "linux/amd64"),
        ] {
            assert_eq!(Target::parse(text).unwrap().to_string(), shown);
        }
        for bad in ["", "linux/", "windows/amd64", "linux/arm/v7/x", "linux/a b", "/"] {
            assert!(Target::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_variant_that_is_asked_for_is_the_one_that_is_taken() {
        let images = [image('2', "linux", "arm", Some("v6")), image('3', "linux", "arm", Some("v7"))];
        assert_eq!(chosen("linux/arm/v6", &images).unwrap(), '2');
        assert_eq!(chosen("linux/arm", &images).unwrap(), '3');
        assert!(chosen("linux/arm/v5", &images).is_err());
    }

    #[test]
    fn the_host_platform_is_chosen() {
        let images = [
            image('1', "windows", "amd64", None),
            image('2', "linux", "arm", Some("v6")),
            image('3', "linux", "arm", Some("v7")),
            image('4', "linux", "arm64", Some("v8")),
            image('5', "linux", "amd64", None),
            image('6', "unknown", "unknown", None),
        ];
        assert_eq!(chosen("amd64", &images).unwrap(), '5');
        assert_eq!(chosen("arm64", &images).unwrap(), '4');
        assert_eq!(chosen("arm", &images).unwrap(), '3');
        let error = chosen("s390x", &images).unwrap_err();
        assert!(error.what().contains("linux/s390x") && error.what().contains("linux/arm/v7"), "{error}");
        assert!(!error.what().contains("unknown"), "{error}");
    }
}
