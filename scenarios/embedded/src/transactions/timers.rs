//! What a coordinator does by itself.

use std::sync::Arc;

use crate::cluster::Shared;
use crate::state::Topic;

/// Markers that could not be written are tried again after so long.
const RETRY_MS: i64 = 100;

/// Aborts late transactions, forgets old ids and producers, writes what had to wait; the first intervals begin at `started_ms`. Never
/// ends by itself.
pub(crate) async fn run(shared: Arc<Shared>, started_ms: i64) {
    let limits = shared.transactions.limits();
    let every = async |interval_ms: i64, work: fn(&Shared)| {
        let mut last_ms = started_ms;
        loop {
            shared
                .clock
                .until(last_ms.saturating_add(interval_ms))
                .await;
            // Before the work, so that a clock that is moved meanwhile is seen by the next round.
            last_ms = shared.clock.now_ms();
            work(&shared);
        }
    };
    tokio::join!(
        every(RETRY_MS, |shared| shared.transactions.settle_all(shared)),
        every(limits.time_out_interval_ms, |shared| shared
            .transactions
            .abort_timed_out(shared)),
        every(limits.id_expiration_interval_ms, |shared| shared
            .transactions
            .expire(shared)),
        every(limits.producer_expiration_interval_ms, expire_producers),
    );
}

/// Every partition forgets the producers that have not written for `producer.id.expiration.ms`.
fn expire_producers(shared: &Shared) {
    let topics: Vec<Arc<Topic>> = shared.state().topics.values().cloned().collect();
    let (now_ms, limits) = (shared.clock.now_ms(), shared.transactions.limits());
    for partition in topics.iter().flat_map(|topic| &topic.partitions) {
        let mut inner = partition.lock();
        inner
            .log
            .expire_producers(now_ms, limits.producer_expiration_ms);
    }
}
