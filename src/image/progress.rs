//! What happens to layers while an image is fetched and unpacked, for whoever shows it.

use super::digest::Digest;

/// Something that happened to a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// It is fetched: so many bytes.
    Begins(u64),
    /// So many more bytes have come.
    Bytes(u64),
    /// It comes again from its first byte.
    Again,
    /// All of it has come, and is being unpacked.
    Fetched,
    /// It is unpacked.
    Done,
    /// The store had it.
    Present,
    /// Another podling is making it; this one waits.
    Waits,
}

/// Shows what happens. It is called from several threads.
pub trait Progress: Sync {
    /// `event` happened to the layer whose blob is `layer`.
    fn layer(&self, layer: &Digest, event: Event);

    /// Another podling is pulling the same image, and this one waits for what comes of it.
    fn waits(&self);
}

/// Shows nothing.
#[derive(Debug, Clone, Copy)]
pub struct Silent;

impl Progress for Silent {
    fn layer(&self, _: &Digest, _: Event) {}

    fn waits(&self) {}
}
