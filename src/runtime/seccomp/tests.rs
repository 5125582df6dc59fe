//! Compares compiled programs with the profile read by the letter.

use std::rc::Rc;

use oci_spec::runtime::LinuxSeccomp;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::interpret::{ALLOW, ENOSYS, EPERM, KILL_PROCESS, NATIVE, call, run};
use super::{Compiled, compile, numbers};

fn profile(syscalls: Value) -> LinuxSeccomp {
    let profile = json!({ "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1, "syscalls": syscalls });
    serde_json::from_value(profile).unwrap()
}

fn allow(name: &str, args: Value) -> Value {
    json!({ "names": [name], "action": "SCMP_ACT_ALLOW", "args": args })
}

#[test]
fn allowed_denied_newer_and_foreign_calls() {
    let profile = profile(json!([allow("read", json!([])), allow("write", json!([])), allow("getpid", json!([]))]));
    let highest = ["read", "write", "getpid"].iter().filter_map(|n| numbers::number(n)).max().unwrap();
    let program = &compile(&profile).unwrap()[0];
    assert_eq!(call(&profile, "read", [0; 6]), ALLOW);
    assert_eq!(call(&profile, "write", [0; 6]), ALLOW);
    assert_eq!(
        call(&profile, "close", [0; 6]),
        if numbers::number("close").unwrap() < highest { EPERM } else { ENOSYS }
    );
    assert_eq!(run(program, NATIVE, highest + 1, [0; 6]), ENOSYS);
    assert_eq!(run(program, NATIVE, 9999, [0; 6]), ENOSYS);
    assert_eq!(run(program, 0x4000_0003, 3, [0; 6]), KILL_PROCESS, "i386");
    if cfg!(target_arch = "x86_64") {
        assert_eq!(run(program, NATIVE, 0x4000_0000, [0; 6]), KILL_PROCESS, "x32");
    }
}

#[test]
fn an_entry_with_two_conditions_about_one_argument_is_two_rules() {
    let eq = |value: u64| json!({ "index": 0, "value": value, "op": "SCMP_CMP_EQ" });
    let profile = profile(json!([allow("personality", json!([eq(0), eq(8)]))]));
    for (value, expected) in [(0, ALLOW), (8, ALLOW), (9, EPERM)] {
        assert_eq!(call(&profile, "personality", [value, 0, 0, 0, 0, 0]), expected, "{value}");
    }
}

#[test]
fn the_first_rule_that_matches_decides() {
    let profile = profile(json!([
        { "names": ["socket"], "action": "SCMP_ACT_ERRNO", "errnoRet": 97,
          "args": [{ "index": 0, "value": 40, "op": "SCMP_CMP_EQ" }] },
        allow("socket", json!([])),
        { "names": ["socket"], "action": "SCMP_ACT_KILL_PROCESS" },
    ]));
    assert_eq!(call(&profile, "socket", [40, 0, 0, 0, 0, 0]), 0x0005_0061);
    assert_eq!(call(&profile, "socket", [1, 0, 0, 0, 0, 0]), ALLOW);
}

#[test]
fn what_no_filter_can_do_is_refused() {
    for (syscalls, expected) in [
        (json!([{ "names": ["read"], "action": "SCMP_ACT_NOTIFY" }]), "NOTIFY"),
        (json!([{ "names": ["read"], "action": "SCMP_ACT_ERRNO", "errnoRet": 4096 }]), "errno 4096"),
        (json!([allow("read", json!([{ "index": 6, "value": 0, "op": "SCMP_CMP_EQ" }]))]), "argument 6"),
        (json!([allow("no_such_call", json!([]))]), "no system call"),
        (
            Value::Array(
                (0..1000).map(|i| allow("read", json!([{ "index": 0, "value": i, "op": "SCMP_CMP_EQ" }]))).collect(),
            ),
            "instructions",
        ),
    ] {
        let error = compile(&profile(syscalls)).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let mut flagged = profile(json!([]));
    flagged.set_flags(Some(vec![oci_spec::runtime::LinuxSeccompFilterFlag::SeccompFilterFlagLog]));
    assert!(compile(&flagged).is_err());
}

#[test]
fn equal_profiles_share_their_programs() {
    let (read, again) = (profile(json!([allow("read", json!([]))])), profile(json!([allow("read", json!([]))])));
    let write = profile(json!([allow("write", json!([]))]));
    let mut compiled = Compiled::default();
    let first = compiled.get(&read).unwrap();
    assert!(Rc::ptr_eq(&first, &compiled.get(&again).unwrap()));
    assert!(!Rc::ptr_eq(&first, &compiled.get(&write).unwrap()));
    assert_eq!(compiled.get(&write).unwrap()[..], compile(&write).unwrap()[..]);
}

/// Numbers around the borders where comparisons of halves go wrong.
fn value() -> impl Strategy<Value = u64> {
    let halves = prop_oneof![Just(0u64), Just(1), Just(2), Just(0x7fff_ffff), Just(0xffff_fffe), Just(0xffff_ffff)];
    (halves.clone(), halves).prop_map(|(high, low)| high << 32 | low)
}

const OPERATORS: [&str; 7] = ["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"];

fn holds(op: &str, arg: u64, value: u64, two: u64) -> bool {
    match op {
        "NE" => arg != value,
        "LT" => arg < value,
        "LE" => arg <= value,
        "EQ" => arg == value,
        "GE" => arg >= value,
        "GT" => arg > value,
        _ => arg & value == two,
    }
}

proptest! {
    #[test]
    fn conditions_compare_all_64_bits(
        conditions in prop::collection::vec((0usize..7, value(), value()), 1..=6),
        rules in 1usize..4,
        args in prop::array::uniform6(value()),
    ) {
        // Condition i of a rule is about argument i; rule r takes every rules-th condition.
        let said: Vec<Vec<_>> = (0..rules)
            .map(|r| conditions.iter().enumerate().skip(r).step_by(rules).collect::<Vec<_>>())
            .filter(|rule| !rule.is_empty())
            .collect();
        let entry = |rule: &Vec<(usize, &(usize, u64, u64))>| {
            let args: Vec<Value> = rule
                .iter()
                .map(|(index, (op, value, two))| {
                    json!({ "index": index, "value": value, "valueTwo": two, "op": format!("SCMP_CMP_{}", OPERATORS[*op]) })
                })
                .collect();
            allow("write", Value::Array(args))
        };
        let expected = said
            .iter()
            .any(|rule| rule.iter().all(|(index, (op, value, two))| holds(OPERATORS[*op], args[*index], *value, *two)));
        let mut syscalls: Vec<Value> = said.iter().map(entry).collect();
        syscalls.push(allow("exit_group", json!([])));
        let answer = call(&profile(Value::Array(syscalls)), "write", args);
        prop_assert_eq!(answer, if expected { ALLOW } else { EPERM });
    }

    #[test]
    fn every_number_gets_its_own_answer(allowed in prop::collection::btree_set(0usize..300, 1..200)) {
        let names: Vec<&str> = allowed.iter().filter_map(|i| numbers::names().nth(*i)).collect();
        let profile = profile(json!([{ "names": names, "action": "SCMP_ACT_ALLOW" }]));
        let named: Vec<u32> = names.iter().filter_map(|name| numbers::number(name)).collect();
        prop_assume!(!named.is_empty());
        let highest = named.iter().copied().max().unwrap();
        let program = &compile(&profile).unwrap()[0];
        for number in 0..600 {
            let expected = if named.contains(&number) { ALLOW } else if number > highest { ENOSYS } else { EPERM };
            prop_assert_eq!(run(program, NATIVE, number, [0; 6]), expected, "number {}", number);
        }
    }
}
