//! The shape of the program: check the ABI, bisect the call's number, then try its rules in order.

use oci_spec::runtime::LinuxSeccompOperator as Operator;
use seccompiler::{BpfProgram, sock_filter};

use crate::error::{Error, Result};

/// What the program answers to one number.
pub(super) struct Decision<'a> {
    pub number: u32,
    /// The rules with comparisons; the first that matches decides.
    rules: Vec<&'a Rule>,
    /// The answer where none matches.
    otherwise: u32,
    /// Whether a rule without comparisons has been added, behind which no other can match.
    complete: bool,
}

impl<'a> Decision<'a> {
    /// A decision without rules.
    pub fn new(number: u32, default: u32) -> Self {
        Decision { number, rules: Vec::new(), otherwise: default, complete: false }
    }

    /// Adds `rule` behind those that are there.
    pub fn add(&mut self, rule: &'a Rule) {
        if self.complete {
            return;
        }
        if rule.comparisons.is_empty() {
            self.otherwise = rule.action;
            self.complete = true;
        } else {
            self.rules.push(rule);
        }
    }
}

/// One answer and the comparisons that must all hold for it.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    pub comparisons: Vec<Comparison>,
    pub action: u32,
}

/// A comparison of one argument, all 64 bits of it.
#[derive(Debug, Clone)]
pub(super) struct Comparison {
    pub index: u32,
    pub op: Operator,
    pub value: u64,
    pub value_two: u64,
}

/// Instruction codes of linux/bpf_common.h.
mod code {
    pub const LOAD: u16 = 0x20;
    pub const AND: u16 = 0x54;
    pub const RETURN: u16 = 0x06;
    pub const JUMP: u16 = 0x05;
    pub const JUMP_EQ: u16 = 0x15;
    pub const JUMP_GT: u16 = 0x25;
    pub const JUMP_GE: u16 = 0x35;
}

/// Offsets in `struct seccomp_data`.
mod offset {
    pub const NUMBER: u32 = 0;
    pub const ARCH: u32 = 4;
    pub const ARGUMENTS: u32 = 16;
}

const KILL_PROCESS: u32 = 0x8000_0000;

/// Numbers from here on are x32's.
const X32: u32 = 0x4000_0000;

/// BPF_MAXINSNS of the kernel.
const LONGEST: usize = 4096;

/// Builds the program from one decision for each number, in ascending order.
///
/// `default` answers the numbers between them, and `newer` those above all of them.
pub(super) fn build(decisions: Vec<Decision>, default: u32, newer: u32) -> Result<BpfProgram> {
    let mut program =
        vec![load(offset::ARCH), jump(code::JUMP_EQ, native_arch()?, 1, 0), answer(KILL_PROCESS), load(offset::NUMBER)];
    program.extend(bisect(&segments(decisions, default, newer), default)?);
    if program.len() > LONGEST {
        let why = format!("seccomp profile needs {} instructions, the kernel takes {LONGEST}", program.len());
        return Err(Error::new(why));
    }
    Ok(program)
}

/// AUDIT_ARCH of the architecture that podling was built for.
fn native_arch() -> Result<u32> {
    if cfg!(target_arch = "x86_64") {
        Ok(0xc000_003e)
    } else if cfg!(target_arch = "aarch64") {
        Ok(0xc000_00b7)
    } else {
        Err(Error::new("seccomp profiles can be compiled on x86_64 and aarch64 only"))
    }
}

/// What happens to the numbers from `from` to the next segment's.
struct Segment<'a> {
    from: u32,
    rules: Vec<&'a Rule>,
    otherwise: u32,
}

/// All numbers, in order, as few segments as possible.
fn segments(decisions: Vec<Decision>, default: u32, newer: u32) -> Vec<Segment> {
    let mut segments: Vec<Segment> = Vec::new();
    let mut push = |from: u32, rules: Vec<_>, otherwise: u32| {
        let same = |last: &Segment| last.rules.is_empty() && rules.is_empty() && last.otherwise == otherwise;
        if !segments.last().is_some_and(same) {
            segments.push(Segment { from, rules, otherwise });
        }
    };
    let mut next = 0;
    for decision in decisions {
        if decision.number > next {
            push(next, Vec::new(), default);
        }
        next = decision.number.saturating_add(1);
        push(decision.number, decision.rules, decision.otherwise);
    }
    push(next, Vec::new(), newer);
    if cfg!(target_arch = "x86_64") {
        push(X32, Vec::new(), KILL_PROCESS);
    }
    segments
}

