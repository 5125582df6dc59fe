//! RuntimeDefault: the system calls that a container may make.
//!
//! The semantics are those of moby's default profile as its JSON was in June 2026, resolved for 64-bit x86 and ARM and
//! for the container's own capabilities: what is not listed fails with EPERM. With it goes what runc adds to every such
//! profile, and podling's runtime too: a call that is newer than the newest named here fails with ENOSYS, since C
//! libraries fall back to an older call on that errno only. New user namespaces, the mount API, io_uring, the key
//! rings, bpf, userfaultfd and the AF_ALG and AF_VSOCK sockets are what the list leaves out.

mod localhost;

use k8s_openapi::api::core::v1::SeccompProfile;
use oci_spec::runtime::{
    Arch, Capabilities, Capability, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompArgBuilder,
    LinuxSeccompOperator, LinuxSyscall,
};

use super::Verdict;
use super::scope::Subject;
use super::security::{self, Privilege};
use crate::error::{Error, Result};
use crate::host::HostFacts;

/// The filter of a container that holds `capabilities`: its own profile goes before the pod's, none is RuntimeDefault, and a privileged
/// container has none.
///
/// # Errors
/// For a profile of the host that cannot be read, or asks for what a filter of podling's cannot do.
pub(super) fn profile(
    subject: &Subject,
    capabilities: &Capabilities,
    report: &mut Vec<Verdict>,
) -> Result<Option<LinuxSeccomp>> {
    let host = subject.scope.host;
    let (path, said) = said(subject);
    let kind = said.map_or("RuntimeDefault", |profile| profile.type_.as_str());
    if security::privilege(subject) == Privilege::Privileged || kind == "Unconfined" {
        if host.ids.is_single() {
            let how =
                "no filter answers for a change of a file's owner, which fails: the caller has no subordinate ids";
            report.push(subject.scope.verdict(path, how));
        }
        return Ok(None);
    }
    match said.filter(|_| kind == "Localhost").and_then(|profile| profile.localhost_profile.as_ref()) {
        Some(name) => {
            localhost::profile(subject, &format!("{path}.localhostProfile"), name, capabilities, report).map(Some)
        }
        None if ["RuntimeDefault", ""].contains(&kind) => runtime_default(capabilities, host).map(Some),
        None => Err(subject.scope.error(&format!("{path}.type"), format!("{kind:?} without a profile"))),
    }
}

/// The profile that decides about a container, and where it is written.
fn said<'a>(subject: &Subject<'a>) -> (String, Option<&'a SeccompProfile>) {
    let own = subject.container.security_context.as_ref().and_then(|c| c.seccomp_profile.as_ref());
    let path = format!("{}.securityContext.seccompProfile", subject.path);
    match (own, subject.scope.spec.security_context.as_ref().and_then(|p| p.seccomp_profile.as_ref())) {
        (None, Some(profile)) if security::privilege(subject) == Privilege::Usual => {
            ("spec.securityContext.seccompProfile".to_owned(), Some(profile))
        }
        (own, _) => (path, own),
    }
}

