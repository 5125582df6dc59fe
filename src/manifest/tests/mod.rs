//! What the manifest room reads, what it refuses, and in which words.

mod hostile;
mod jobs;
mod kinds;
mod lives;
mod messages;
mod pods;
mod reading;
mod schema;
mod table;
