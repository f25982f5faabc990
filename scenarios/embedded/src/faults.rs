//! Faults on request: what may go wrong between a client and a broker, for how long, and for whom.
//!
//! A [`Fault`] is an [`Effect`] and a description of the requests that it hits; [`EmbeddedCluster::inject`] makes it real until its
//! [`FaultHandle`] is dropped. Without faults and frozen brokers, a request costs two loads of one atomic.

mod answers;
mod data;
mod partitions;
mod refusals;
mod rule;
mod verdict;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::ApiKey;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::cluster::EmbeddedCluster;

pub(crate) use answers::{End, Fate};
pub(crate) use rule::Rule;
pub(crate) use verdict::Verdict;

/// What goes wrong.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Effect {
    /// The answer arrives so much later, as with a longer way; it does not hold up the requests behind it.
    Delay(Duration),
    /// Requests and answers share a line of this width, each way; all connections that the fault hits share it.
    /// An answer arrives when its last byte does. Unit: bytes per second, at least 1.
    Bandwidth(u64),
    /// The request is lost: nothing is done, and its connection is silent from then on (what it sends is read and thrown away).
    Drop,
    /// The request is carried out and its answer is lost.
    LoseAnswer(After),
    /// The connection is reset (RST) when the request has arrived; nothing is done.
    Reset,
    /// From the first request on, the connection stays open, and nothing is read or answered on it any more, not even after the
    /// fault has ended: only a new connection helps.
    HalfOpen,
    /// The request is held as by a broker whose threads hang: it is carried out and answered when the fault ends, which may be
    /// never. What comes behind it on its connection waits.
    NeverAnswer,
    /// New connections are closed on accept. Only the broker of the description counts: who connects is not known yet.
    Refuse,
    /// Nothing is done, and the answer carries this code: for each partition (topic, group, resource) where the API answers each by
    /// itself, else for the whole request. Produce, Fetch and ListOffsets serve partitions that the fault does not hit.
    Error(ResponseError),
    /// The broker throttles (KIP-219, docs/spec/real-kafka.md 7): it answers at once with this `throttle_time_ms`, a Fetch without
    /// topics; with `mute` it then reads nothing from that connection for as long.
    Throttle {
        /// Unit: milliseconds.
        ms: i32,
        /// Whether the connection is muted, as a real broker does.
        mute: bool,
    },
    /// `producer_byte_rate` or `consumer_byte_rate`, by the description's API (Produce or Fetch; both if none is given): each
    /// client id may send or fetch so much from each broker; ten seconds' worth passes before it is throttled as by
    /// [`Effect::Throttle`]. Unit: bytes per second, at least 1.
    Quota(u64),
    /// The authorizer denies: each API answers with its own code. With a topic in the description, only that topic is denied.
    DenyAuthorization,
    /// The session of the authenticated client has ended: SaslAuthenticate is answered with SASL_AUTHENTICATION_FAILED, for
    /// anything else the connection is closed without an answer.
    ExpireCredentials,
    /// A bit of the fetched records is flipped on the way: their checksum does not hold.
    CorruptBytes,
}

/// What becomes of a connection whose answer was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// It is closed: the client knows at once that it does not know.
    Closed,
    /// It stays open and silent: the client has to time out.
    Silent,
}

/// An effect, and which requests it hits: all of every client at every broker, unless restricted.
///
/// ```
/// use embedded::{ApiKey, Effect, EmbeddedCluster, Fault, ResponseError};
///
/// let cluster = EmbeddedCluster::start(1)?;
/// let fault = Fault::new(Effect::Error(ResponseError::NotLeaderOrFollower))
///     .on_api(ApiKey::Produce)
///     .on_partition("orders", 0)
///     .times(3);
/// let handle = cluster.inject(fault);
/// assert_eq!(handle.hits(), 0);
/// handle.clear();
/// # Ok::<(), embedded::StartError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    effect: Effect,
    broker: Option<i32>,
    api: Option<ApiKey>,
    client_id: Option<String>,
    topic: Option<(String, Option<i32>)>,
    times: u64,
    until_ms: i64,
    lasts: Option<Duration>,
}

impl Fault {
    /// Hits every request until it is cleared.
    pub fn new(effect: Effect) -> Self {
        Self {
            effect,
            broker: None,
            api: None,
            client_id: None,
            topic: None,
            times: u64::MAX,
            until_ms: i64::MAX,
            lasts: None,
        }
    }

    /// Only requests to this broker.
    pub fn on_broker(mut self, node_id: i32) -> Self {
        self.broker = Some(node_id);
        self
    }

    /// Only requests of this API.
    pub fn on_api(mut self, api: ApiKey) -> Self {
        self.api = Some(api);
        self
    }

    /// Only requests of clients whose `client.id` begins so.
    pub fn of_client(mut self, prefix: &str) -> Self {
        self.client_id = Some(prefix.to_owned());
        self
    }

