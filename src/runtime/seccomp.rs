//! Compiles the seccomp section of an OCI spec to a classic BPF program (seccomp(2), OCI runtime spec "Seccomp").
//!
//! seccompiler's own back end knows one action for each filter and compares the call's number with each rule's in turn.
//! This one makes a single program with any number of actions, which finds the number by bisection. The kernel runs the
//! program for every number when it is loaded, to learn which are always allowed, so the jumps saved are saved twice.

#[cfg(test)]
pub(crate) mod interpret;
mod numbers;
mod program;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::rc::Rc;

use oci_spec::runtime::{LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSyscall};
use seccompiler::BpfProgram;

use self::program::{Comparison, Decision, Rule};
use crate::error::{Error, Result};

/// The filters of `profile`, to be loaded in this order.
///
/// The first rule that matches a call decides about it. Names that the architecture does not have are skipped, as runc
/// does, since nobody can make such a call. Calls of a foreign ABI (32-bit, x32) kill the process. Where the default
/// action is an errno other than ENOSYS, a call with a higher number than any that the profile names fails with ENOSYS:
/// it is newer than the profile, and C libraries fall back to an older call on that errno only.
///
/// # Errors
/// For what a filter cannot express or podling does not honour: user notification, filter flags, an impossible errno or
/// argument index, a program that is longer than the kernel takes; and for architectures without a table of numbers.
pub fn compile(profile: &LinuxSeccomp) -> Result<Vec<BpfProgram>> {
    if profile.flags().as_ref().is_some_and(|flags| !flags.is_empty()) {
        return Err(Error::new("seccomp filter flags are not honoured"));
    }
    let default = action(profile.default_action(), profile.default_errno_ret())?;
    let entries = profile.syscalls().as_deref().unwrap_or_default();
    let rules = entries.iter().map(translate).collect::<Result<Vec<_>>>()?;
    let mut named: Vec<(u32, usize)> = Vec::with_capacity(512);
    for (order, entry) in entries.iter().enumerate() {
        named.extend(entry.names().iter().filter_map(|name| Some((numbers::number(name)?, order))));
    }
    if named.is_empty() && !entries.is_empty() {
        return Err(Error::new("no system call of the seccomp profile exists on this architecture"));
    }
    named.sort_unstable();
    let mut decisions: Vec<Decision> = Vec::with_capacity(named.len());
    for (number, order) in named {
        for rule in rules.get(order).into_iter().flatten() {
            match decisions.last_mut().filter(|decision| decision.number == number) {
                Some(decision) => decision.add(rule),
                None => {
                    let mut decision = Decision::new(number, default);
                    decision.add(rule);
                    decisions.push(decision);
                }
            }
        }
    }
    let newer = match profile.default_action() {
        LinuxSeccompAction::ScmpActErrno => action(LinuxSeccompAction::ScmpActErrno, Some(libc::ENOSYS as u32))?,
        _ => default,
    };
    Ok(vec![program::build(decisions, default, newer)?])
}

/// Compiles each distinct profile once; the containers of a pod mostly share one.
#[derive(Default)]
pub struct Compiled<'a> {
    seen: Vec<(&'a LinuxSeccomp, Rc<[BpfProgram]>)>,
}

impl<'a> Compiled<'a> {
    /// What [`compile`] makes of `profile`.
    ///
    /// # Errors
    /// Those of [`compile`].
    pub fn get(&mut self, profile: &'a LinuxSeccomp) -> Result<Rc<[BpfProgram]>> {
        if let Some((_, programs)) = self.seen.iter().find(|(seen, _)| *seen == profile) {
            return Ok(Rc::clone(programs));
        }
        let programs: Rc<[BpfProgram]> = compile(profile)?.into();
        self.seen.push((profile, Rc::clone(&programs)));
        Ok(programs)
    }
}

/// The rules of one entry: one whose conditions must all hold, or, where two conditions are about the same argument,
/// one for each condition, as runc reads such an entry.
fn translate(said: &LinuxSyscall) -> Result<Vec<Rule>> {
    let action = action(said.action(), said.errno_ret())?;
    let args = said.args().as_deref().unwrap_or_default();
    let comparisons = args.iter().map(comparison).collect::<Result<Vec<_>>>()?;
    let indices: BTreeSet<_> = args.iter().map(LinuxSeccompArg::index).collect();
    if indices.len() == args.len() {
        return Ok(vec![Rule { comparisons, action }]);
    }
    Ok(comparisons.into_iter().map(|comparison| Rule { comparisons: vec![comparison], action }).collect())
}

fn comparison(said: &LinuxSeccompArg) -> Result<Comparison> {
    let index = u32::try_from(said.index()).ok().filter(|index| *index < 6);
    let index =
        index.ok_or_else(|| Error::new(format!("seccomp rule about argument {}: calls have six", said.index())))?;
    Ok(Comparison { index, op: said.op(), value: said.value(), value_two: said.value_two().unwrap_or(0) })
}

/// The value that a filter returns for `action`.
fn action(action: LinuxSeccompAction, errno: Option<u32>) -> Result<u32> {
    if action == LinuxSeccompAction::ScmpActNotify {
        return Err(Error::new("seccomp action SCMP_ACT_NOTIFY is not honoured"));
    }
    // The kernel knows errno values up to 4095 and cuts larger ones down in silence.
    if let Some(errno) = errno.filter(|errno| *errno > 4095) {
        return Err(Error::new(format!("seccomp errno {errno} is greater than 4095")));
    }
    Ok(action.as_u32(errno))
}
