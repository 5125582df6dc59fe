//! Whether a running pod is what files describe.

use super::asking;
use crate::error::Result;
use crate::plan::{Contents, PodPlan, fingerprint};
use crate::pod::is_unfollowed;
use crate::pod::list::Found;
use crate::pod::record::First;

/// Whether the pod that was started as `first` says, and runs, is the same as `plan`, so that nothing would change if it were started anew. What its
/// volumes follow is the same already, unless its supervisor could not watch the files.
///
/// # Errors
/// The pod cannot be asked, or a path of the plan is not UTF-8.
pub fn is_same(found: &Found, first: &First, plan: &PodPlan) -> Result<bool> {
    Ok(first.fingerprint == fingerprint(plan, Contents::Kept)?
        && (first.whole_fingerprint == fingerprint(plan, Contents::All)?
            || !asking::events(found)?.iter().any(is_unfollowed)))
}
