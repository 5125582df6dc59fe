//! Whole Jobs as scripts: what happens to their pods, and what is done about it.

use std::time::{Duration, Instant};

use super::controller::{Action, Controller, Outcome};
use super::policy::PodEnd;
use crate::plan::{
    CompletionMode, FailureAction, FailureRule, JobPlan, JobStart, Operator, Requirement, RestartPolicy, Selector,
    SuccessRule,
};

fn plan() -> JobPlan {
    JobPlan {
        name: "j".to_owned(),
        uid: "u".to_owned(),
        completions: Some(1),
        parallelism: 1,
        mode: CompletionMode::NonIndexed,
        backoff_limit: 6,
        backoff_limit_per_index: None,
        max_failed_indexes: None,
        failure_rules: Vec::new(),
        success_rules: Vec::new(),
        active_deadline: None,
        start: JobStart::Now,
        restart_policy: RestartPolicy::Never,
        selector: Selector::Generated,
        emulated: Vec::new(),
    }
}

fn indexed(completions: u32, parallelism: u32) -> JobPlan {
    JobPlan { completions: Some(completions), parallelism, mode: CompletionMode::Indexed, ..plan() }
}

fn per_index(limit: u32, most: Option<u32>, plan: JobPlan) -> JobPlan {
    let backoff_limit = i32::MAX.unsigned_abs();
    JobPlan { backoff_limit, backoff_limit_per_index: Some(limit), max_failed_indexes: most, ..plan }
}

fn rule(action: FailureAction, code: i32) -> FailureRule {
    let requirement = Requirement::ExitCodes { container: None, operator: Operator::In, values: vec![code] };
    FailureRule { action, requirement }
}

/// Plays a script of words: `@10` ten seconds after the start, `0=1` pod 0 ends with 1, `0!3` its containers have started again three
/// times, `^` the user stops the Job. The answer is what is done: `+0` starts pod 0, `+0#2` of index 2 and `+0#2/1` after one failure of
/// that, `-0` stops it, `~10` waits until then; at the end how the Job ended, or `goes on`.
fn play(plan: JobPlan, scale: f64, script: &str) -> String {
    let start = Instant::now();
    let mut now = start;
    let mut controller = Controller::new(plan, "default".to_owned(), scale, now);
    let mut told = Vec::new();
    let mut act = |controller: &mut Controller, now: Instant| {
        for action in controller.act(now) {
            told.push(match action {
                Action::Start { pod, index: None, .. } => format!("+{pod}"),
                Action::Start { pod, index: Some(index), failures: 0 } => format!("+{pod}#{index}"),
                Action::Start { pod, index: Some(index), failures } => format!("+{pod}#{index}/{failures}"),
                Action::Stop(pod) => format!("-{pod}"),
            });
        }
        if let Some(due) = controller.due() {
            let due = format!("~{}", (due - start).as_secs_f64());
            if told.iter().rev().find(|word| word.starts_with('~')) != Some(&due) {
                told.push(due);
            }
        }
        assert!(controller.act(now).is_empty(), "asked twice, it has nothing more to do");
    };
    act(&mut controller, now);
    for word in script.split_whitespace() {
        let number = |text: &str| text.parse::<usize>().unwrap();
        if let Some(seconds) = word.strip_prefix('@') {
            now = start + Duration::from_secs_f64(seconds.parse().unwrap());
        } else if let Some((pod, code)) = word.split_once('=') {
            let code = u8::try_from(number(code)).unwrap();
            let containers = vec![("c".to_owned(), code)];
            let end = PodEnd { code, containers, initialized: true, ..PodEnd::default() };
            controller.pod_ended(number(pod), "j-x", &end, now);
        } else if let Some((pod, restarts)) = word.split_once('!') {
            controller.restarted(number(pod), u32::try_from(number(restarts)).unwrap());
        } else {
            assert_eq!(word, "^");
            controller.interrupt();
        }
        act(&mut controller, now);
    }
    told.push(match controller.outcome() {
        None => "goes on".to_owned(),
        Some(Outcome::Complete) => "Complete".to_owned(),
        Some(Outcome::Failed { reason, .. }) => (*reason).to_owned(),
        Some(Outcome::Interrupted) => "Interrupted".to_owned(),
    });
    told.join(" ")
}

#[track_caller]
fn check(rows: Vec<(&str, JobPlan, &str, &str)>) {
    for (what, plan, script, told) in rows {
        assert_eq!(play(plan, 1.0, script), told, "{what}: {script}");
    }
}

