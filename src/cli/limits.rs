//! `--limit NAME=VALUE`.

use crate::error::Result;
use crate::image::Store;

/// What images may ask of this machine.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct LimitArgs {
    /// Let images be larger than is reasonable, or smaller: layers=200, layer-size=100Gi …; a wrong NAME prints all
    #[arg(long = "limit", value_name = "NAME=VALUE")]
    limits: Vec<String>,
}

impl LimitArgs {
    /// The store with these limits.
    ///
    /// # Errors
    /// A limit that there is not, or no number.
    pub fn apply(&self, store: Store) -> Result<Store> {
        let mut limits = *store.limits();
        self.limits.iter().try_for_each(|text| limits.set(text))?;
        Ok(store.with_limits(limits))
    }
}
