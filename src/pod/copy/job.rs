//! What a client asks the container's end of a copy to do.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Links, Owner, Shape, Top, give, take};

/// The container's part of a copy. Paths are bytes: they need not be UTF-8.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Job {
    /// Pack this and send it.
    Give {
        /// Path in the container.
        source: Vec<u8>,
        /// Whether a source that is a link is followed.
        follow: bool,
    },
    /// Unpack what comes.
    Take {
        /// Path in the container.
        destination: Vec<u8>,
        /// The name of the source, where the stream is a copy of one; `.` at its end for a directory's content. Without it the stream
        /// is any archive.
        source: Option<Vec<u8>>,
        /// Whether owners are those at the source.
        keep_owners: bool,
    },
}

/// Does the job in the view of the container; `user` are the container's own user and group ids. Returns the process's exit status.
pub(in crate::pod) fn serve(job: &Job, user: (u32, u32), stream: &OwnedFd) -> i32 {
    let Ok(stream) = stream.try_clone() else { return 1 };
    let socket = UnixStream::from(stream);
    let done = match job {
        Job::Give { source, follow } => give(&socket, &path(source), if *follow { Links::Follow } else { Links::Keep }),
        Job::Take { destination, source, keep_owners } => {
            let shape = match source {
                Some(source) => Shape::Copy(Top::of(&path(source))),
                None => Shape::Archive,
            };
            let owner = if *keep_owners { Owner::Kept } else { Owner::Of { uid: user.0, gid: user.1 } };
            take(&socket, &path(destination), shape, owner)
        }
    };
    i32::from(done.is_err())
}

fn path(bytes: &[u8]) -> PathBuf {
    // A path in the container begins at its root.
    Path::new("/").join(OsString::from_vec(bytes.to_vec()))
}
