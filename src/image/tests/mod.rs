//! The room's promises, shown on archives and layouts that are made here byte by byte.

pub(super) mod archives;
mod hostile;
mod store;
