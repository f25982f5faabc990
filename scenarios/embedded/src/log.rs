#![allow(dead_code)]
use bytes::Bytes;
use kafka_protocol::error::ResponseError;
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct LogSettings {
    pub min_insync_replicas: i32,
}
pub(crate) struct Append<'a> {
    pub records: Option<Bytes>,
    pub version: i16,
    pub now_ms: i64,
    pub leader_epoch: i32,
    pub settings: &'a LogSettings,
    pub internal_client: bool,
    pub transaction_verified: bool,
}
pub(crate) struct Appended {
    pub base_offset: i64,
    pub last_offset: i64,
    pub log_append_time_ms: i64,
    pub log_start_offset: i64,
    pub duplicate: bool,
}
pub(crate) struct Refused {
    pub error: ResponseError,
    pub message: Option<String>,
    pub record_errors: Vec<(i32, Option<String>)>,
}
pub(crate) struct Slice {
    pub records: Bytes,
    pub aborted: Vec<(i64, i64)>,
}
pub(crate) enum ReadError {
    OutOfRange,
}
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Isolation {
    Uncommitted,
    Committed,
    LogEnd,
}
#[derive(Debug)]
pub(crate) struct Log;
impl Log {
    pub fn new() -> Self {
        Self
    }
    pub fn append(&mut self, _: &Append<'_>) -> Result<Appended, Refused> {
        todo!()
    }
    pub fn read(&self, _: i64, _: usize, _: bool, _: Isolation) -> Result<Slice, ReadError> {
        todo!()
    }
    pub fn start_offset(&self) -> i64 {
        0
    }
    pub fn end_offset(&self) -> i64 {
        0
    }
    pub fn high_watermark(&self) -> i64 {
        0
    }
    pub fn last_stable_offset(&self) -> i64 {
        0
    }
    pub fn offset_for_timestamp(&self, _: i64, _: Isolation) -> Option<(i64, i64, i32)> {
        None
    }
    pub fn max_timestamp(&self) -> Option<(i64, i64, i32)> {
        None
    }
    pub fn epoch_at(&self, _: i64) -> i32 {
        0
    }
    pub fn latest_epoch(&self) -> Option<i32> {
        None
    }
    pub fn end_of_epoch(&self, _: i32, _: i32) -> (i32, i64) {
        (0, 0)
    }
    pub fn begin_epoch(&mut self, _: i32) {}
}
