//! Who may store positions and maps of a flow: one process at a time.
//!
//! A process that slept (a paused machine, a stopped container) and wakes when another one has taken its work must
//! not write what it knew then. The flow's lease is a transactional id whose epoch each start raises, with a marker in every
//! partition of the two topics that hold the flow's state (`docs/spec/real-kafka.md` 1): writes of an earlier start are
//! refused by the broker. Lanes look at it before they are taken over, so that a process that has lost it takes none.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use engine::batch::{ProducerStamp, RawBatch, next_sequence};
use engine::cluster::{Cluster, ClusterError, ErrorCode, FenceError, Fenced};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

/// For how long an answer to "is it still ours" counts: lanes that are taken over together ask once.
const CHECK_AGE_MAX: Duration = Duration::from_millis(500);

/// Why something of the flow's state was not written.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// Another process copies this flow now.
    #[error("another process has taken over the flow: stop one of both, then restart this one")]
    Lost,
    /// The target permitted or offered the transactional id when the lease was taken, and does no longer. Tried again: whether the
    /// flow is still ours cannot be known.
    #[error(
        "the flow's state cannot be written, transactional id {transactional_id} was permitted before: {error}"
    )]
    Withdrawn {
        /// The lease's id.
        transactional_id: String,
        /// What the target says.
        error: FenceError,
    },
    /// Not done, or not known to be done: try again.
    #[error(transparent)]
    Failed(#[from] ClusterError),
}

/// The lease of one flow on its target.
#[derive(Debug, Default)]
pub struct Lease {
    lost: AtomicBool,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    /// The transactional id, and the producer that writes; none where the target does not allow or offer such.
    owner: Option<(String, Fenced)>,
    /// The next sequence of each partition.
    sequences: HashMap<(String, i32), i32>,
    /// An answer is missing: sequences are begun anew.
    in_doubt: bool,
    checked: Option<Instant>,
}

impl Lease {
    /// Another process has the flow. There is no way back but a restart.
    pub fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }

    /// Takes the lease: whoever wrote to `partitions` of the flow's state before cannot any more.
    ///
    /// # Errors
    /// [`LeaseError`]. A target that does not permit or offer transactional ids is none: then nobody is fenced, and why is
    /// what is returned.
    pub async fn take(
        &self,
        target: &Cluster,
        transactional_id: &str,
        partitions: &[(&str, i32)],
    ) -> Result<Option<FenceError>, LeaseError> {
        let mut held = self.held.lock().await;
        match target.fence_all(transactional_id, partitions).await {
            Ok(fenced) => {
                *held = Held {
                    owner: Some((transactional_id.to_owned(), fenced)),
                    checked: Some(Instant::now()),
                    ..Held::default()
                };
                Ok(None)
            }
            Err(error @ (FenceError::NotPermitted(_) | FenceError::NotOffered)) => {
                *held = Held::default();
                Ok(Some(error))
            }
            Err(FenceError::Overtaken(_)) => Err(self.lose()),
            Err(FenceError::Failed(error)) => Err(error.into()),
        }
    }

    /// Whether the flow is ours still, asked of the target unless that was done just now.
    ///
    /// # Errors
    /// [`LeaseError::Lost`] if it is not.
    pub async fn check(&self, target: &Cluster) -> Result<(), LeaseError> {
        if self.is_lost() {
            return Err(LeaseError::Lost);
        }
        let mut held = self.held.lock().await;
        let Some((id, owner)) = &held.owner else {
            return Ok(());
        };
        if held.checked.is_some_and(|at| at.elapsed() < CHECK_AGE_MAX) {
            return Ok(());
        }
        match target.still_owns(id, *owner).await {
            Ok(()) => {
                held.checked = Some(Instant::now());
                Ok(())
            }
            Err(FenceError::Overtaken(_)) => Err(self.lose()),
            Err(FenceError::Failed(error)) => Err(error.into()),
            // It was permitted when the lease was taken: somebody changes permissions just now.
            Err(FenceError::NotPermitted(_) | FenceError::NotOffered) => Ok(()),
        }
    }

    /// Appends to a partition of the flow's state, if the flow is ours.
    ///
    /// # Errors
    /// [`LeaseError`]; the batch may be in the log unless the lease is lost.
    pub async fn append(
        &self,
        target: &Cluster,
        topic: &str,
        partition: i32,
        batch: RawBatch,
        patience: Duration,
    ) -> Result<(), LeaseError> {
        if self.is_lost() {
            return Err(LeaseError::Lost);
        }
        let mut guard = self.held.lock().await;
        let held = &mut *guard;
        let Some((id, owner)) = &mut held.owner else {
            target
                .append(topic, partition, batch, ProducerStamp::NONE, patience)
                .await?;
            return Ok(());
        };
        if held.in_doubt {
            let refresh = target.refresh_fence(id, owner.producer_id, owner.epoch);
            let Ok(refreshed) = timeout(patience, refresh).await else {
                let reason = "an answer does not come";
                target.close_controls(reason).await;
                return Err(LeaseError::Failed(ClusterError::Unreadable {
                    alias: target.alias().into(),
                    what: id.clone(),
                    reason: reason.to_owned(),
                }));
            };
            *owner = match refreshed {
                Ok(fenced) => fenced,
                Err(FenceError::Failed(error)) => return Err(error.into()),
                Err(FenceError::Overtaken(_)) => return Err(self.lose()),
                Err(error @ (FenceError::NotPermitted(_) | FenceError::NotOffered)) => {
                    let transactional_id = id.clone();
                    return Err(LeaseError::Withdrawn {
                        transactional_id,
                        error,
                    });
                }
            };
            held.sequences.clear();
            held.in_doubt = false;
        }
        let sequence = held
            .sequences
            .entry((topic.to_owned(), partition))
            .or_insert(0);
        let stamp = ProducerStamp {
            producer_id: owner.producer_id,
            producer_epoch: owner.epoch,
            base_sequence: *sequence,
            transactional: false,
        };
        let records = batch.header.count();
        // Until it is answered, also if nobody waits for the answer any more.
        held.in_doubt = true;
        match (target.append(topic, partition, batch, stamp, patience)).await {
            Ok(()) => {
                held.in_doubt = false;
                *sequence = next_sequence(*sequence, records);
                Ok(())
            }
            Err(error) if is_overtaken(error.code()) => Err(self.lose()),
            Err(error) => Err(error.into()),
        }
    }

    fn lose(&self) -> LeaseError {
        self.lost.store(true, Ordering::Release);
        LeaseError::Lost
    }
}