    /// Only requests that name this topic. Understood of Produce, Fetch (also by its session), ListOffsets and
    /// OffsetForLeaderEpoch; a fault on a topic never hits other APIs, but for [`Effect::DenyAuthorization`].
    pub fn on_topic(mut self, topic: &str) -> Self {
        self.topic = Some((topic.to_owned(), None));
        self
    }

    /// As [`Fault::on_topic`], one partition of it.
    pub fn on_partition(mut self, topic: &str, partition: i32) -> Self {
        self.topic = Some((topic.to_owned(), Some(partition)));
        self
    }

    /// At most so many requests (connections, for [`Effect::Refuse`]). Default: no bound.
    pub fn times(mut self, times: u64) -> Self {
        self.times = times;
        self
    }

    /// Until this moment of the cluster's clock. Unit: milliseconds since 1970. Default: until cleared.
    pub fn until(mut self, moment_ms: i64) -> Self {
        self.until_ms = moment_ms;
        self
    }

    /// For so long after it was injected, by the cluster's clock.
    pub fn for_duration(mut self, lasts: Duration) -> Self {
        self.lasts = Some(lasts);
        self
    }
}

/// A fault that was injected. It ends with this value.
#[derive(Debug)]
#[must_use = "the fault ends when its handle is dropped"]
pub struct FaultHandle {
    rule: Arc<Rule>,
    faults: Arc<Registry>,
}

impl FaultHandle {
    /// How many requests it has hit so far.
    pub fn hits(&self) -> u64 {
        self.rule.hits()
    }

    /// Ends it, as dropping does. Requests that it held go on.
    pub fn clear(self) {}
}

impl Drop for FaultHandle {
    fn drop(&mut self) {
        self.rule.end();
        let rules = |known: &mut Known| known.rules.retain(|rule| !Arc::ptr_eq(rule, &self.rule));
        self.faults.change(rules);
    }
}

impl EmbeddedCluster {
    /// Makes a fault real, until its handle is dropped or it ends by itself.
    pub fn inject(&self, fault: Fault) -> FaultHandle {
        let shared = self.shared();
        let rule = Arc::new(Rule::new(fault, shared.clock.now_ms()));
        let added = Arc::clone(&rule);
        shared.faults.0.change(|known| known.rules.push(added));
        let faults = Arc::clone(&shared.faults.0);
        FaultHandle { rule, faults }
    }
}

/// All faults of a cluster, and which brokers are frozen.
#[derive(Debug)]
pub(crate) struct Faults(Arc<Registry>);

#[derive(Debug)]
struct Registry {
    clock: Clock,
    /// Rules and frozen brokers: what requests look at first.
    count: AtomicUsize,
    known: Mutex<Known>,
    /// Tells whoever waits for the end of a fault to look again.
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Known {
    rules: Vec<Arc<Rule>>,
    frozen: BTreeSet<i32>,
}

impl Registry {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Known)) {
        let mut known = self.known();
        change(&mut known);
        let count = known.rules.len() + known.frozen.len();
        self.count.store(count, Ordering::Release);
        drop(known);
        self.changed.send_replace(());
    }
}

impl Faults {
    pub(crate) fn new(clock: Clock) -> Self {
        Self(Arc::new(Registry {
            clock,
            count: AtomicUsize::new(0),
            known: Mutex::default(),
            changed: watch::Sender::new(()),
        }))
    }

    /// Whether there is anything to look at. All that a request costs without faults.
    pub(crate) fn any(&self) -> bool {
        self.0.count.load(Ordering::Acquire) != 0
    }

    pub(crate) fn freeze(&self, node_id: i32) {
        self.0.change(|known| {
            known.frozen.insert(node_id);
        });
    }

    pub(crate) fn thaw(&self, node_id: i32) {
        self.0.change(|known| {
            known.frozen.remove(&node_id);
        });
    }

    /// Waits while a broker is frozen.
    pub(crate) async fn thawed(&self, node_id: i32) {
        let mut changed = self.0.changed.subscribe();
        while self.0.known().frozen.contains(&node_id) {
            // The sender lives as long as the cluster.
            changed.changed().await.ok();
        }
    }

    /// Waits until a rule has ended.
    async fn ended(&self, rule: &Rule) {
        let mut changed = self.0.changed.subscribe();
        let clock = &self.0.clock;
        while rule.lasts(clock.now_ms()) {
            tokio::select! {
                _ = changed.changed() => {}
                () = clock.until(rule.until_ms()) => {}
            }
        }
    }

    /// Waits while the broker is frozen, then says whether a new connection is served.
    pub(crate) async fn accepts(&self, node_id: i32) -> bool {
        self.thawed(node_id).await;
        let now_ms = self.0.clock.now_ms();
        let known = self.0.known();
        let mut refusing = known
            .rules
            .iter()
            .filter(|rule| *rule.effect() == Effect::Refuse && rule.is_of_broker(node_id));
        !refusing.any(|rule| rule.take(now_ms))
    }
}
