//! Making volumes, and removing them: by one rename each, so that a volume is there whole or not at all.

use std::fs::{self, DirBuilder, File};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::PersistentVolumeClaim;

use super::hold::lock;
use super::{ABOUT, About, FILES, Volume, directory, find, shown};
use crate::error::{Context, Error, Result};
use crate::host::HostFacts;
use crate::host::userns::run_mapped;
use crate::image::layer::remove_tree::remove_tree;
use crate::manifest::ObjectKey;
use crate::plan::Sharing;
use crate::sys::Named;
use crate::sys::fs::exchange;

/// How often something is tried again that another podling got in the way of.
const TRIES: u32 = 16;

/// A volume that is being made; dropped, it is left to the next sweep.
#[derive(Debug)]
pub struct New {
    dir: PathBuf,
    /// Keeps the sweep of another podling away.
    _lock: File,
}

impl New {
    /// An empty volume that has no name yet.
    ///
    /// # Errors
    /// The failed call.
    pub fn begin(data: &Path, about: &About, facts: &HostFacts) -> Result<New> {
        let volumes = directory(data);
        facts.ids.make_private_dir(data, &volumes)?;
        let (dir, lock) = locked_directory(&volumes)?;
        facts.ids.give_to_root(&dir)?;
        let files = dir.join(FILES);
        DirBuilder::new().mode(0o700).create(&files).named(|| format!("mkdir({files:?})"))?;
        // Anybody in a pod may write there, as with the volumes of most clusters; nobody else passes the directories above.
        fs::set_permissions(&files, fs::Permissions::from_mode(0o777)).named(|| format!("chmod({files:?})"))?;
        facts.ids.give_to_root(&files)?;
        let text = serde_json::to_vec(about).map_err(|e| Error::new(e.to_string()))?;
        let path = dir.join(ABOUT);
        let opened = File::options().write(true).create_new(true).mode(0o600).open(&path);
        let written = opened.and_then(|mut file| {
            file.write_all(&text)?;
            file.sync_all()
        });
        written.context(|| format!("cannot write {}", path.display()))?;
        facts.ids.give_to_root(&path)?;
        Ok(New { dir, _lock: lock })
    }

    /// The directory that its files go into.
    pub fn files(&self) -> PathBuf {
        self.dir.join(FILES)
    }

    /// Removes it again.
    ///
    /// # Errors
    /// What could not be removed, by path.
    pub fn discard(self, data: &Path, facts: &HostFacts) -> Result<()> {
        clear(data, &self.dir, facts)
    }

    /// Gives it its name; `false` where that is taken.
    ///
    /// # Errors
    /// The failed call.
    pub fn publish(self, data: &Path, key: &ObjectKey, facts: &HostFacts) -> Result<bool> {
        let parent = directory(data).join(&key.namespace);
        let target = parent.join(&key.name);
        for _ in 0..TRIES {
            facts.ids.make_private_dir(data, &parent)?;
            match fs::rename(&self.dir, &target) {
                Ok(()) => return Ok(true),
                Err(e) if matches!(e.kind(), ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists) => {
                    discard(data, &self.dir, facts)?;
                    return Ok(false);
                }
                // Who removed the namespace's last volume has removed its directory.
                Err(e) if e.kind() == ErrorKind::NotFound => {}
                Err(e) => return Err(e).named(|| format!("rename({:?}, {target:?})", self.dir))?,
            }
        }
        Err(Error::new(format!("volume {} cannot be made: its directory is removed again and again", shown(key))))
    }

    /// Takes the place of `old`, which no pod may be using, and removes that one: whoever looks, and whenever podling is killed, sees the
    /// one or the other.
    ///
    /// # Errors
    /// A pod uses the old one, which then stays; the failed call; or what of the old one could not be removed, by path.
    pub fn replace(self, data: &Path, old: &Volume, facts: &HostFacts) -> Result<()> {
        let taken = lock(&old.dir, Sharing::Nobody).and_then(|lock| match lock {
            Some(lock) => self.take_place_of(old).map(|()| Some(lock)),
            None if find(data, &old.key)?.is_some() => Err(in_use(old)),
            None => Ok(None),
        });
        let _old_lock = match taken {
            Ok(Some(lock)) => lock,
            // It was removed just now.
            Ok(None) => {
                let why = || Error::new(format!("another podling has made a volume {} meanwhile", old.shown()));
                return if self.publish(data, &old.key, facts)? { Ok(()) } else { Err(why().mend("try again")) };
            }
            Err(e) => {
                // What keeps it from being removed, too, is the sweep's to tell.
                let _ = self.discard(data, facts);
                return Err(e);
            }
        };
        // Pods may have the new one from now on, however long it takes to remove the old one.
        let New { dir, _lock } = self;
        drop(_lock);
        clear(data, &dir, facts)
    }

