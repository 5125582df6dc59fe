//! Images: references, archives, the store (an OCI image layout) and unpacked layers.

pub mod accounts;
pub mod compression;
pub mod digest;
pub mod documents;
pub mod extent;
mod gzip;
pub mod layer;
pub mod namespace;
pub mod platform;
pub mod progress;
pub mod reference;
pub mod registry;
pub mod source;
pub mod store;
pub mod timestamp;

use std::path::PathBuf;

use oci_spec::image::ImageConfiguration;

pub use namespace::{InPlace, InUserNamespace};
pub use reference::Reference;
pub use store::{Found, Hold, Store};

/// An image of the store, ready to run: its config and the directories of its unpacked layers.
#[derive(Debug, Clone)]
pub struct Image {
    /// The normalized reference, `docker.io/library/busybox:latest`.
    pub reference: String,
    /// The manifest's digest, `sha256:…`.
    pub digest: String,
    /// The image's config.
    pub config: ImageConfiguration,
    /// Directories of the unpacked layers, bottom layer first.
    pub layers: Vec<PathBuf>,
    /// What the image's `/etc/passwd` and `/etc/group` say.
    pub accounts: Accounts,
}

/// The image's own users and groups (passwd(5), group(5)).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accounts {
    /// Entries of `/etc/passwd`, in file order.
    pub users: Vec<User>,
    /// Entries of `/etc/group`, in file order.
    pub groups: Vec<Group>,
}

/// One entry of `/etc/passwd`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Login name.
    pub name: String,
    /// Numeric user id.
    pub uid: u32,
    /// Numeric id of the primary group.
    pub gid: u32,
    /// Home directory.
    pub home: String,
}

/// One entry of `/etc/group`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Group name.
    pub name: String,
    /// Numeric group id.
    pub gid: u32,
    /// Names of the users who have it as a supplementary group.
    pub members: Vec<String>,
}

#[cfg(test)]
mod tests;