/// The profile of a container that holds `capabilities` in its own user namespace.
pub(super) fn runtime_default(capabilities: &Capabilities, host: &HostFacts) -> Result<LinuxSeccomp> {
    let mut rules = Vec::new();
    if host.ids.is_single() {
        // Only one id exists, so a change of owner can only be an illusion: errno 0 is success.
        rules.push(errno(CHANGE_OWNER, value::SUCCESS));
        rules.push(allow(ALWAYS.iter().filter(|name| !CHANGE_OWNER.contains(name)).copied()));
    } else {
        rules.push(allow(ALWAYS.iter().copied()));
    }
    for (capability, names) in WITH_CAPABILITY {
        if capabilities.contains(capability) {
            rules.push(allow(names.iter().copied()));
        }
    }
    // Each family by its whole 64-bit value: the kernel looks at the lower half only, so "greater than 40" would let
    // the upper half smuggle AF_ALG (38) or AF_VSOCK (40) in.
    rules.push(allow_if("socket", argument(0, LinuxSeccompOperator::ScmpCmpLt, 38, None)?));
    for family in [39, 41, 42, 43, 44, 45] {
        rules.push(allow_if("socket", argument(0, LinuxSeccompOperator::ScmpCmpEq, family, None)?));
    }
    for persona in PERSONALITIES {
        rules.push(allow_if("personality", argument(0, LinuxSeccompOperator::ScmpCmpEq, persona, None)?));
    }
    if !capabilities.contains(&Capability::SysAdmin) {
        rules.push(allow_if("clone", argument(0, LinuxSeccompOperator::ScmpCmpMaskedEq, NEW_NAMESPACES, Some(0))?));
        // Its flags are behind a pointer that no filter can follow; on ENOSYS libraries use clone instead.
        rules.push(errno(&["clone3"], value::ENOSYS));
    }
    let mut profile = LinuxSeccomp::default();
    profile
        .set_default_action(LinuxSeccompAction::ScmpActErrno)
        .set_default_errno_ret(Some(value::EPERM))
        .set_architectures(architecture(&host.arch).map(|arch| vec![arch]))
        .set_syscalls(Some(rules));
    Ok(profile)
}

/// errno values as the OCI spec wants them; these three are the same on every architecture podling has a table for.
mod value {
    pub const SUCCESS: u32 = 0;
    pub const EPERM: u32 = 1;
    pub const ENOSYS: u32 = 38;
}

/// CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET.
const NEW_NAMESPACES: u64 = 0x7e02_0000;

/// PER_LINUX, PER_LINUX32, either with UNAME26, and the question which one it is.
const PERSONALITIES: [u64; 5] = [0x0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];

const CHANGE_OWNER: &[&str] = &["chown", "fchown", "fchownat", "lchown"];

/// What a capability opens besides.
const WITH_CAPABILITY: &[(Capability, &[&str])] = &[
    (Capability::Bpf, &["bpf"]),
    (Capability::DacReadSearch, &["open_by_handle_at"]),
    (Capability::Perfmon, &["perf_event_open"]),
    (Capability::SysAdmin, WITH_SYS_ADMIN),
    (Capability::SysBoot, &["reboot"]),
    (Capability::SysChroot, &["chroot"]),
    (Capability::SysModule, &["delete_module", "finit_module", "init_module"]),
    (Capability::SysNice, &["get_mempolicy", "mbind", "set_mempolicy", "set_mempolicy_home_node"]),
    (Capability::SysPacct, &["acct"]),
    (Capability::SysPtrace, &["kcmp", "pidfd_getfd", "process_madvise"]),
    (Capability::SysRawio, &["ioperm", "iopl"]),
    (Capability::SysTime, &["clock_settime", "settimeofday"]),
    (Capability::SysTtyConfig, &["vhangup"]),
    (Capability::Syslog, &["syslog"]),
];

#[rustfmt::skip]
const WITH_SYS_ADMIN: &[&str] = &[
    "bpf", "clone", "clone3", "fanotify_init", "fsconfig", "fsmount", "fsopen", "fspick", "lookup_dcookie", "mount",
    "mount_setattr", "move_mount", "open_tree", "open_tree_attr", "perf_event_open", "pivot_root", "quotactl",
    "quotactl_fd", "setdomainname", "sethostname", "setns", "syslog", "umount2", "unshare",
];

fn rule(names: impl IntoIterator<Item = impl Into<String>>, action: LinuxSeccompAction) -> LinuxSyscall {
    let mut rule = LinuxSyscall::default();
    rule.set_names(names.into_iter().map(Into::into).collect()).set_action(action);
    rule
}

fn allow(names: impl IntoIterator<Item = &'static str>) -> LinuxSyscall {
    rule(names, LinuxSeccompAction::ScmpActAllow)
}

fn allow_if(name: &str, argument: LinuxSeccompArg) -> LinuxSyscall {
    let mut rule = rule([name], LinuxSeccompAction::ScmpActAllow);
    rule.set_args(Some(vec![argument]));
    rule
}

