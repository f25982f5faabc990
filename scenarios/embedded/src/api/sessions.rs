//! Fetch sessions (KIP-227): a broker remembers what a client fetches, so that requests and answers name only what changed.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};

use indexmap::IndexMap;
use kafka_protocol::error::ResponseError;
use uuid::Uuid;

/// `max.incremental.fetch.session.cache.slots`: sessions of one broker.
const SLOTS: usize = 1000;

/// `min.incremental.fetch.session.eviction.ms`: a session that was idle for longer may be given up for a new one.
const EVICTION_MS: i64 = 120_000;

/// A topic as the client named it: by name, or by id (Fetch v13 and later). With an id, `name` is what the id stood for,
/// and says nothing of which topic it is.
#[derive(Debug, Clone)]
pub(crate) struct TopicKey {
    pub(crate) name: String,
    /// Nil when fetched by name.
    pub(crate) id: Uuid,
}

impl PartialEq for TopicKey {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id && (!self.id.is_nil() || self.name == other.name)
    }
}

impl Eq for TopicKey {}

impl Hash for TopicKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        if self.id.is_nil() {
            self.name.hash(state);
        } else {
            self.id.hash(state);
        }
    }
}

/// One partition as a client wants it.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) offset: i64,
    pub(crate) max_bytes: i32,
    pub(crate) current_leader_epoch: i32,
    pub(crate) last_fetched_epoch: i32,
    /// High watermark and log start as last told; -1: never.
    pub(crate) told: (i64, i64),
}

/// Partitions in the order in which they are served.
pub(crate) type WantedPartitions = IndexMap<(TopicKey, i32), Wanted>;

#[derive(Debug)]
struct Session {
    node_id: i32,
    epoch: i32,
    by_id: bool,
    used_ms: i64,
    partitions: WantedPartitions,
    /// A request is being answered.
    busy: bool,
}

/// What a Fetch request is about, as far as sessions go.
#[derive(Debug)]
pub(crate) struct Round {
    /// What the answer carries: 0 without a session.
    pub(crate) session_id: i32,
    /// Only changes are answered.
    pub(crate) incremental: bool,
    pub(crate) partitions: WantedPartitions,
}

/// All sessions of a cluster's brokers.
#[derive(Debug, Default)]
pub(crate) struct Sessions(Mutex<HashMap<i32, Session>>);

/// The session part of a request.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) node_id: i32,
    pub(crate) session_id: i32,
    pub(crate) epoch: i32,
    pub(crate) by_id: bool,
    pub(crate) now_ms: i64,
    pub(crate) partitions: WantedPartitions,
    pub(crate) forgotten: Vec<(TopicKey, i32)>,
}

impl Sessions {
    fn lock(&self) -> MutexGuard<'_, HashMap<i32, Session>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens, continues or closes a session.
    ///
    /// # Errors
    /// FETCH_SESSION_ID_NOT_FOUND, INVALID_FETCH_SESSION_EPOCH, FETCH_SESSION_TOPIC_ID_ERROR: for the whole request.
    pub(crate) fn begin(&self, asked: Asked) -> Result<Round, ResponseError> {
        let mut sessions = self.lock();
        if asked.epoch <= 0 {
            let own = sessions
                .get(&asked.session_id)
                .is_some_and(|session| session.node_id == asked.node_id);
            if own {
                sessions.remove(&asked.session_id);
            }
            let session_id = if asked.epoch == 0 {
                open(&mut sessions, &asked)
            } else {
                0
            };
            return Ok(Round {
                session_id,
                incremental: false,
                partitions: asked.partitions,
            });
        }
        let session = sessions
            .get_mut(&asked.session_id)
            .filter(|session| session.node_id == asked.node_id);
        let session = session.ok_or(ResponseError::FetchSessionIdNotFound)?;
        // A second request of a session whose first is still being answered cannot be the next one.
        if session.epoch != asked.epoch || session.busy {
            return Err(ResponseError::InvalidFetchSessionEpoch);
        }
        if session.by_id != asked.by_id {
            return Err(ResponseError::FetchSessionTopicIdError);
        }
        let mut keys = session.partitions.keys().chain(asked.partitions.keys());
        if keys.all(|key| asked.forgotten.contains(key)) {
            // A session of nothing ends, and the request is answered without one.
            sessions.remove(&asked.session_id);
            return Ok(Round {
                session_id: 0,
                incremental: false,
                partitions: asked.partitions,
            });
        }
        session.epoch = if asked.epoch == i32::MAX {
            1
        } else {
            asked.epoch + 1
        };
        session.used_ms = asked.now_ms;
        for (key, mut wanted) in asked.partitions {
            if let Some(known) = session.partitions.get(&key) {
                wanted.told = known.told;
            }
            session.partitions.insert(key, wanted);
        }
        for key in &asked.forgotten {
            session.partitions.shift_remove(key);
        }
        session.busy = true;
        Ok(Round {
            session_id: asked.session_id,
            incremental: true,
            partitions: std::mem::take(&mut session.partitions),
        })
    }

    /// Gives the partitions back, with what the client was told and in the order of the next round.
    pub(crate) fn end(&self, session_id: i32, partitions: WantedPartitions) {
        if let Some(session) = self.lock().get_mut(&session_id) {
            session.partitions = partitions;
            session.busy = false;
        }
    }

    /// Topic and partition of all that a session fetches.
    pub(crate) fn partitions(&self, session_id: i32) -> Vec<(String, i32)> {
        let sessions = self.lock();
        let wanted = sessions
            .get(&session_id)
            .map(|session| session.partitions.keys());
        let keys = wanted.into_iter().flatten();
        keys.map(|(topic, partition)| (topic.name.clone(), *partition))
            .collect()
    }

    /// Forgets all sessions of a broker: it was stopped.
    pub(crate) fn forget(&self, node_id: i32) {
        self.lock().retain(|_, session| session.node_id != node_id);
    }
}

/// A new session's id, or 0 if there is no room for one.
fn open(sessions: &mut HashMap<i32, Session>, asked: &Asked) -> i32 {
    let of_broker = sessions
        .iter()
        .filter(|(_, session)| session.node_id == asked.node_id);
    if of_broker.clone().count() >= SLOTS {
        let oldest = of_broker.min_by_key(|(_, session)| session.used_ms);
        match oldest.map(|(id, session)| (*id, session.used_ms)) {
            Some((id, used_ms)) if asked.now_ms - used_ms > EVICTION_MS => {
                drop(sessions.remove(&id))
            }
            _ => return 0,
        }
    }
    let mut session_id = 0;
    while session_id <= 0 || sessions.contains_key(&session_id) {
        // 31 random bits
        session_id = i32::try_from(Uuid::new_v4().as_u128() & 0x7fff_ffff).unwrap_or(0);
    }
    let session = Session {
        node_id: asked.node_id,
        epoch: 1,
        by_id: asked.by_id,
        used_ms: asked.now_ms,
        partitions: WantedPartitions::new(),
        busy: true,
    };
    sessions.insert(session_id, session);
    session_id
}
