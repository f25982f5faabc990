//! Which leader wrote which part of the log (Kafka's `LeaderEpochFileCache`, KIP-101).

/// Where leader epochs start. Invariant: both epochs and offsets grow.
#[derive(Debug, Default)]
pub(super) struct Epochs(Vec<(i32, i64)>);

impl Epochs {
    /// `epoch` starts at `offset`, unless it or a later one is known already. An epoch that has
    /// written nothing is replaced.
    pub(super) fn assign(&mut self, epoch: i32, offset: i64) {
        if epoch < 0 || self.latest().is_some_and(|latest| latest >= epoch) {
            return;
        }
        while self.0.last().is_some_and(|(_, start)| *start >= offset) {
            self.0.pop();
        }
        self.0.push((epoch, offset));
    }

    pub(super) fn latest(&self) -> Option<i32> {
        self.0.last().map(|(epoch, _)| *epoch)
    }

    /// Epoch of the record at `offset`, -1 if none is known.
    pub(super) fn at(&self, offset: i64) -> i32 {
        let known = self.0.partition_point(|(_, start)| *start <= offset);
        let entry = known.checked_sub(1).and_then(|index| self.0.get(index));
        entry.map_or(-1, |(epoch, _)| *epoch)
    }

    /// See [`super::Log::end_of_epoch`].
    pub(super) fn end_of(&self, epoch: i32, current_epoch: i32, log_end: i64) -> (i32, i64) {
        const UNKNOWN: (i32, i64) = (-1, -1);
        if epoch < 0 {
            return UNKNOWN;
        }
        if epoch == current_epoch || self.latest() == Some(epoch) {
            return (epoch, log_end);
        }
        let known = self.0.partition_point(|(known, _)| *known <= epoch);
        match (
            known.checked_sub(1).and_then(|i| self.0.get(i)),
            self.0.get(known),
        ) {
            (_, None) => UNKNOWN,
            (Some((floor, _)), Some((_, end))) => (*floor, *end),
            // older than all that is known: it ended where the first known one starts
            (None, Some((_, end))) => (epoch, *end),
        }
    }

    /// Forgets epochs that start at or behind `offset`, which is now the end.
    pub(super) fn truncate_to(&mut self, offset: i64) {
        self.0.retain(|(_, start)| *start < offset);
    }

    /// The log starts at `offset` now: of the epochs below, the last one is kept and starts there.
    pub(super) fn start_at(&mut self, offset: i64) {
        let below = self.0.partition_point(|(_, start)| *start <= offset);
        if let Some(kept) = below.checked_sub(1) {
            self.0.drain(..kept);
            if let Some((_, start)) = self.0.first_mut() {
                *start = offset;
            }
        }
    }
}
