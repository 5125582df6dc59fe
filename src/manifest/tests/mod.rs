//! What the manifest room reads, what it refuses, and in which words.

mod amounts;
mod environment;
mod full;
mod hostile;
mod jobs;
mod kinds;
mod lives;
mod messages;
mod network;
mod page;
mod placement;
mod podman;
mod pods;
mod reading;
mod rules;
mod schema;
mod shown;
mod storage;
mod styles;
mod table;