#[test]
fn completions_and_parallelism() {
    let plan = |completions: Option<u32>, parallelism| JobPlan { completions, parallelism, ..plan() };
    check(vec![
        ("one pod", plan(Some(1), 1), "0=0", "+0 Complete"),
        ("one at a time", plan(Some(3), 1), "0=0 1=0 2=0", "+0 +1 +2 Complete"),
        ("two at a time", plan(Some(3), 2), "1=0 0=0 2=0", "+0 +1 +2 Complete"),
        ("no more than are needed", plan(Some(2), 5), "0=0 1=0", "+0 +1 Complete"),
        ("nothing to do", plan(Some(0), 1), "", "Complete"),
        (
            "without completions one success is enough, and the others are waited for",
            plan(None, 3),
            "1=0 0=1 2=0",
            "+0 +1 +2 Complete",
        ),
        ("without completions and success", plan(None, 2), "0=1 @10 1=0 2=0", "+0 +1 ~10 +2 Complete"),
        ("nothing may run", plan(Some(1), 0), "@1000", "goes on"),
    ]);
}

#[test]
fn failures_wait_and_count() {
    let limit = |backoff_limit| JobPlan { backoff_limit, ..plan() };
    let two = JobPlan { completions: Some(2), parallelism: 2, ..plan() };
    check(vec![
        ("the limit is of failures beyond it", limit(0), "0=1", "+0 BackoffLimitExceeded"),
        ("one retry", limit(1), "0=1 @9 @10 1=1", "+0 ~10 +1 BackoffLimitExceeded"),
        ("waits double", limit(6), "0=1 @10 1=1 @30 2=0", "+0 ~10 +1 ~30 +2 Complete"),
        ("a success forgets the waits", two.clone(), "0=1 1=0 2=0", "+0 +1 ~10 +2 Complete"),
        (
            "others are stopped and waited for",
            JobPlan { backoff_limit: 0, ..two.clone() },
            "0=1 1=143",
            "+0 +1 -1 BackoffLimitExceeded",
        ),
        (
            "and how they end means nothing",
            JobPlan { backoff_limit: 0, ..two.clone() },
            "0=1 1=0",
            "+0 +1 -1 BackoffLimitExceeded",
        ),
        ("until they have ended the job has not", JobPlan { backoff_limit: 0, ..two }, "0=1", "+0 +1 -1 goes on"),
        (
            "the default limit",
            limit(6),
            "0=1 @10 1=1 @30 2=1 @70 3=1 @150 4=1 @310 5=1 @630 6=1",
            "+0 ~10 +1 ~30 +2 ~70 +3 ~150 +4 ~310 +5 ~630 +6 BackoffLimitExceeded",
        ),
    ]);
    assert_eq!(play(limit(6), 0.01, "0=1 @0.1 1=0"), "+0 ~0.1 +1 Complete");
}

#[test]
fn restarts_count_where_containers_start_again() {
    let limit = |backoff_limit| JobPlan {
        backoff_limit,
        restart_policy: RestartPolicy::OnFailure,
        parallelism: 2,
        completions: Some(2),
        ..plan()
    };
    check(vec![
        ("as many as the limit", limit(3), "0!1 1!1 0!2 0=137 1=137", "+0 +1 -0 -1 BackoffLimitExceeded"),
        ("one is enough for a limit of 0", limit(0), "0!1 0=1 1=1", "+0 +1 -0 -1 BackoffLimitExceeded"),
        ("those of pods that have ended count no more", limit(3), "0!2 0=0 1!2 1=0", "+0 +1 Complete"),
        ("pods fail, too", limit(0), "0=1 1=1", "+0 +1 -1 BackoffLimitExceeded"),
    ]);
    let never = JobPlan { restart_policy: RestartPolicy::Never, ..limit(1) };
    check(vec![("with Never nothing starts again but pods", never, "0!5 0=0 1=0", "+0 +1 Complete")]);
}

#[test]
fn deadlines() {
    let deadline = |seconds| JobPlan { active_deadline: Some(Duration::from_secs(seconds)), ..plan() };
    check(vec![
        ("in time", deadline(5), "@4 0=0", "+0 ~5 Complete"),
        ("too late", deadline(5), "@5 0=143", "+0 ~5 -0 DeadlineExceeded"),
        ("while it waits", deadline(15), "0=1 @10 1=1 @15", "+0 ~15 ~10 +1 ~15 DeadlineExceeded"),
        ("at once", deadline(0), "", "DeadlineExceeded"),
        ("the limit goes before", JobPlan { backoff_limit: 0, ..deadline(5) }, "@5 0=143", "+0 ~5 -0 DeadlineExceeded"),
    ]);
    assert_eq!(play(deadline(100), 0.1, "@10 0=0"), "+0 ~10 -0 DeadlineExceeded");
}

