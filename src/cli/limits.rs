//! `--limit NAME=VALUE`.

use crate::error::Result;
use crate::image::Store;

/// What images may ask of this machine.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct LimitArgs {}

impl LimitArgs {
    /// The store with these limits.
    pub fn apply(&self, store: Store) -> Result<Store> {
        Ok(store)
    }
}
