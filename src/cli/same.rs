//! Whether a running pod is what files describe.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::UNIX_EPOCH;

use super::asking;
use crate::error::Result;
use crate::plan::{Contents, PodPlan, fingerprint};
use crate::pod::is_unfollowed;
use crate::pod::list::Found;
use crate::pod::record::First;

/// What a running pod is compared by.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// Its plan's fingerprint, without what its volumes follow.
    pub fingerprint: String,
    /// The same with it.
    pub whole_fingerprint: String,
    /// The directories of the files that they follow.
    pub followed_in: Vec<String>,
}

impl Marks {
    /// Those of a pod with this plan that is started now.
    ///
    /// # Errors
    /// Only where a path of the plan is not UTF-8.
    pub fn of(plan: &PodPlan) -> Result<Marks> {
        let kept = fingerprint(plan, Contents::Kept)?;
        let from =
            || plan.volumes.iter().filter_map(|volume| volume.follows.as_ref()).flat_map(|follows| &follows.from);
        let whole = if from().next().is_some() { fingerprint(plan, Contents::All)? } else { kept.clone() };
        let mut followed_in: Vec<String> = from().flat_map(|file| directories(file)).collect();
        followed_in.sort_unstable();
        followed_in.dedup();
        Ok(Marks { fingerprint: kept, whole_fingerprint: whole, followed_in })
    }
}

/// Whether the pod that was started as `first` says, and runs, is the same as `plan`, so that nothing would change if it were started anew. What its
/// volumes follow is the same already, unless its supervisor could not watch the files, or the directories that it watches are others by now.
///
/// # Errors
/// The pod cannot be asked, or a path of the plan is not UTF-8.
pub fn is_same(found: &Found, first: &First, plan: &PodPlan) -> Result<bool> {
    let marks = Marks::of(plan)?;
    if first.fingerprint != marks.fingerprint {
        return Ok(false);
    }
    Ok(first.whole_fingerprint == marks.whole_fingerprint
        || first.followed_in == marks.followed_in && !asking::events(found)?.iter().any(is_unfollowed))
}

/// The directory of `file`, and that of what it leads to: a supervisor holds these, and not what comes in their place under the same name.
fn directories(file: &Path) -> Vec<String> {
    let target = file.canonicalize().ok();
    let parents = [file.parent(), target.as_deref().and_then(Path::parent)];
    parents.into_iter().flatten().filter_map(|dir| dir.metadata().ok()).map(|dir| identity(&dir)).collect()
}

/// A number of a file may come again when that has been removed, but not with the time at which it was made.
fn identity(about: &Metadata) -> String {
    let made = about.created().ok().and_then(|made| made.duration_since(UNIX_EPOCH).ok());
    format!("{}:{}:{}", about.dev(), about.ino(), made.map_or(0, |made| made.as_nanos()))
}
