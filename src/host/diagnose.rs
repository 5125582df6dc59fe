//! The likely cause, on this host, of what the kernel refused, and the one command that mends it.

use crate::error::Error;

/// Switches that forbid user namespaces: the file, the value that forbids, and the mend.
const SWITCHES: [(&str, &str, &str); 3] = [
    (
        "/proc/sys/user/max_user_namespaces",
        "0",
        "user namespaces are switched off here: sudo sysctl user.max_user_namespaces=15000",
    ),
    (
        "/proc/sys/kernel/unprivileged_userns_clone",
        "0",
        "unprivileged user namespaces are switched off here: sudo sysctl kernel.unprivileged_userns_clone=1",
    ),
    (
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "AppArmor takes the capabilities from unprivileged user namespaces here: \
         sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0, or give podling an AppArmor profile with `userns,`",
    ),
];

/// What else a failed call may mean: the call (its name and arguments' beginning), its errnos, and the mend. The first match counts.
const CAUSES: [(&str, &[&str], &str); 14] = [
    (
        "clone3",
        &["ENOSPC"],
        "a limit on namespaces is reached: raise the limits in /proc/sys/user/, as with sudo sysctl user.max_user_namespaces=15000",
    ),
    (
        "clone3",
        &["EPERM", "ENOSYS"],
        "a sandbox around podling forbids new namespaces; inside a container of docker or podman, allow them with \
         --security-opt seccomp=unconfined --security-opt systempaths=unconfined",
    ),
    ("clone3", &["EAGAIN"], "the limit on this user's processes is reached: see ulimit -u"),
    // Where a process has changed its user before (execve(2)).
    ("execve", &["EAGAIN"], "the limit on this user's processes is reached: see ulimit -u"),
    ("openat2(", &["EAGAIN"], "find who that is with lsof or fuser, and try again when they are done"),
    (
        "mount(\"overlay\"",
        &["EPERM", "ENODEV", "EINVAL"],
        "this kernel does not let an ordinary user mount overlayfs here: podling needs Linux 5.14 or newer with the overlay module \
         (sudo modprobe overlay), and its data on a file system that overlayfs can write, so not on another overlay or a network",
    ),
    (
        "mount(\"proc\"",
        &["EPERM"],
        "a part of /proc is hidden here, as in a container, so the kernel forbids a new one; with docker or podman: \
         --security-opt systempaths=unconfined",
    ),
    (
        "mount(\"sysfs\"",
        &["EPERM"],
        "a part of /sys is hidden here, as in a container, so the kernel forbids a new one; with docker or podman: \
         --security-opt systempaths=unconfined",
    ),
    (
        "for a mount",
        &["EROFS"],
        "what is mounted around it is read-only and lacks this place: choose another mountPath, or make the place where that comes from",
    ),
    (", where the image has", &["EISDIR", "ENOTDIR"], "choose another mountPath: look at what the image has there"),
    (
        "write(standard ",
        &["ENOSPC", "EDQUOT", "EFBIG"],
        "what podling's own output goes to takes no more: free some space there, or send it elsewhere",
    ),
    (
        "",
        &["ENOSPC", "EDQUOT"],
        "the file system that holds podling's data is full: free some space, or set XDG_DATA_HOME to a directory on another one",
    ),
    ("", &["EROFS"], "podling's data cannot be written here: set XDG_DATA_HOME to a directory that you may write"),
    ("", &["EMFILE", "ENFILE"], "the limit on open files is reached: see ulimit -n"),
];

/// Adds the mend to an error without one, where this host's settings or the call itself explain it.
pub fn explain(error: Error) -> Error {
    if error.hint().is_some() {
        return error;
    }
    match mend(error.what(), &|path| std::fs::read_to_string(path).ok()) {
        Some(mend) => error.mend(mend),
        None => error,
    }
}

/// Reads the settings by `read`, so that a test can give it any host.
fn mend(what: &str, read: &dyn Fn(&str) -> Option<String>) -> Option<&'static str> {
    let failed = |errnos: &[&str]| {
        errnos.iter().any(|errno| what.contains(&format!(" = {errno} ")) || what.contains(in_std(errno)))
    };
    // Without a user namespace's capabilities anything may fail later, or a process may die without a word.
    let forbidden =
        failed(&["EPERM", "EACCES"]) || what.contains("no word") || (what.contains("clone3") && failed(&["ENOSPC"]));
    let switch = SWITCHES
        .iter()
        .find(|(path, value, _)| forbidden && read(path).is_some_and(|text| text.trim() == *value))
        .map(|(_, _, mend)| *mend);
    switch.or_else(|| {
        CAUSES.iter().find(|(call, errnos, _)| what.contains(call) && failed(errnos)).map(|(_, _, mend)| *mend)
    })
}

/// How the standard library's errors say the same.
fn in_std(errno: &str) -> &'static str {
    match errno {
        "ENOSPC" => "(os error 28)",
        "EROFS" => "(os error 30)",
        "EDQUOT" => "(os error 122)",
        "EMFILE" => "(os error 24)",
        _ => "\0",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_explains_a_refusal_and_nothing_else() {
        for (path, value, expected) in SWITCHES {
            let read = |asked: &str| (asked == path).then(|| format!("{value}\n"));
            assert_eq!(mend("clone3(CLONE_NEWUSER) = EPERM (Operation not permitted)", &read), Some(expected));
            assert_eq!(mend("pod.yaml:3: spec: unknown field", &read), None);
        }
    }

    #[test]
    fn a_call_and_its_errno_tell_the_cause() {
        for (what, expected) in [
            ("clone3(x) = ENOSPC (No space left on device)", "a limit on namespaces"),
            ("mount(\"overlay\", \"/x\") = EINVAL (Invalid argument)", "overlayfs"),
            ("mount(\"proc\", the pod's /proc) = EPERM (Operation not permitted)", "systempaths"),
            ("mkdir(\"/x\") = ENOSPC (No space left on device)", "full"),
            ("write(standard output) = ENOSPC (No space left on device)", "own output"),
            ("execve(\"/usr/bin/newuidmap\") = EAGAIN (Try again)", "ulimit -u"),
            ("mkdir(\"/x\") = EROFS (Read-only file system)", "XDG_DATA_HOME"),
            ("create(\"/v/x\") for a mount = EROFS (Read-only file system)", "another mountPath"),
        ] {
            assert!(mend(what, &|_| None).is_some_and(|mend| mend.contains(expected)), "{what}");
        }
        assert_eq!(mend("kill(1) = ESRCH (No such process)", &|_| None), None);
    }
}
