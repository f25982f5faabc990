//! What is shown of a replicator, and how it ends.

use actix::{ActorContext, Context};
use tracing::{debug, error, warn};

use super::Replicator;
use crate::registry::PartitionState;

impl Replicator {
    pub(super) fn set_source_trouble(&mut self, trouble: Option<String>) {
        if self.source_trouble != trouble {
            self.source_trouble = trouble;
            self.show();
        }
    }

    pub(super) fn set_target_trouble(&mut self, trouble: Option<String>) {
        if self.target_trouble != trouble {
            self.target_trouble = trouble;
            self.show();
        }
    }

    /// Publishes state and reason. Called on changes only.
    pub(super) fn show(&self) {
        match self
            .target_trouble
            .as_ref()
            .or(self.source_trouble.as_ref())
        {
            Some(reason) => {
                // A thousand partitions lose a broker together: the flow's own line says that (the product's console).
                debug!(partition = %self.start.name, %reason, "waiting");
                self.status
                    .set_state(PartitionState::Waiting, reason.clone());
            }
            None if !self.prepared => self.status.set_state(PartitionState::Starting, "starting"),
            None if self.shown_paused => self
                .status
                .set_state(PartitionState::Stopped, "paused by an operator"),
            None => self
                .status
                .set_state(PartitionState::Running, "replicating"),
        }
    }

    /// Gives up until an operator decides.
    pub(super) fn halt(&mut self, reason: &str, ctx: &mut Context<Self>) {
        error!(partition = %self.start.name, reason, "halted: an operator has to decide");
        self.status
            .set_state(PartitionState::Halted, reason.to_owned());
        self.start.progress.halted(reason);
        self.end(ctx);
    }

    /// Asks the supervisor for a fresh start behind what is acknowledged.
    pub(super) fn fail(&mut self, reason: &str, ctx: &mut Context<Self>) {
        warn!(partition = %self.start.name, reason, "starting over behind the acknowledged position");
        self.status
            .set_state(PartitionState::Waiting, format!("starting over: {reason}"));
        self.start.progress.failed(reason);
        self.end(ctx);
    }

    /// As [`Self::fail`], from another position, which may be lower: nothing that is still on its way may move it again.
    pub(super) fn start_over_at(&mut self, position: i64, reason: &str, ctx: &mut Context<Self>) {
        self.fail(reason, ctx);
        self.status.start_at(position);
    }

    /// No answer that is still under way counts from here on.
    fn end(&mut self, ctx: &mut Context<Self>) {
        self.window = None;
        self.drop_backlog();
        ctx.stop();
    }
}
