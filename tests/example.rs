//! The examples do what their first comments say.

mod support;

use nix::sys::signal::Signal;
use support::Place;

#[test]
fn hello_greets_and_ends() {
    let place = Place::with(&["busybox"]);
    let output = place.run(include_str!("../examples/hello.yaml"));
    output.expect_success();
    assert_eq!(output.lines_of("hello"), ["Hello from a pod.", "I am root on hello."], "{output}");
    place.assert_nothing_left();
}

#[test]
fn the_service_answers_over_tls_writes_rows_and_its_errors_reach_the_agent_until_ctrl_c() {
    let place = Place::with(&["busybox", "web", "db"]);
    let pod = place.start(include_str!("../examples/user-msvc.yaml"));
    pod.wait_for("cloudsql-proxy | db: ready")
        .wait_for("user-msvc      | row: wrote and read row 1 through 127.0.0.1:3306")
        .wait_for("user-msvc      | https: https://user-msvc/ answered 200, verified with the Secret's certificate");
    let agent = |pod: &support::Running| {
        pod.stdout()
            .lines()
            .any(|l| l.starts_with("datadog-agent") && l.contains("[error]") && l.contains("/srv/www/missing"))
            .then_some(())
    };
    pod.wait_until("nginx's error line, printed by the agent", || agent(&pod));
    pod.signal(Signal::SIGINT);
    let output = pod.finish();
    output.expect_success();
    place.assert_nothing_left();
}
