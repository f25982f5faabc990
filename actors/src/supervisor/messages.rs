//! What a supervisor can be asked, and what it answers.

use std::sync::Arc;

use actix::Message;

use super::child::ChildSpec;
use crate::arbiters::ArbiterId;

/// Takes a child into care and starts it at once.
#[derive(Debug)]
pub struct Supervise(pub ChildSpec);

impl Message for Supervise {
    type Result = Result<(), SuperviseError>;
}

/// Why a child was not taken into care.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SuperviseError {
    /// The name is in use; starting both would put two writers on one partition.
    #[error("child {name} is supervised already; unsupervise it first")]
    AlreadySupervised {
        /// The child's name.
        name: Arc<str>,
    },
}

/// Fires a child's kill switch, forgets the child and answers when it has ended.
#[derive(Debug)]
pub struct Unsupervise {
    /// The child's name.
    pub name: Arc<str>,
}

impl Message for Unsupervise {
    type Result = Unsupervised;
}

/// How far [`Unsupervise`] got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsupervised {
    /// The child has ended: its partitions may go to another node.
    Ended,
    /// Its kill switch has fired, but it has not ended within the wait's bound; it is forgotten.
    StillRunning,
    /// There is no such child.
    Unknown,
}

/// Ends a child, whatever its state, and starts it again without a wait. False: no such child.
#[derive(Debug)]
pub struct RestartNow {
    /// The child's name.
    pub name: Arc<str>,
}

impl Message for RestartNow {
    type Result = bool;
}

/// Asks for a snapshot of all children, ordered by name.
#[derive(Debug, Clone, Copy)]
pub struct Observe;

impl Message for Observe {
    type Result = Vec<ChildStatus>;
}

/// One child, as seen at the last look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChildStatus {
    /// The child's name.
    pub name: Arc<str>,
    /// What it is doing.
    pub state: ChildState,
    /// Restarts with a wait since it was last healthy for `healthy_after`; the next wait doubles with each.
    pub failures: u32,
    /// How often it was restarted, by reason.
    pub restarts: RestartCounts,
    /// What ended it last, in words; it stays after the restart.
    pub last_reason: Option<String>,
    /// Where it lives; `None` while it does not, and on the control arbiter.
    pub arbiter: Option<ArbiterId>,
}

/// What a child is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChildState {
    /// Started and not known to be unwell.
    Running,
    /// Silent for too long; its kill switch has fired and its arbiter is being probed.
    Stuck,
    /// Ended; a restart is on its way.
    Restarting,
    /// Ended for good, unless an operator restarts it.
    Halted,
}

impl ChildState {
    /// The label in logs, metrics and REST.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Stuck => "stuck",
            Self::Restarting => "restarting",
            Self::Halted => "halted",
        }
    }
}

/// Why a child was restarted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestartReason {
    /// Its address closed, mostly after a panic in a handler, or it could not be started.
    Exited,
    /// It was silent for too long while its arbiter ran on.
    Stuck,
    /// It asked for a restart.
    Failed,
    /// Its arbiter was blocked, by this child or by another on the same thread.
    Blocked,
    /// An operator asked for a restart.
    Requested,
}

impl RestartReason {
    /// All reasons, in the order of [`RestartCounts`].
    pub const ALL: [Self; 5] = [
        Self::Exited,
        Self::Stuck,
        Self::Failed,
        Self::Blocked,
        Self::Requested,
    ];

    /// The label in logs, metrics and REST.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exited => "exited",
            Self::Stuck => "stuck",
            Self::Failed => "failed",
            Self::Blocked => "blocked",
            Self::Requested => "requested",
        }
    }
}

/// Restarts of one child by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RestartCounts {
    /// See [`RestartReason::Exited`].
    pub exited: u64,
    /// See [`RestartReason::Stuck`].
    pub stuck: u64,
    /// See [`RestartReason::Failed`].
    pub failed: u64,
    /// See [`RestartReason::Blocked`].
    pub blocked: u64,
    /// See [`RestartReason::Requested`].
    pub requested: u64,
}

impl RestartCounts {
    /// Restarts for one reason.
    pub fn of(&self, reason: RestartReason) -> u64 {
        match reason {
            RestartReason::Exited => self.exited,
            RestartReason::Stuck => self.stuck,
            RestartReason::Failed => self.failed,
            RestartReason::Blocked => self.blocked,
            RestartReason::Requested => self.requested,
        }
    }

    /// Restarts for any reason.
    pub fn total(&self) -> u64 {
        RestartReason::ALL
            .iter()
            .map(|reason| self.of(*reason))
            .sum()
    }

    pub(super) fn count(&mut self, reason: RestartReason) {
        *match reason {
            RestartReason::Exited => &mut self.exited,
            RestartReason::Stuck => &mut self.stuck,
            RestartReason::Failed => &mut self.failed,
            RestartReason::Blocked => &mut self.blocked,
            RestartReason::Requested => &mut self.requested,
        } += 1;
    }
}
