//! Whether a running pod is what files describe.

use super::asking;
use crate::error::Result;
use crate::plan::{Contents, PodPlan, fingerprint};
use crate::pod::is_unfollowed;
use crate::pod::list::Found;
use crate::pod::record::First;

/// What a running pod is compared by: its plan without what its volumes follow, and with it.
///
/// # Errors
/// Only where a path of the plan is not UTF-8.
pub fn fingerprints(plan: &PodPlan) -> Result<(String, String)> {
    let kept = fingerprint(plan, Contents::Kept)?;
    let follows = plan.volumes.iter().any(|volume| volume.follows.is_some());
    let whole = if follows { fingerprint(plan, Contents::All)? } else { kept.clone() };
    Ok((kept, whole))
}

/// Whether the pod that was started as `first` says, and runs, is the same as `plan`, so that nothing would change if it were started anew. What its
/// volumes follow is the same already, unless its supervisor could not watch the files.
///
/// # Errors
/// The pod cannot be asked, or a path of the plan is not UTF-8.
pub fn is_same(found: &Found, first: &First, plan: &PodPlan) -> Result<bool> {
    let (kept, whole) = fingerprints(plan)?;
    Ok(first.fingerprint == kept
        && (first.whole_fingerprint == whole || !asking::events(found)?.iter().any(is_unfollowed)))
}
