//! Removing the images that nothing uses.

use crate::error::Result;
use crate::image::digest::Digest;
use crate::image::namespace::InUserNamespace;
use crate::image::store::Store;
use crate::image::store::index::{Index, name_of};
use crate::image::store::usage::{list, tree_size};

/// Which images are pruned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prune {
    /// Those that have no name.
    Nameless,
    /// All that no running pod uses.
    Unused,
}

/// What was pruned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Names that were taken away.
    pub untagged: Vec<String>,
    /// Images that are gone.
    pub deleted: Vec<Digest>,
    /// Bytes on disk that are free again.
    pub reclaimed: u64,
}

impl Store {
    /// Removes images, and everything that no image needs. What a running pod uses, or another podling is making, stays.
    ///
    /// # Errors
    /// An image that cannot be read: nothing is removed on a guess.
    pub fn prune(&self, which: Prune, namespace: &dyn InUserNamespace) -> Result<Pruned> {
        let staging = self.new_staging()?;
        let result = self.prune_into(which, staging.path(), namespace);
        let emptied = staging.remove(namespace);
        let pruned = result?;
        emptied.map(|()| pruned)
    }

    fn prune_into(&self, which: Prune, staging: &std::path::Path, namespace: &dyn InUserNamespace) -> Result<Pruned> {
        let mut pruned = Pruned::default();
        {
            let _lock = self.lock()?;
            let mut index = Index::read(&self.images())?;
            let mut kept = Vec::new();
            for image in &index.images {
                let record = self.record_of(image)?;
                let goes = which == Prune::Unused || name_of(image).is_none();
                if !goes || self.is_used(&record) {
                    kept.push(image.clone());
                    continue;
                }
                pruned.untagged.extend(name_of(image).map(str::to_owned));
                if !pruned.deleted.contains(&record.digest) {
                    pruned.deleted.push(record.digest);
                }
            }
            pruned.deleted.retain(|gone| kept.iter().all(|image| image.digest().to_string() != gone.to_string()));
            if kept.len() < index.images.len() {
                index.images = kept;
                index.write(&self.images())?;
            }
            pruned.reclaimed = self.collect_garbage(&index, staging)?;
        }
        // Layers are measured where they were moved to, without the lock.
        for layer in list(staging)? {
            pruned.reclaimed += tree_size(&layer, namespace)?;
        }
        Ok(pruned)
    }
}
