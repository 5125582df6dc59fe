//! The room's promises, shown on archives and layouts that are made here byte by byte.

mod archives;
mod hostile;
mod store;