fn errno(names: &[&str], errno: u32) -> LinuxSyscall {
    let mut rule = rule(names.iter().copied(), LinuxSeccompAction::ScmpActErrno);
    rule.set_errno_ret(Some(errno));
    rule
}

fn argument(index: usize, op: LinuxSeccompOperator, value: u64, two: Option<u64>) -> Result<LinuxSeccompArg> {
    let builder = LinuxSeccompArgBuilder::default().index(index).op(op).value(value);
    let builder = if let Some(two) = two { builder.value_two(two) } else { builder };
    builder.build().map_err(|e| Error::new(e.to_string()))
}

fn architecture(arch: &str) -> Option<Arch> {
    match arch {
        "amd64" => Some(Arch::ScmpArchX86_64),
        "arm64" => Some(Arch::ScmpArchAarch64),
        _ => None,
    }
}

/// Calls that are allowed whatever their arguments and whatever the container holds.
#[rustfmt::skip]
const ALWAYS: &[&str] = &[
    "accept", "accept4", "access", "adjtimex", "alarm", "arch_prctl", "bind", "brk", "cachestat", "capget", "capset",
    "chdir", "chmod", "chown", "clock_adjtime", "clock_getres", "clock_gettime", "clock_nanosleep", "close",
    "close_range", "connect", "copy_file_range", "creat", "dup", "dup2", "dup3", "epoll_create", "epoll_create1",
    "epoll_ctl", "epoll_ctl_old", "epoll_pwait", "epoll_pwait2", "epoll_wait", "epoll_wait_old", "eventfd",
    "eventfd2", "execve", "execveat", "exit", "exit_group", "faccessat", "faccessat2", "fadvise64", "fallocate",
    "fanotify_mark", "fchdir", "fchmod", "fchmodat", "fchmodat2", "fchown", "fchownat", "fcntl", "fdatasync",
    "fgetxattr", "file_getattr", "file_setattr", "flistxattr", "flock", "fork", "fremovexattr", "fsetxattr", "fstat",
    "fstatfs", "fsync", "ftruncate", "futex", "futex_requeue", "futex_wait", "futex_waitv", "futex_wake",
    "futimesat", "get_robust_list", "get_thread_area", "getcpu", "getcwd", "getdents", "getdents64", "getegid",
    "geteuid", "getgid", "getgroups", "getitimer", "getpeername", "getpgid", "getpgrp", "getpid", "getppid",
    "getpriority", "getrandom", "getresgid", "getresuid", "getrlimit", "getrusage", "getsid", "getsockname",
    "getsockopt", "gettid", "gettimeofday", "getuid", "getxattr", "getxattrat", "inotify_add_watch", "inotify_init",
    "inotify_init1", "inotify_rm_watch", "io_cancel", "io_destroy", "io_getevents", "io_pgetevents", "io_setup",
    "io_submit", "ioctl", "ioprio_get", "ioprio_set", "kill", "landlock_add_rule", "landlock_create_ruleset",
    "landlock_restrict_self", "lchown", "lgetxattr", "link", "linkat", "listen", "listmount", "listxattr",
    "listxattrat", "llistxattr", "lremovexattr", "lseek", "lsetxattr", "lstat", "madvise", "map_shadow_stack",
    "membarrier", "memfd_create", "memfd_secret", "mincore", "mkdir", "mkdirat", "mknod", "mknodat", "mlock",
    "mlock2", "mlockall", "mmap", "modify_ldt", "mprotect", "mq_getsetattr", "mq_notify", "mq_open",
    "mq_timedreceive", "mq_timedsend", "mq_unlink", "mremap", "mseal", "msgctl", "msgget", "msgrcv", "msgsnd",
    "msync", "munlock", "munlockall", "munmap", "name_to_handle_at", "nanosleep", "newfstatat", "open", "openat",
    "openat2", "pause", "pidfd_open", "pidfd_send_signal", "pipe", "pipe2", "pkey_alloc", "pkey_free",
    "pkey_mprotect", "poll", "ppoll", "prctl", "pread64", "preadv", "preadv2", "prlimit64", "process_mrelease",
    "process_vm_readv", "process_vm_writev", "pselect6", "ptrace", "pwrite64", "pwritev", "pwritev2", "read",
    "readahead", "readlink", "readlinkat", "readv", "recvfrom", "recvmmsg", "recvmsg", "remap_file_pages",
    "removexattr", "removexattrat", "rename", "renameat", "renameat2", "restart_syscall", "rmdir", "rseq",
    "rt_sigaction", "rt_sigpending", "rt_sigprocmask", "rt_sigqueueinfo", "rt_sigreturn", "rt_sigsuspend",
    "rt_sigtimedwait", "rt_tgsigqueueinfo", "sched_get_priority_max", "sched_get_priority_min", "sched_getaffinity",
    "sched_getattr", "sched_getparam", "sched_getscheduler", "sched_rr_get_interval", "sched_setaffinity",
    "sched_setattr", "sched_setparam", "sched_setscheduler", "sched_yield", "seccomp", "select", "semctl", "semget",
    "semop", "semtimedop", "sendfile", "sendmmsg", "sendmsg", "sendto", "set_robust_list", "set_thread_area",
    "set_tid_address", "setfsgid", "setfsuid", "setgid", "setgroups", "setitimer", "setpgid", "setpriority",
    "setregid", "setresgid", "setresuid", "setreuid", "setrlimit", "setsid", "setsockopt", "setuid", "setxattr",
    "setxattrat", "shmat", "shmctl", "shmdt", "shmget", "shutdown", "sigaltstack", "signalfd", "signalfd4",
    "socketpair", "splice", "stat", "statfs", "statmount", "statx", "symlink", "symlinkat", "sync",
    "sync_file_range", "syncfs", "sysinfo", "tee", "tgkill", "time", "timer_create", "timer_delete",
    "timer_getoverrun", "timer_gettime", "timer_settime", "timerfd_create", "timerfd_gettime", "timerfd_settime",
    "times", "tkill", "truncate", "umask", "uname", "unlink", "unlinkat", "uretprobe", "utime", "utimensat",
    "utimes", "vfork", "vmsplice", "wait4", "waitid", "write", "writev",
];

