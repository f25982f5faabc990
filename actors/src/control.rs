//! What an operator wants of each connector of a flow: to run, to pause, to stop (KIP-875).
//!
//! Wishes are plain values that the actors look at: one that is restarted finds them again. They last as long as the process.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

/// What a connector shall do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TargetState {
    /// Work.
    #[default]
    Running,
    /// Take in nothing more; everything is kept, so that going on is quick.
    Paused,
    /// Finish, store positions and end the tasks: positions may be altered then.
    Stopped,
}

impl TargetState {
    /// The name in Connect's REST API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
            Self::Paused => "PAUSED",
            Self::Stopped => "STOPPED",
        }
    }
}

/// One connector of a flow.
#[derive(Debug, Default)]
pub struct ControlledConnector {
    wanted: AtomicU8,
    /// It was stopped, and all its tasks have ended.
    ended: AtomicBool,
}

impl ControlledConnector {
    /// What it shall do.
    pub fn wanted(&self) -> TargetState {
        match self.wanted.load(Ordering::Acquire) {
            1 => TargetState::Paused,
            2 => TargetState::Stopped,
            _ => TargetState::Running,
        }
    }

    /// Sets what it shall do. Takes effect within a second.
    pub fn want(&self, state: TargetState) {
        let code = match state {
            TargetState::Running => 0,
            TargetState::Paused => 1,
            TargetState::Stopped => 2,
        };
        self.wanted.store(code, Ordering::Release);
    }

    /// It shall work.
    pub fn may_run(&self) -> bool {
        self.wanted.load(Ordering::Acquire) == 0
    }

    /// It was stopped, and nothing of it runs any more.
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    pub(crate) fn set_ended(&self, ended: bool) {
        self.ended.store(ended, Ordering::Release);
    }
}

/// The three connectors of a flow.
#[derive(Debug, Default)]
pub struct Control {
    /// Copies records.
    pub source: ControlledConnector,
    /// Follows consumer groups.
    pub checkpoint: ControlledConnector,
    /// Emits heartbeats.
    pub heartbeat: ControlledConnector,
}