/// Code that goes to the segment of the loaded number.
fn bisect(segments: &[Segment], default: u32) -> Result<BpfProgram> {
    let (left, right) = segments.split_at(segments.len() / 2);
    let (Some(_), Some(first)) = (left.first(), right.first()) else {
        return segments.first().map_or_else(|| Ok(vec![answer(default)]), leaf);
    };
    let from = first.from;
    let (left, right) = (bisect(left, default)?, bisect(right, default)?);
    // A conditional jump reaches 255 instructions, an unconditional one any number.
    let mut program = match u8::try_from(left.len()) {
        Ok(distance) => vec![jump(code::JUMP_GE, from, distance, 0)],
        Err(_) => vec![jump(code::JUMP_GE, from, 0, 1), instruction(code::JUMP, far(left.len())?, 0, 0)],
    };
    program.extend(left);
    program.extend(right);
    Ok(program)
}

/// The rules of one segment, tried in order; each path ends in an answer.
fn leaf(segment: &Segment) -> Result<BpfProgram> {
    let mut program = Vec::new();
    for rule in &segment.rules {
        let steps: Vec<Vec<Step>> = rule.comparisons.iter().map(steps).collect();
        let length: usize = steps.iter().map(Vec::len).sum();
        let mut at = 0;
        for steps in steps {
            let pass = at + steps.len();
            for step in steps {
                at += 1;
                let reach = |to: To| {
                    let to = match to {
                        To::Next => at,
                        To::Pass => pass,
                        // Behind the rule's answer.
                        To::Fail => length + 1,
                    };
                    u8::try_from(to - at).map_err(|_| Error::new("a seccomp rule has too many conditions"))
                };
                program.push(instruction(step.code, step.k, reach(step.yes)?, reach(step.no)?));
            }
        }
        program.push(answer(rule.action));
    }
    program.push(answer(segment.otherwise));
    Ok(program)
}

/// Where a step of a comparison goes.
#[derive(Clone, Copy)]
enum To {
    /// To the next step.
    Next,
    /// The comparison holds.
    Pass,
    /// The comparison does not hold, so the rule does not match.
    Fail,
}

/// One instruction of a comparison.
struct Step {
    code: u16,
    k: u32,
    yes: To,
    no: To,
}

/// The two halves of the argument compared one after the other, the upper one first.
fn steps(comparison: &Comparison) -> Vec<Step> {
    let step = |code, k, yes, no| Step { code, k, yes, no };
    let low = offset::ARGUMENTS + 8 * comparison.index;
    let load = |offset| step(code::LOAD, offset, To::Next, To::Next);
    let (high_value, low_value) = halves(comparison.value);
    // The upper half decides unless it is equal: `above` and `below` say how.
    let ordered = |code, above: To, below: To, yes: To, no: To| {
        vec![
            load(low + 4),
            step(code::JUMP_GT, high_value, above, To::Next),
            step(code::JUMP_EQ, high_value, To::Next, below),
            load(low),
            step(code, low_value, yes, no),
        ]
    };
    match comparison.op {
        Operator::ScmpCmpEq => vec![
            load(low + 4),
            step(code::JUMP_EQ, high_value, To::Next, To::Fail),
            load(low),
            step(code::JUMP_EQ, low_value, To::Pass, To::Fail),
        ],
        Operator::ScmpCmpNe => vec![
            load(low + 4),
            step(code::JUMP_EQ, high_value, To::Next, To::Pass),
            load(low),
            step(code::JUMP_EQ, low_value, To::Fail, To::Pass),
        ],
        Operator::ScmpCmpGt => ordered(code::JUMP_GT, To::Pass, To::Fail, To::Pass, To::Fail),
        Operator::ScmpCmpGe => ordered(code::JUMP_GE, To::Pass, To::Fail, To::Pass, To::Fail),
        Operator::ScmpCmpLt => ordered(code::JUMP_GE, To::Fail, To::Pass, To::Fail, To::Pass),
        Operator::ScmpCmpLe => ordered(code::JUMP_GT, To::Fail, To::Pass, To::Fail, To::Pass),
        Operator::ScmpCmpMaskedEq => {
            let (high_mask, low_mask) = (high_value, low_value);
            let (high, low_half) = halves(comparison.value_two);
            vec![
                load(low + 4),
                step(code::AND, high_mask, To::Next, To::Next),
                step(code::JUMP_EQ, high, To::Next, To::Fail),
                load(low),
                step(code::AND, low_mask, To::Next, To::Next),
                step(code::JUMP_EQ, low_half, To::Pass, To::Fail),
            ]
        }
    }
}

/// The upper and the lower 32 bits.
fn halves(value: u64) -> (u32, u32) {
    ((value >> 32) as u32, value as u32)
}

fn far(distance: usize) -> Result<u32> {
    u32::try_from(distance).map_err(|_| Error::new("the seccomp profile is too long"))
}

fn load(offset: u32) -> sock_filter {
    instruction(code::LOAD, offset, 0, 0)
}

fn answer(value: u32) -> sock_filter {
    instruction(code::RETURN, value, 0, 0)
}

fn jump(code: u16, k: u32, yes: u8, no: u8) -> sock_filter {
    instruction(code, k, yes, no)
}

fn instruction(code: u16, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code, jt, jf, k }
}
