//! Promise: a pod lives as the kubelet would have it. A table: a row for each rule of the pages Pod Lifecycle, Init Containers, Sidecar
//! Containers, Container Lifecycle Hooks, Probes and Determine the Reason for Pod Failure; each runs a real pod on a fast clock.

#[path = "lifecycle/endings.rs"]
mod endings;
#[path = "lifecycle/harness.rs"]
mod harness;
#[path = "lifecycle/hooks.rs"]
mod hooks;
#[path = "lifecycle/inits.rs"]
mod inits;
#[path = "lifecycle/messages.rs"]
mod messages;
#[path = "lifecycle/probes.rs"]
mod probes;
#[path = "lifecycle/restarts.rs"]
mod restarts;
#[path = "lifecycle/sharing.rs"]
mod sharing;
#[path = "lifecycle/sidecars.rs"]
mod sidecars;
mod support;

#[test]
fn init_containers() {
    harness::run(inits::rows());
}

#[test]
fn restarts() {
    harness::run(restarts::rows());
}

#[test]
fn sidecars() {
    harness::run(sidecars::rows());
}

#[test]
fn endings() {
    harness::run(endings::rows());
}

#[test]
fn hooks() {
    harness::run(hooks::rows());
}

#[test]
fn probes() {
    harness::run(probes::rows());
}

#[test]
fn messages() {
    harness::run(messages::rows());
}

#[test]
fn shared_processes_and_standard_input() {
    harness::run(sharing::rows());
}