    fn take_place_of(&self, old: &Volume) -> Result<()> {
        // The old files are gone for good soon, so the new ones must not be in memory only.
        nix::unistd::syncfs(&self._lock).named(|| format!("syncfs({:?})", self.dir))?;
        Ok(exchange(&self.dir, &old.dir)?)
    }
}

fn in_use(volume: &Volume) -> Error {
    Error::new(format!("volume {} is used by a running pod", volume.shown()))
        .mend("stop the pod first: podling volume ls shows which")
}

/// Makes the volume of a claim, unless it is there.
///
/// # Errors
/// The failed call.
pub fn ensure(data: &Path, claim: &PersistentVolumeClaim, facts: &HostFacts) -> Result<()> {
    let key = ObjectKey::of(claim);
    if find(data, &key)?.is_some() {
        return Ok(());
    }
    let about = About::new(claim.spec.as_ref(), facts);
    New::begin(data, &about, facts)?.publish(data, &key, facts).map(drop)
}

/// Removes a volume that no pod uses.
///
/// # Errors
/// A pod uses it; or what could not be removed, by path.
pub fn remove(data: &Path, volume: &Volume, facts: &HostFacts) -> Result<()> {
    let Some(_lock) = lock(&volume.dir, Sharing::Nobody)? else {
        return match find(data, &volume.key)? {
            Some(_) => Err(in_use(volume)),
            None => Ok(()),
        };
    };
    discard(data, &volume.dir, facts)?;
    // The namespace may have others.
    if let Some(namespace) = volume.dir.parent() {
        let _ = fs::remove_dir(namespace);
    }
    Ok(())
}

/// Removes what killed podlings left half made or half removed. What cannot be removed is said in the answer, one sentence each.
pub fn sweep(data: &Path, facts: &HostFacts) -> Vec<String> {
    let Ok(entries) = fs::read_dir(directory(data)) else { return Vec::new() };
    let mut left = Vec::new();
    for dir in entries.flatten().filter(|entry| entry.file_name().as_encoded_bytes().starts_with(b".")) {
        let dir = dir.path();
        let Ok(Some(_lock)) = lock(&dir, Sharing::Nobody) else { continue };
        if let Err(e) = clear(data, &dir, facts) {
            left.push(e.to_string());
        }
    }
    left
}

/// Takes a volume's directory out of sight, whose lock the caller holds, and removes it.
fn discard(data: &Path, dir: &Path, facts: &HostFacts) -> Result<()> {
    let volumes = directory(data);
    for n in 0..TRIES {
        let aside = volumes.join(format!(".dead-{}-{n}", std::process::id()));
        match fs::rename(dir, &aside) {
            Ok(()) => return clear(data, &aside, facts),
            Err(e) if matches!(e.kind(), ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists) => {}
            Err(e) => return Err(e).named(|| format!("rename({dir:?}, {aside:?})"))?,
        }
    }
    clear(data, dir, facts)
}

/// Removes a directory of `volumes` as the pod's root, who owns what the caller does not.
fn clear(data: &Path, dir: &Path, facts: &HostFacts) -> Result<()> {
    use std::os::fd::AsFd;
    let volumes = directory(data);
    let parent = File::open(&volumes).named(|| format!("open({volumes:?})"))?;
    let name = dir.file_name().map(PathBuf::from).unwrap_or_default();
    let remove = || remove_tree(parent.as_fd(), &name).map(|()| Vec::new());
    run_mapped(facts, &mut { remove }).map(drop).context(|| format!("removing {}", dir.display()))
}

/// A new directory that no sweep of another podling takes away.
fn locked_directory(volumes: &Path) -> Result<(PathBuf, File)> {
    for _ in 0..TRIES {
        let made = tempfile::Builder::new().prefix(".new-").tempdir_in(volumes);
        let dir = made.named(|| format!("mkdtemp({volumes:?})"))?.keep();
        if let Some(lock) = lock(&dir, Sharing::Nobody)? {
            return Ok((dir, lock));
        }
    }
    Err(Error::new(format!("cannot lock a directory in {}", volumes.display())))
}
