//! What the manifest room reads, what it refuses, and in which words.

mod hostile;
mod lives;
mod messages;
mod placement;
mod pods;
mod reading;
mod schema;
mod table;
