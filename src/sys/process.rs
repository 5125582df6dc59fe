//! Small calls about this process that nix lacks.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use nix::errno::Errno;

use super::SysError;

/// Closes every descriptor but 0, 1, 2 and `kept` (close_range(2)), for a process that never uses its copies of the others again:
/// their owners in memory must not be dropped afterwards.
///
/// # Errors
/// The failed call.
pub fn close_all_but(kept: &[BorrowedFd]) -> Result<(), SysError> {
    let mut kept: Vec<u32> = kept.iter().map(|fd| fd.as_raw_fd().unsigned_abs()).filter(|fd| *fd > 2).collect();
    kept.sort_unstable();
    let mut first = 3;
    for end in kept.into_iter().map(Some).chain([None]) {
        let last = end.map_or(u32::MAX, |fd| fd - 1);
        if first <= last {
            // SAFETY: the caller's contract; what is opened later gets a number of its own.
            let r = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
            Errno::result(r).map_err(|errno| SysError::new(format!("close_range({first}, {last})"), errno))?;
        }
        first = last.saturating_add(2);
    }
    Ok(())
}

/// Whether this process ignores `signal`, as nohup(1) and a shell's background jobs have it.
pub fn is_ignored(signal: i32) -> bool {
    // SAFETY: an all-zero sigaction is valid; a null new action only asks for the present one.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: as above.
    let r = unsafe { libc::sigaction(signal, std::ptr::null(), &raw mut action) };
    r == 0 && action.sa_sigaction == libc::SIG_IGN
}

/// Closes descriptors by number in a process that has just been cloned, and whose copies of their owners are never dropped.
pub fn close_numbers(fds: &[RawFd]) {
    for &fd in fds {
        // SAFETY: nothing in this process uses the number again (the caller's contract), so no other descriptor is closed instead.
        unsafe { libc::close(fd) };
    }
}

/// Puts this thread and its children behind a seccomp filter (seccomp(2)), and sets nothing else: `no_new_privs` stays as it is, so
/// where that is not set the thread must have CAP_SYS_ADMIN in its user namespace.
///
/// # Errors
/// The failed call.
pub fn load_filter(program: &[seccompiler::sock_filter]) -> Result<(), SysError> {
    let failed =
        |errno| SysError::new(format!("seccomp(SECCOMP_SET_MODE_FILTER, {} instructions)", program.len()), errno);
    let len = u16::try_from(program.len()).map_err(|_| failed(Errno::E2BIG))?;
    let program = libc::sock_fprog { len, filter: program.as_ptr().cast_mut().cast() };
    // SAFETY: seccompiler's sock_filter is the kernel's, field by field; the kernel copies `len` of them and keeps no pointer.
    let r = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program) };
    Errno::result(r).map(drop).map_err(failed)
}

/// Makes every signal do what it does by default, and blocks none, as a fresh program expects.
pub fn default_signals() {
    for signal in 1..=libc::SIGRTMAX() {
        // SAFETY: SIG_DFL is a valid disposition for every signal; the kernel refuses SIGKILL and SIGSTOP, which need no reset.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    let _ = nix::sys::signal::sigprocmask(
        nix::sys::signal::SigmaskHow::SIG_SETMASK,
        Some(&nix::sys::signal::SigSet::empty()),
        None,
    );
}

/// A NUL-terminated list of strings, as execve(2) takes its arguments and environment.
#[derive(Debug)]
pub struct StringList {
    strings: Vec<CString>,
    pointers: Vec<*const libc::c_char>,
}

impl StringList {
    /// Keeps the strings and builds the pointers to them.
    pub fn new(strings: Vec<CString>) -> Self {
        let pointers = strings.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect();
        StringList { strings, pointers }
    }

    /// The strings.
    pub fn strings(&self) -> &[CString] {
        &self.strings
    }
}

/// Replaces this process by the program that `file` refers to (execveat(2)); returns only the reason why it could not.
pub fn execute(file: impl AsFd, argv: &StringList, envp: &StringList) -> Errno {
    // SAFETY: the path is an empty NUL-terminated string, and both lists end with a null pointer and point to NUL-terminated strings
    // that the lists own and never change.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            file.as_fd().as_raw_fd(),
            c"".as_ptr(),
            argv.pointers.as_ptr(),
            envp.pointers.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    Errno::last()
}

