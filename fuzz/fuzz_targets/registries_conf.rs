//! A registries.conf is read or refused; what is read answers any question.
#![no_main]

use libfuzzer_sys::fuzz_target;
use podling::image::Reference;
use podling::image::registry::conf::parse;

fuzz_target!(|text: &str| {
    if let Ok(conf) = parse(text, "registries.conf") {
        for name in ["busybox", "x", "a.io/x:1", "sub.b.io/y/z"] {
            for name in conf.candidates(name).unwrap_or_default() {
                let _ = conf.places(&name);
            }
            let _ = conf.places(&Reference::parse(name).unwrap());
        }
    }
});
