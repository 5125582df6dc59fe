//! Names of signals.

/// The number of the signal that `stopSignal` or an image's `StopSignal` names: `SIGTERM`, `TERM`, `15`, `SIGRTMIN+3`, `RTMAX-1`.
///
/// `None` for a name that this architecture does not have. The real-time signals are numbered as glibc and musl number
/// them for programs, 34 to 64, not as the kernel does.
pub fn number(name: &str) -> Option<i32> {
    const RTMIN: i32 = 34;
    const RTMAX: i32 = 64;
    let in_range = |n: i32| (1..=RTMAX).contains(&n).then_some(n);
    if let Ok(n) = name.parse::<i32>() {
        return in_range(n);
    }
    let upper = name.to_ascii_uppercase();
    let short = upper.strip_prefix("SIG").unwrap_or(&upper);
    let realtime = |base: i32, offset: &str| -> Option<i32> {
        let offset = if offset.is_empty() { 0 } else { offset.parse::<i32>().ok()? };
        base.checked_add(offset).filter(|n| (RTMIN..=RTMAX).contains(n))
    };
    if let Some(offset) = short.strip_prefix("RTMIN") {
        return realtime(RTMIN, offset);
    }
    if let Some(offset) = short.strip_prefix("RTMAX") {
        return realtime(RTMAX, offset);
    }
    // Second names of the same numbers (signal(7)).
    match short {
        "IOT" => return Some(libc::SIGIOT),
        "POLL" => return Some(libc::SIGPOLL),
        "CLD" => return Some(libc::SIGCHLD),
        _ => {}
    }
    nix::sys::signal::Signal::iterator()
        .find(|signal| signal.as_str().strip_prefix("SIG") == Some(short))
        .map(|s| s as i32)
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn names_numbers_and_real_time_signals() {
        for (name, expected) in [
            ("SIGTERM", Some(15)),
            ("TERM", Some(15)),
            ("term", Some(15)),
            ("15", Some(15)),
            ("SIGKILL", Some(9)),
            ("SIGQUIT", Some(3)),
            ("SIGWINCH", Some(28)),
            ("SIGIOT", Some(6)),
            ("SIGPOLL", Some(29)),
            ("SIGCLD", Some(17)),
            ("SIGPWR", Some(30)),
            ("SIGSTKFLT", Some(16)),
            ("SIGRTMIN", Some(34)),
            ("SIGRTMIN+3", Some(37)),
            ("RTMIN+3", Some(37)),
            ("RTMAX-1", Some(63)),
            ("RTMAX+1", None),
            ("RTMIN+99999999999", None),
            ("0", None),
            ("65", None),
            ("-9", None),
            ("", None),
            ("SIG", None),
            ("SIGNOPE", None),
        ] {
            assert_eq!(number(name), expected, "{name}");
        }
    }
}