/// Whether a refusal means that another owner has taken over.
pub(crate) fn is_overtaken(code: Option<ErrorCode>) -> bool {
    matches!(
        code,
        Some(
            ErrorCode::INVALID_PRODUCER_EPOCH
                | ErrorCode::PRODUCER_FENCED
                | ErrorCode::INVALID_PRODUCER_ID_MAPPING
        )
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use embedded::{
        Effect, EmbeddedCluster, Fault, Operation, PatternType, ResourcePattern, ResourceType,
        Settings,
    };
    use engine::batch::{BatchBuilder, Codec};
    use engine::wire::{BufferPool, ConnectOptions, Security};

    use super::*;

    const PATIENCE: Duration = Duration::from_millis(300);

    fn target(cluster: &EmbeddedCluster) -> Arc<Cluster> {
        let bootstrap = cluster.bootstrap();
        let (host, port) = bootstrap.rsplit_once(':').expect("an address");
        let port = port.parse().expect("a port");
        let options = ConnectOptions {
            client_id: "lease".into(),
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            pool: BufferPool::default(),
            security: Security::default(),
        };
        Cluster::new(
            "west",
            vec![(host.to_owned(), port)],
            options,
            Duration::from_secs(30),
            tokio::runtime::Handle::current(),
        )
    }

    fn batch() -> RawBatch {
        let mut builder = BatchBuilder::new(Codec::None);
        builder
            .push(1_700_000_000_000, Some(b"key"), Some(b"state"), &[])
            .expect("small");
        builder.build().expect("one record")
    }

    /// An answer is lost, and the permission is withdrawn: nobody has taken over, and when it is back the lease is as well.
    #[test]
    fn a_withdrawn_permission_is_not_another_process() {
        let authorizer = "org.apache.kafka.metadata.authorizer.StandardAuthorizer";
        let properties = [
            ("authorizer.class.name", authorizer),
            ("allow.everyone.if.no.acl.found", "true"),
        ];
        let cluster = EmbeddedCluster::start_with(Settings {
            properties: properties
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
            ..Settings::default()
        })
        .expect("it starts");
        actix::System::new().block_on(async {
            let (target, lease) = (target(&cluster), Lease::default());
            (target.create_compacted_topic("state", 1, 1).await).expect("created");
            let why = lease.take(&target, "crosscurrent-east", &[("state", 0)]);
            assert!(why.await.expect("taken").is_none());
            let append = || lease.append(&target, "state", 0, batch(), PATIENCE);
            append().await.expect("ours");

            let silent = cluster.inject(Fault::new(Effect::NeverAnswer).on_topic("state"));
            assert!(matches!(append().await, Err(LeaseError::Failed(_))));
            drop(silent);
            let id = ResourcePattern {
                resource_type: ResourceType::TransactionalId,
                pattern_type: PatternType::Prefixed,
                name: "crosscurrent-".to_owned(),
            };
            cluster.deny("User:*", Operation::Write, id.clone());
            let refused = append().await.expect_err("not permitted");
            assert!(matches!(refused, LeaseError::Withdrawn { .. }), "{refused}");
            let told = refused.to_string();
            assert!(
                told.contains("crosscurrent-east") && told.contains("allow WRITE"),
                "{told}"
            );
            assert!(!lease.is_lost());

            cluster.revoke("User:*", Operation::Write, &id);
            append().await.expect("ours still");
        });
    }
}