#[test]
fn indexes() {
    let one = FailureAction::FailIndex;
    let failing = JobPlan { failure_rules: vec![rule(one, 42)], ..per_index(3, None, indexed(2, 2)) };
    check(vec![
        ("each once", indexed(3, 2), "0=0 1=0 2=0", "+0#0 +1#1 +2#2 Complete"),
        ("the lowest again", indexed(3, 2), "0=1 @10 2=0 1=0 3=0", "+0#0 +1#1 ~10 +2#0/1 +3#2 Complete"),
        ("one wait for all", indexed(3, 1), "0=1 @5 @10 1=0 2=0 3=0", "+0#0 ~10 +1#0/1 +2#1 +3#2 Complete"),
        (
            "a limit for all",
            JobPlan { backoff_limit: 0, ..indexed(2, 2) },
            "0=1 1=0",
            "+0#0 +1#1 -1 BackoffLimitExceeded",
        ),
        // The first that need a pod are looked at, whether they have to wait or not.
        (
            "a wait for each",
            per_index(1, None, indexed(3, 2)),
            "0=1 1=0 @10 2=0 3=0",
            "+0#0 +1#1 ~10 +2#2 +3#0/1 Complete",
        ),
        ("a limit for each", per_index(0, None, indexed(2, 1)), "0=1 1=0", "+0#0 +1#1 FailedIndexes"),
        (
            "a limit of one for each",
            per_index(1, None, indexed(2, 2)),
            "0=1 @10 2=1 1=0",
            "+0#0 +1#1 ~10 +2#0/1 FailedIndexes",
        ),
        (
            "so many may fail",
            per_index(0, Some(1), indexed(4, 2)),
            "0=1 1=0 2=0 3=0",
            "+0#0 +1#1 +2#2 +3#3 FailedIndexes",
        ),
        (
            "and no more",
            per_index(0, Some(1), indexed(4, 2)),
            "0=1 1=1 2=137",
            "+0#0 +1#1 +2#2 -2 MaxFailedIndexesExceeded",
        ),
        ("none may fail", per_index(0, Some(0), indexed(4, 2)), "0=1 1=137", "+0#0 +1#1 -1 MaxFailedIndexesExceeded"),
        ("an index fails at once", failing.clone(), "0=42 1=0", "+0#0 +1#1 FailedIndexes"),
        ("or tries again", failing, "0=41 1=0 @10 2=0", "+0#0 +1#1 ~10 +2#0/1 Complete"),
    ]);
}

#[test]
fn success_policies() {
    let rules = |indexes: Option<Vec<std::ops::RangeInclusive<u32>>>, count, plan: JobPlan| JobPlan {
        success_rules: vec![SuccessRule { indexes, count }],
        ..plan
    };
    check(vec![
        (
            "the leader's success",
            rules(Some(vec![0..=0]), None, indexed(3, 3)),
            "0=0 1=143 2=143",
            "+0#0 +1#1 +2#2 -1 -2 Complete",
        ),
        ("not another's", rules(Some(vec![0..=0]), None, indexed(3, 3)), "1=0 0=0 2=143", "+0#0 +1#1 +2#2 -2 Complete"),
        ("two of all", rules(None, Some(2), indexed(3, 3)), "2=0 0=0 1=0", "+0#0 +1#1 +2#2 -1 Complete"),
        ("one of some", rules(Some(vec![1..=2]), Some(1), indexed(3, 3)), "0=0 2=0 1=1", "+0#0 +1#1 +2#2 -1 Complete"),
        (
            "a failure of another index before",
            rules(Some(vec![0..=0]), None, per_index(0, None, indexed(3, 3))),
            "1=1 0=0 2=1",
            "+0#0 +1#1 +2#2 -2 Complete",
        ),
    ]);
}

#[test]
fn failure_policies() {
    let rules = |rules: Vec<FailureRule>, plan: JobPlan| JobPlan { failure_rules: rules, ..plan };
    let two = JobPlan { completions: Some(2), parallelism: 2, backoff_limit: 0, ..plan() };
    check(vec![
        (
            "the job fails",
            rules(vec![rule(FailureAction::FailJob, 42)], two.clone()),
            "0=42 1=143",
            "+0 +1 -1 PodFailurePolicy",
        ),
        (
            "it does not count, and waits",
            rules(vec![rule(FailureAction::Ignore, 42)], two.clone()),
            "0=42 @10 2=0 1=0",
            "+0 +1 ~10 +2 Complete",
        ),
        (
            "it counts",
            rules(vec![rule(FailureAction::Count, 42)], two.clone()),
            "0=42 1=143",
            "+0 +1 -1 BackoffLimitExceeded",
        ),
        (
            "no rule fits",
            rules(vec![rule(FailureAction::FailJob, 42)], two),
            "0=1 1=143",
            "+0 +1 -1 BackoffLimitExceeded",
        ),
        (
            "an index's failures that do not count",
            rules(vec![rule(FailureAction::Ignore, 42)], per_index(0, None, indexed(1, 1))),
            "0=42 @10 1=42 @30 2=0",
            "+0#0 ~10 +1#0 ~30 +2#0 Complete",
        ),
    ]);
}

#[test]
fn the_user_stops_it() {
    check(vec![
        (
            "while pods run",
            JobPlan { parallelism: 2, completions: Some(2), ..plan() },
            "^ 0=0 1=143",
            "+0 +1 Interrupted",
        ),
        ("while it waits", plan(), "0=1 ^ @10", "+0 ~10 Interrupted"),
        (
            "when it has failed already",
            JobPlan { parallelism: 2, completions: Some(2), backoff_limit: 0, ..plan() },
            "0=1 ^ 1=143",
            "+0 +1 -1 BackoffLimitExceeded",
        ),
    ]);
}