#[cfg(test)]
mod tests {
    use oci_spec::runtime::{Capabilities, LinuxSeccomp};

    use super::*;
    use crate::host::{IdExtent, IdMap};
    use crate::runtime::seccomp::interpret::{ALLOW, ENOSYS, EPERM, NATIVE, call, exists, run};

    const SUCCESS: u32 = 0x0005_0000;

    fn profile(capabilities: &[Capability], ids: u32) -> LinuxSeccomp {
        let extents = vec![IdExtent { inside: 0, outside: 1000, count: ids }];
        let ids = IdMap { uids: extents.clone(), gids: extents };
        let host = HostFacts::sample(ids);
        let capabilities: Capabilities = capabilities.iter().copied().collect();
        runtime_default(&capabilities, &host).unwrap()
    }

    #[test]
    fn every_name_is_a_system_call() {
        let profile = profile(&WITH_CAPABILITY.iter().map(|(capability, _)| *capability).collect::<Vec<_>>(), 2);
        for name in profile.syscalls().iter().flatten().flat_map(LinuxSyscall::names) {
            assert!(exists(name), "{name}");
        }
    }

    #[test]
    fn what_containers_need_and_what_they_must_not() {
        let profile = profile(&[], 2);
        for (name, first, expected) in [
            ("openat2", 0, ALLOW),
            ("statx", 0, ALLOW),
            ("faccessat2", 0, ALLOW),
            ("close_range", 0, ALLOW),
            ("rseq", 0, ALLOW),
            ("landlock_create_ruleset", 0, ALLOW),
            ("futex_waitv", 0, ALLOW),
            ("ptrace", 0, ALLOW),
            ("fchownat", 0, ALLOW),
            // SIGCHLD alone, a thread, then each with a new user namespace.
            ("clone", 17, ALLOW),
            ("clone", 0x003d_0f00, ALLOW),
            ("clone", 0x1000_0011, EPERM),
            ("clone", 0x0002_0011, EPERM),
            ("clone", 0xffff_ffff_1000_0011, EPERM),
            ("clone3", 0, ENOSYS),
            ("unshare", 0x1000_0000, EPERM),
            ("setns", 0, EPERM),
            ("mount", 0, EPERM),
            ("umount2", 0, EPERM),
            ("pivot_root", 0, EPERM),
            ("open_tree", 0, EPERM),
            ("open_tree_attr", 0, EPERM),
            ("move_mount", 0, EPERM),
            ("fsopen", 0, EPERM),
            ("fsconfig", 0, EPERM),
            ("fsmount", 0, EPERM),
            ("fspick", 0, EPERM),
            ("mount_setattr", 0, EPERM),
            ("io_uring_setup", 0, EPERM),
            ("io_uring_enter", 0, EPERM),
            ("io_uring_register", 0, EPERM),
            ("keyctl", 0, EPERM),
            ("add_key", 0, EPERM),
            ("request_key", 0, EPERM),
            ("bpf", 0, EPERM),
            ("userfaultfd", 0, EPERM),
            ("perf_event_open", 0, EPERM),
            ("chroot", 0, EPERM),
            ("kcmp", 0, EPERM),
            ("open_by_handle_at", 0, EPERM),
            ("socket", 1, ALLOW),
            ("socket", 2, ALLOW),
            ("socket", 16, ALLOW),
            ("socket", 38, EPERM),
            ("socket", 40, EPERM),
            ("socket", 44, ALLOW),
            ("socket", 1 << 32 | 38, EPERM),
            ("socket", 1 << 32 | 40, EPERM),
            ("personality", 0xffff_ffff, ALLOW),
            ("personality", 0x0004_0000, EPERM),
        ] {
            assert_eq!(call(&profile, name, [first, 0, 0, 0, 0, 0]), expected, "{name}({first:#x})");
        }
        let program = &crate::runtime::seccomp::compile(&profile).unwrap()[0];
        assert_eq!(run(program, NATIVE, 471, [0; 6]), ENOSYS, "a call newer than the profile");
    }