/// Has this process ignore `signal`; programs that it executes go on ignoring it unless they are told otherwise.
pub fn ignore(signal: i32) {
    // SAFETY: SIG_IGN is a valid disposition for every signal that can be ignored; the kernel refuses the others.
    unsafe { libc::signal(signal, libc::SIG_IGN) };
}

/// Gives memory that the allocator holds and nothing uses back to the kernel (malloc_trim(3)).
pub fn give_memory_back() {
    // SAFETY: it has no preconditions; no other thread of this process is in the allocator, since there is none.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0)
    };
}

/// Makes this process reap its children without waiting for them (sigaction(2), `SIG_IGN` for `SIGCHLD`).
pub fn reap_by_itself() {
    // SAFETY: SIG_IGN is a valid disposition of SIGCHLD.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
}

/// Replaces this process by the program at `path`; returns only the reason why it could not.
pub fn execve(path: &CStr, argv: &StringList, envp: &StringList) -> Errno {
    // SAFETY: both lists end with a null pointer and point to NUL-terminated strings that the lists own and never change.
    unsafe { libc::execve(path.as_ptr(), argv.pointers.as_ptr(), envp.pointers.as_ptr()) };
    Errno::last()
}

/// Brings up the loopback interface of this process's network namespace (netdevice(7), `SIOCSIFFLAGS`).
///
/// # Errors
/// The failed call.
pub fn loopback_up() -> Result<(), SysError> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
    let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)
        .map_err(|errno| SysError::new("socket(AF_INET, SOCK_DGRAM)", errno))?;
    // SAFETY: an all-zero ifreq is valid: an empty name and no flags.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l' as libc::c_char;
    request.ifr_name[1] = b'o' as libc::c_char;
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: the request is a whole ifreq that names an interface, and the socket is open.
    let r = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw const request) };
    Errno::result(r).map(drop).map_err(|errno| SysError::new("ioctl(\"lo\", SIOCSIFFLAGS, IFF_UP)", errno))
}

/// Writes `title` in the place of this process's arguments, as far as they were long enough for it: who reads its command line,
/// and that of its children, which takes no right (proc_pid_cmdline(5)), no longer finds the arguments there.
///
/// # Errors
/// The kernel does not say where they are.
pub fn replace_arguments(title: &str) -> Result<(), SysError> {
    let failed = |what: &str, errno| SysError::new(format!("{what}(\"/proc/self/stat\")"), errno);
    let stat = std::fs::read_to_string("/proc/self/stat")
        .map_err(|e| failed("read", Errno::from_raw(e.raw_os_error().unwrap_or(libc::EIO))))?;
    let Some((start, end)) = arguments_in(&stat) else {
        return Err(failed("look for the arguments in ", Errno::EINVAL));
    };
    let len = end.saturating_sub(start);
    // The last byte stays NUL, so that what follows, the environment, is no part of it.
    let mut text: Vec<u8> = title.bytes().filter(|b| *b != 0).take(len.saturating_sub(1)).collect();
    text.resize(len, 0);
    // SAFETY: the kernel put the arguments there, between these two addresses, into memory of this process's stack that stays mapped
    // and writable; no other thread runs, and no reference into it is alive: std copies arguments whenever it is asked for them.
    unsafe { std::ptr::with_exposed_provenance_mut::<u8>(start).copy_from_nonoverlapping(text.as_ptr(), len) };
    Ok(())
}

/// Where a process's arguments begin and end, from its `stat` (proc_pid_stat(5), fields 48 and 49, counted behind the name, field 2).
fn arguments_in(stat: &str) -> Option<(usize, usize)> {
    let mut fields = stat.rsplit_once(") ")?.1.split(' ').skip(48 - 3);
    let (start, end) = (fields.next()?.trim().parse().ok()?, fields.next()?.trim().parse().ok()?);
    (start != 0 && start <= end).then_some((start, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_says_where_the_arguments_are() {
        let (start, end) = arguments_in(&std::fs::read_to_string("/proc/self/stat").unwrap()).unwrap();
        assert_eq!(end - start, std::fs::read("/proc/self/cmdline").unwrap().len());
        // A name may look like the end of itself; zeros are what the kernel says to whom it does not tell.
        let fields = |start: &str| format!("7 (a) b) R {}{start} 250 0\n", "1 ".repeat(44));
        assert_eq!(arguments_in(&fields("200")), Some((200, 250)));
        assert_eq!(arguments_in(&fields("0")), None);
        assert_eq!(arguments_in(&fields("251")), None);
        assert_eq!(arguments_in("7 (a) R 1"), None);
    }
}
