//! The id map of the pod's user namespace: which user and group ids exist inside it.

/// One extent of a `uid_map` or `gid_map` (user_namespaces(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdExtent {
    /// First id inside the user namespace.
    pub inside: u32,
    /// First id outside, in the caller's user namespace.
    pub outside: u32,
    /// How many consecutive ids.
    pub count: u32,
}

/// The user and group ids that exist inside the pod's user namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdMap {
    /// Extents of the `uid_map`.
    pub uids: Vec<IdExtent>,
    /// Extents of the `gid_map`.
    pub gids: Vec<IdExtent>,
}

impl IdMap {
    /// Whether only one user id exists, so that a container's user is mapped onto it by its last user namespace.
    pub fn is_single(&self) -> bool {
        self.uids.len() == 1 && self.uids[0].count == 1
    }

    /// Whether `uid` exists inside the pod's user namespace.
    pub fn has_uid(&self, uid: u32) -> bool {
        contains(&self.uids, uid)
    }

    /// Whether `gid` exists inside the pod's user namespace.
    pub fn has_gid(&self, gid: u32) -> bool {
        contains(&self.gids, gid)
    }

    /// The highest group id inside, which bounds `net.ipv4.ping_group_range`.
    pub fn max_gid(&self) -> u32 {
        self.gids.iter().map(|e| e.inside + (e.count - 1)).max().unwrap_or(0)
    }
}

fn contains(extents: &[IdExtent], id: u32) -> bool {
    extents.iter().any(|e| id >= e.inside && id - e.inside < e.count)
}
