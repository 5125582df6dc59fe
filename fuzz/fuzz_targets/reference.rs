//! An image's name is read or refused; what is read reads as itself.
#![no_main]

use libfuzzer_sys::fuzz_target;
use podling::image::Reference;
use podling::image::layer::limits::Limits;
use podling::image::platform::Target;

fuzz_target!(|text: &str| {
    if let Ok(name) = Reference::parse(text) {
        assert_eq!(Reference::parse(&name.to_string()).unwrap(), name);
        assert_eq!(Reference::parse(&name.familiar()).unwrap(), name);
    }
    let _ = Target::parse(text);
    let _ = Limits::default().set(text);
});
