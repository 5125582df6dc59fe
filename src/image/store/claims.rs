//! Who is making what: claims on digests, so that several podlings fetch and unpack each thing once.
//!
//! A claim is a lock on one byte of the file `claims`, at an offset that the digest gives (fcntl_locking(2), "Open file description
//! locks"): nothing has to be removed afterwards, and the kernel drops the locks with their holder. Whoever makes a blob or a layer
//! holds its byte exclusively; whoever needs one that the store has, or that is being made, holds or awaits it shared. The store
//! removes nothing that is claimed. Nobody waits for a layer while it makes one, and an image's documents are claimed before its layers, so
//! nobody waits in a circle.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};

use crate::error::{Context, Result};
use crate::image::digest::Digest;
use crate::image::store::Store;
use crate::sys::SysError;

/// The claims of one podling; all are given up when it is dropped.
#[derive(Debug)]
pub struct Claims {
    file: File,
    /// Where its bytes begin.
    base: libc::off_t,
}

/// Where the bytes for documents begin: one digest may be that of a document and of a layer, if whoever made the image means harm.
const DOCUMENTS: libc::off_t = 1 << 62;

impl Claims {
    /// No claims yet.
    pub(super) fn new(store: &Store) -> Result<Claims> {
        let path = store.dir().join("claims");
        store.make_directory(store.dir())?;
        let open = File::options().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        Ok(Claims { base: 0, file: open.context(|| format!("cannot open {}", path.display()))? })
    }

    /// The same for images' documents, which are claimed before layers, so that nobody waits in a circle.
    pub(super) fn of_documents(store: &Store) -> Result<Claims> {
        Ok(Claims { base: DOCUMENTS, ..Claims::new(store)? })
    }

    /// Claims what the caller is going to make, or remove. `false` where another podling makes or needs it.
    pub fn make(&self, digest: &Digest) -> Result<bool> {
        self.lock(digest, libc::F_WRLCK, Wait::No)
    }

    /// Claims what the caller needs, where nobody is making it.
    pub fn need(&self, digest: &Digest) -> Result<bool> {
        self.lock(digest, libc::F_RDLCK, Wait::No)
    }

    /// Claims what the caller needs, waiting for whoever is making it.
    pub fn wait_for(&self, digest: &Digest) -> Result<()> {
        self.lock(digest, libc::F_RDLCK, Wait::Yes).map(drop)
    }

    /// What the caller was making is in the store: it needs it from now on, as others may.
    pub fn made(&self, digest: &Digest) -> Result<()> {
        self.lock(digest, libc::F_RDLCK, Wait::No).map(drop)
    }

    /// Gives a claim up.
    pub fn release(&self, digest: &Digest) -> Result<()> {
        self.lock(digest, libc::F_UNLCK, Wait::No).map(drop)
    }

    fn lock(&self, digest: &Digest, kind: i32, wait: Wait) -> Result<bool> {
        let lock = libc::flock {
            l_type: kind as libc::c_short,
            l_whence: libc::SEEK_SET as libc::c_short,
            l_start: self.base + offset(digest),
            l_len: 1,
            l_pid: 0,
        };
        loop {
            let how = match wait {
                Wait::Yes => FcntlArg::F_OFD_SETLKW(&lock),
                Wait::No => FcntlArg::F_OFD_SETLK(&lock),
            };
            return match fcntl(&self.file, how) {
                Ok(_) => Ok(true),
                Err(Errno::EINTR) => continue,
                Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
                Err(errno) => Err(SysError::new("fcntl(\"claims\", F_OFD_SETLK)", errno).into()),
            };
        }
    }
}

enum Wait {
    Yes,
    No,
}

/// 62 bits of the digest: two that share them would at worst wait for each other.
fn offset(digest: &Digest) -> libc::off_t {
    let (first, _) = digest.bytes().split_first_chunk::<8>().unwrap_or((&[0; 8], &[]));
    (u64::from_be_bytes(*first) >> 2).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::tests::archives::one_id;

    #[test]
    fn one_makes_and_the_others_wait() {
        let base = tempfile::tempdir().unwrap();
        let store = Store::open(base.path().join("store"), &one_id()).unwrap();
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        let (first, second) = (Claims::new(&store).unwrap(), Claims::new(&store).unwrap());
        assert!(first.make(&a).unwrap());
        assert!(!second.make(&a).unwrap() && !second.need(&a).unwrap());
        assert!(second.make(&b).unwrap());
        first.made(&a).unwrap();
        assert!(second.need(&a).unwrap() && !second.make(&a).unwrap());
        drop(first);
        assert!(second.make(&a).unwrap());
        // An image whose config has the digest of one of its layers must not wait for itself.
        assert!(Claims::of_documents(&store).unwrap().make(&a).unwrap());
        let waiting = std::thread::scope(|scope| {
            let third = Claims::new(&store).unwrap();
            let waiting = scope.spawn(move || third.wait_for(&b));
            second.made(&b).unwrap();
            waiting.join().unwrap()
        });
        waiting.unwrap();
    }
}
