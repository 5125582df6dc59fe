//! Input that is meant to hurt: it must end in an error, soon, and never in a panic.

use proptest::prelude::*;

use crate::manifest::{Input, read};

fn error(bytes: &[u8]) -> String {
    read(&[Input { name: "x".into(), bytes: bytes.to_vec(), path: None }]).unwrap_err().to_string()
}

#[test]
fn aliases_cannot_multiply_without_end() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for n in 1..30 {
        let one = format!("*a{}", n - 1);
        text.push_str(&format!("a{n}: &a{n} [{}]\n", vec![one; 10].join(", ")));
    }
    assert!(error(text.as_bytes()).contains("grows beyond 16 MiB through its aliases"));
}

#[test]
fn nesting_is_bounded() {
    for (opening, closing) in [("[", "]"), ("{a: ", "}"), ("- ", "")] {
        let nested = |levels: usize| opening.repeat(levels) + &closing.repeat(levels);
        assert!(error(nested(150).as_bytes()).contains("nested deeper than 100 levels"), "{opening}");
        error(nested(100_000).as_bytes());
        error(opening.repeat(100_000).as_bytes());
    }
    let mut text = String::from("a0: &a0 [x]\n");
    for n in 1..200 {
        text.push_str(&format!("a{n}: &a{n} [*a{}]\n", n - 1));
    }
    assert!(error(text.as_bytes()).contains("levels through aliases"));
}

#[test]
fn objects_and_reports_are_bounded() {
    let map = |size: usize| {
        let half = "x".repeat(size / 2);
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: m}}\ndata:\n  a: {half}\n  b: {half}\n")
    };
    assert!(error(map(1 << 20).as_bytes()).starts_with("x: no Pod or Job to run"));
    assert_eq!(
        error(map((1 << 20) + 2).as_bytes()),
        "x:4: data: 1048578 bytes together; Kubernetes takes 1048576 in one object\n  split it into several objects"
    );
    let many: String = (0..30).map(|n| format!("f{n}: 1\n")).collect();
    let report = error(format!("apiVersion: v1\nkind: Pod\n{many}").as_bytes());
    assert_eq!(report.lines().filter(|line| line.starts_with("x:")).count(), 10, "{report}");
    assert!(report.ends_with("\nand 20 more"), "{report}");
}

#[test]
fn bytes_that_are_not_text() {
    assert_eq!(error(b"a: b\nc: \xff\n"), "x:2: not UTF-8 text");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_text_is_read_or_refused(text in "[ \\n:a&*<\\[\\]{},'\"|>!#?0-9-]{0,60}|.{0,60}") {
        let _ = read(&[Input { name: "x".into(), bytes: text.into_bytes(), path: None }]);
    }

    #[test]
    fn any_change_to_a_pod_or_job_is_read_or_refused(
        job in any::<bool>(),
        at in 0usize..1200,
        cut in 0usize..6,
        put in "[ \\n:a&*<\\[\\]{},'\"|>!#?0-9~-]{0,4}",
    ) {
        let mut text = if job { include_str!("job.yaml") } else { include_str!("pod.yaml") }.to_owned();
        let at = at % text.len();
        let end = (at + cut).min(text.len());
        text.replace_range(at..end, &put);
        let _ = read(&[Input { name: "x".into(), bytes: text.into_bytes(), path: None }]);
    }
}

#[test]
fn what_is_changed_above_is_good() {
    let read = |bytes: &[u8]| read(&[Input { name: "x".into(), bytes: bytes.to_vec(), path: None }]);
    assert_eq!(read(include_bytes!("pod.yaml")).map(|bundle| bundle.pods.len()), Ok(1));
    assert_eq!(read(include_bytes!("job.yaml")).map(|bundle| bundle.jobs.len()), Ok(1));
}
