//! Runs compiled programs as the kernel would, for tests.

use oci_spec::runtime::LinuxSeccomp;
use seccompiler::sock_filter;

use super::{compile, numbers};

pub(crate) const ALLOW: u32 = 0x7fff_0000;
pub(crate) const KILL_PROCESS: u32 = 0x8000_0000;
pub(crate) const EPERM: u32 = 0x0005_0001;
pub(crate) const ENOSYS: u32 = 0x0005_0026;
#[cfg(target_arch = "x86_64")]
pub(crate) const NATIVE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
pub(crate) const NATIVE: u32 = 0xc000_00b7;

/// What `profile` answers to the call `name`, which the architecture must have.
pub(crate) fn call(profile: &LinuxSeccomp, name: &str, args: [u64; 6]) -> u32 {
    let programs = compile(profile).unwrap();
    run(&programs[0], NATIVE, numbers::number(name).unwrap(), args)
}

/// Whether some architecture has a call of this name.
pub(crate) fn exists(name: &str) -> bool {
    numbers::names().any(|known| known == name)
}

/// What the program answers to a call: the subset of classic BPF that seccomp filters here use.
pub(crate) fn run(program: &[sock_filter], arch: u32, number: u32, args: [u64; 6]) -> u32 {
    let (mut at, mut accumulator) = (0, 0u32);
    loop {
        let op = &program[at];
        at += 1;
        let branch = |holds: bool| usize::from(if holds { op.jt } else { op.jf });
        match op.code {
            0x20 => {
                accumulator = match op.k {
                    0 => number,
                    4 => arch,
                    k => {
                        let arg = args[(k as usize - 16) / 8];
                        if k % 8 == 0 { arg as u32 } else { (arg >> 32) as u32 }
                    }
                }
            }
            0x54 => accumulator &= op.k,
            0x05 => at += op.k as usize,
            0x15 => at += branch(accumulator == op.k),
            0x25 => at += branch(accumulator > op.k),
            0x35 => at += branch(accumulator >= op.k),
            0x06 => return op.k,
            other => panic!("instruction {other:#x}"),
        }
    }
}