    #[test]
    fn capabilities_open_calls() {
        for (capability, name) in [
            (Capability::SysChroot, "chroot"),
            (Capability::SysPtrace, "kcmp"),
            (Capability::SysPtrace, "pidfd_getfd"),
            (Capability::DacReadSearch, "open_by_handle_at"),
            (Capability::SysAdmin, "mount"),
            (Capability::SysAdmin, "unshare"),
            (Capability::SysAdmin, "sethostname"),
            (Capability::SysBoot, "reboot"),
            (Capability::SysTime, "clock_settime"),
        ] {
            assert_eq!(call(&profile(&[], 2), name, [0; 6]), EPERM, "{name}");
            assert_eq!(call(&profile(&[capability], 2), name, [0; 6]), ALLOW, "{name}");
        }
        let admin = profile(&[Capability::SysAdmin], 2);
        assert_eq!(call(&admin, "clone", [0x1000_0011, 0, 0, 0, 0, 0]), ALLOW);
        assert_eq!(call(&admin, "clone3", [0; 6]), ALLOW);
    }

    #[test]
    fn with_one_id_a_change_of_owner_succeeds_and_does_nothing() {
        for name in CHANGE_OWNER.iter().filter(|name| !cfg!(target_arch = "aarch64") || name.starts_with('f')) {
            assert_eq!(call(&profile(&[], 1), name, [0; 6]), SUCCESS, "{name}");
            assert_eq!(call(&profile(&[], 2), name, [0; 6]), ALLOW, "{name}");
        }
        assert_eq!(call(&profile(&[], 1), "read", [0; 6]), ALLOW);
    }
}
