//! What a test needs of the machine, found without podling's help, and said aloud where it is missing.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Something that not every machine offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feature {
    /// This user may make a user namespace.
    UserNamespaces,
    /// This user has subordinate ids.
    SubordinateIds,
    /// A program is in PATH.
    Program(&'static str),
    /// strace may trace this user's processes.
    Tracing,
    /// The tests run as an ordinary user, whom the kernel holds to what root is free of.
    OrdinaryUser,
}

/// Whether the test can go on. Where it cannot, it says why and skips, unless `PODLING_MUST_WORK` is 1, which makes it fail.
///
/// What depends on who runs the tests is no lack of the machine: tests/run runs them as every kind of user, so those only skip.
#[track_caller]
pub fn require(feature: Feature) -> bool {
    let Err(why) = look(feature) else { return true };
    let of_this_user = matches!(feature, Feature::SubordinateIds | Feature::OrdinaryUser);
    if std::env::var("PODLING_MUST_WORK").is_ok_and(|v| v == "1") && !of_this_user {
        panic!("this machine lacks {feature:?}, and PODLING_MUST_WORK is set: {why}");
    }
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    // Written past the test harness, which would keep what a passing test prints to itself.
    let _ = writeln!(std::io::stderr(), "{test}: skipped, for want of {feature:?}: {why}");
    false
}

fn look(feature: Feature) -> Result<(), String> {
    match feature {
        Feature::UserNamespaces => succeeds(&["unshare", "--user", "--map-root-user", "true"]),
        Feature::SubordinateIds => match ids() {
            Ids::Subordinate => Ok(()),
            other => Err(format!("this user has {other:?}")),
        },
        Feature::Program(name) => find(name).map(drop).ok_or_else(|| format!("{name} is not in PATH")),
        Feature::Tracing => succeeds(&["strace", "-f", "-o", "/dev/null", "true"]),
        Feature::OrdinaryUser => match ids() {
            Ids::Root => Err("root runs the tests".to_owned()),
            _ => Ok(()),
        },
    }
}

fn succeeds(words: &[&str]) -> Result<(), String> {
    let output = Command::new(words[0])
        .args(&words[1..])
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("{words:?}: {e}"))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(format!("{words:?}: {}", String::from_utf8_lossy(&output.stderr).trim()))
    }
}

/// The file that a name stands for in PATH.
pub fn find(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).map(|dir| dir.join(name)).find(|file| file.is_file())
}

/// Which ids the user of the tests has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ids {
    /// An ordinary user with subordinate ids.
    Subordinate,
    /// An ordinary user's one id.
    One,
    /// The machine's root.
    Root,
}

/// As the machine's own files say.
pub fn ids() -> Ids {
    let uid = nix::unistd::geteuid();
    if uid.is_root() {
        return Ids::Root;
    }
    let output = Command::new("id").arg("-un").output().expect("id -un");
    let name = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let listed = |path: &str| {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.lines().any(|line| line.starts_with(&format!("{name}:")) || line.starts_with(&format!("{uid}:")))
    };
    if listed("/etc/subuid") && listed("/etc/subgid") && find("newuidmap").is_some() {
        Ids::Subordinate
    } else {
        Ids::One
    }
}
