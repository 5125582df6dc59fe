//! One layer: a compressed tar archive on its way to a directory tree, and a directory tree on its way to a tar archive.

pub mod below;
pub mod compare;
pub mod limits;
pub mod pack;
pub mod pipeline;
pub mod remove_tree;
pub mod tar_entry;
pub mod tar_reader;
pub mod unpack;
pub mod unpacker;
pub mod warnings;
pub mod whiteout;
pub mod xattrs;
