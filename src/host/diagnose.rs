//! The likely cause, on this host, of a refused namespace or mount, and the one command that mends it.

use crate::error::Error;

/// Adds the mend to an error whose cause this host's settings explain; other errors come back as they are.
pub fn explain(error: Error) -> Error {
    if error.hint().is_some() {
        return error;
    }
    match cause(&|path| std::fs::read_to_string(path).ok()) {
        Some(mend) if error.what().contains("EPERM") || error.what().contains("ENOSPC") || error.what().contains("EACCES") || error.what().contains("no word") => {
            error.mend(mend)
        }
        _ if error.what().contains("ENOSPC") && error.what().contains("clone3") => error.mend(
            "a limit on namespaces is reached: look at /proc/sys/user/max_*_namespaces, \
             and raise it: sudo sysctl user.max_user_namespaces=15000",
        ),
        _ if error.what().contains("overlay") && (error.what().contains("EPERM") || error.what().contains("ENODEV")) => error.mend(
            "this kernel does not let an ordinary user mount overlayfs: podling needs Linux 5.13 or newer with the overlay module \
             (sudo modprobe overlay)",
        ),
        _ if error.what().contains("clone3") && error.what().contains("EPERM") => error.mend(
            "a sandbox or security policy around podling forbids new user namespaces; inside a container, \
             allow clone3, unshare and mount (docker: --security-opt seccomp=unconfined --security-opt systempaths=unconfined)",
        ),
        _ => error,
    }
}

/// Reads the settings by `read`, so that a test can give it any host.
fn cause(read: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    let is = |path: &str, value: &str| read(path).is_some_and(|text| text.trim() == value);
    if is("/proc/sys/user/max_user_namespaces", "0") {
        return Some("user namespaces are switched off here: sudo sysctl user.max_user_namespaces=15000".to_owned());
    }
    if is("/proc/sys/kernel/unprivileged_userns_clone", "0") {
        return Some(
            "unprivileged user namespaces are switched off here: sudo sysctl kernel.unprivileged_userns_clone=1"
                .to_owned(),
        );
    }
    if is("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1") {
        return Some(
            "AppArmor takes the capabilities from unprivileged user namespaces here: \
             sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0, or give podling an AppArmor profile with `userns,`"
                .to_owned(),
        );
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_switch_has_its_own_mend() {
        for (path, value, mend) in [
            ("/proc/sys/user/max_user_namespaces", "0\n", "user.max_user_namespaces"),
            ("/proc/sys/kernel/unprivileged_userns_clone", "0\n", "unprivileged_userns_clone=1"),
            ("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1\n", "AppArmor"),
        ] {
            let read = |asked: &str| (asked == path).then(|| value.to_owned());
            assert!(cause(&read).is_some_and(|said| said.contains(mend)), "{path}");
        }
        assert_eq!(cause(&|_| None), None);
    }
}
