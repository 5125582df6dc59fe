//! Jobs of one small container.

use super::container_yaml;

/// Waits of ten seconds are one of them long: tenths of a second.
pub const FAST: [&str; 2] = ["--time-scale", "0.01"];

/// A Job `j` whose pods' one container `c` runs a shell script; `spec` are more lines of its spec, `template` of its template's spec.
pub fn job_with(spec: &str, template: &str, script: &str) -> String {
    let indent = |text: &str, by: usize| text.lines().map(|line| format!("{:by$}{line}\n", "")).collect::<String>();
    let policy = if template.contains("restartPolicy") { "" } else { "restartPolicy: Never\n" };
    format!(
        "apiVersion: batch/v1\nkind: Job\nmetadata: {{name: j, labels: {{of: job}}, annotations: {{of: job}}}}\nspec:\n{}  template:\n    spec:\n{}      containers:\n{}",
        indent(spec, 2),
        indent(&format!("{policy}{template}"), 6),
        indent(&container_yaml("c", "busybox", script, ""), 4),
    )
}

/// One whose template says nothing more.
pub fn job(spec: &str, script: &str) -> String {
    job_with(spec, "", script)
}
