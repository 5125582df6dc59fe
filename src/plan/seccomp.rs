//! RuntimeDefault: the system calls that a container may make.
//!
//! The semantics are those of moby's default profile as its JSON was in June 2026, resolved for 64-bit x86 and ARM and
//! for the container's own capabilities: what is not listed fails with EPERM. With it goes what runc adds to every such
//! profile, and podling's runtime too: a call that is newer than the newest named here fails with ENOSYS, since C
//! libraries fall back to an older call on that errno only. New user namespaces, the mount API, io_uring, the key
//! rings, bpf, userfaultfd and the AF_ALG and AF_VSOCK sockets are what the list leaves out.

use oci_spec::runtime::{
    Arch, Capabilities, Capability, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompArgBuilder,
    LinuxSeccompOperator, LinuxSyscall,
};

use crate::error::{Error, Result};
use crate::host::HostFacts;

/// The profile of a container that holds `capabilities` in its own user namespace.
pub(super) fn runtime_default(capabilities: &Capabilities, host: &HostFacts) -> Result<LinuxSeccomp> {
    let mut rules = Vec::new();
    if host.ids.is_single() {
        // Only one id exists, so a change of owner can only be an illusion: errno 0 is success.
        rules.push(errno(CHANGE_OWNER, libc_errno::SUCCESS));
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
    rules.push(allow_if("clone", argument(0, LinuxSeccompOperator::ScmpCmpMaskedEq, NEW_NAMESPACES, Some(0))?));
    // Its flags are behind a pointer that no filter can follow; on ENOSYS libraries use clone instead.
    rules.push(errno(&["clone3"], libc_errno::ENOSYS));
    let mut profile = LinuxSeccomp::default();
    profile
        .set_default_action(LinuxSeccompAction::ScmpActErrno)
        .set_default_errno_ret(Some(libc_errno::EPERM))
        .set_architectures(architecture(&host.arch).map(|arch| vec![arch]))
        .set_syscalls(Some(rules));
    Ok(profile)
}

/// errno values as the OCI spec wants them; these three are the same on every architecture podling has a table for.
mod libc_errno {
    pub const SUCCESS: u32 = 0;
    pub const EPERM: u32 = 1;
    pub const ENOSYS: u32 = 38;
}

/// CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET.
const NEW_NAMESPACES: u64 = 0x7e02_0000;

/// PER_LINUX, PER_LINUX32, either with UNAME26, and the question which one it is.
const PERSONALITIES: [u64; 5] = [0x0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];

const CHANGE_OWNER: &[&str] = &["chown", "fchown", "fchownat", "lchown"];

/// What a capability opens besides. Capabilities that no container of podling holds are not here.
const WITH_CAPABILITY: &[(Capability, &[&str])] = &[
    (Capability::DacReadSearch, &["open_by_handle_at"]),
    (Capability::SysChroot, &["chroot"]),
    (Capability::SysPtrace, &["kcmp", "pidfd_getfd", "process_madvise"]),
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
