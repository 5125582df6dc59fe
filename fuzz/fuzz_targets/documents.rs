//! Indexes, manifests and configs are read or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oci_spec::image::{ImageConfiguration, ImageIndex, ImageManifest};
use podling::image::documents::parse;
use podling::image::platform::Target;

fuzz_target!(|content: &[u8]| {
    let _ = parse::<ImageManifest>(content, "manifest");
    let _ = parse::<ImageConfiguration>(content, "config");
    if let Ok(index) = parse::<ImageIndex>(content, "index") {
        let _ = Target::host().choose(index.manifests().iter());
    }
});
