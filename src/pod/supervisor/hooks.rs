//! Lifecycle hooks (Kubernetes, "Container Lifecycle Hooks").

use super::Supervisor;
use crate::error::Result;
use crate::plan::Action;
use crate::pod::errand::Purpose;
use crate::pod::leaving::Stage;
use crate::pod::rules::Cause;
use crate::pod::status::EventKind;

/// Which hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    PostStart,
    PreStop,
}

impl Supervisor<'_> {
    /// Runs a hook of container `n`.
    pub(super) fn begin_hook(&mut self, n: usize, which: Which, action: &Action) -> Result<()> {
        let Some(container) = self.containers.get(n) else { return Ok(()) };
        let run = container.run;
        let (purpose, deadline) = match which {
            // The kubelet waits for a postStart hook without an end.
            Which::PostStart => (Purpose::PostStart { container: n, run }, None),
            Which::PreStop => (Purpose::PreStop { container: n, run }, container.leaving.map(|leaving| leaving.until)),
        };
        match self.begin_action(purpose, action, deadline) {
            Ok(()) => Ok(()),
            Err(e) => self.hook_ended(n, run, which, Err(e.what().to_owned())),
        }
    }

    /// A hook of run `run` of container `n` is over; what went wrong is told in the kubelet's words.
    pub(super) fn hook_ended(
        &mut self,
        n: usize,
        run: u32,
        which: Which,
        outcome: std::result::Result<(), String>,
    ) -> Result<()> {
        let Some(container) = self.containers.get(n).filter(|c| c.run == run && c.running().is_some()) else {
            return Ok(());
        };
        let name = container.plan.name.clone();
        let stage = container.leaving.map(|leaving| leaving.stage);
        match (which, outcome) {
            // Whoever ends the container has ended its hook first.
            (Which::PostStart, _) if stage.is_some() => Ok(()),
            (Which::PostStart, Ok(())) => self.settle(n),
            (Which::PostStart, Err(why)) => {
                self.happened(
                    EventKind::Warning,
                    "FailedPostStartHook",
                    Some(n),
                    &format!("PostStartHook failed: {why}"),
                );
                self.notice(&format!("container {:?}: its postStart hook failed: {why}", self.called(n)));
                if let Some(container) = self.containers.get_mut(n) {
                    container.was_started |= container.plan.role == crate::plan::Role::Regular;
                }
                let grace = self.scaled(self.plan.grace_period);
                self.leave(n, grace, Cause::Own, &format!("FailedPostStartHook: container {name} will be killed"))
            }
            (Which::PreStop, outcome) => {
                if let Err(why) = outcome {
                    self.happened(
                        EventKind::Warning,
                        "FailedPreStopHook",
                        Some(n),
                        &format!("PreStopHook failed: {why}"),
                    );
                    self.notice(&format!("container {:?}: its preStop hook failed: {why}", self.called(n)));
                }
                if stage == Some(Stage::Hook) { self.ask(n) } else { Ok(()) }
            }
        }
    }
}
