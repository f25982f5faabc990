//! What links tell a replicator.

use std::time::Duration;

use actix::Message;
use engine::batch::RawBatch;
use engine::cluster::ErrorCode;
use engine::lane::raw::produce::Outcome;

/// Batches that a source link fetched.
#[derive(Debug)]
pub(crate) struct Chunk {
    /// Which following they belong to; another one's are thrown away.
    pub follow_id: u64,
    /// Whole batches, in order.
    pub batches: Vec<RawBatch>,
    /// What was booked for them.
    pub credit_bytes: usize,
    /// Aborted transactions that reach into them: (producer id, first offset).
    pub aborted: Vec<(i64, i64)>,
    /// End of what consumers may read.
    pub high_watermark: i64,
    /// First offset that is still there; -1 unknown.
    pub log_start: i64,
}

impl Message for Chunk {
    type Result = ();
}

/// A source link reads the partition no more.
#[derive(Debug)]
pub(crate) struct FollowEnded {
    /// Which following.
    pub follow_id: u64,
    /// Why.
    pub end: FollowEnd,
}

impl Message for FollowEnded {
    type Result = ();
}

/// Why a partition is read no more.
#[derive(Clone, Debug)]
pub(crate) enum FollowEnd {
    /// The broker cannot be spoken to.
    LinkDown(String),
    /// The broker answered with an error.
    Refused(ErrorCode),
    /// The source's log does not hold what was read last (KIP-320): it was cut at `end_offset`.
    Diverging {
        /// Epoch up to which both agree.
        epoch: i32,
        /// Its end.
        end_offset: i64,
    },
    /// What is stored there is no batch of this format.
    Unreadable {
        /// Where.
        offset: i64,
        /// What is wrong.
        reason: String,
    },
    /// The flow takes in nothing more.
    Draining,
}

/// What a target broker said of one batch.
#[derive(Debug)]
pub(crate) struct Answered {
    /// Which attempt.
    pub ticket: u64,
    /// The verdict.
    pub outcome: Outcome,
    /// From the request's writing to its answer, divided by the requests in flight; none when there was no answer.
    pub round_trip: Option<Duration>,
}

impl Message for Answered {
    type Result = ();
}
