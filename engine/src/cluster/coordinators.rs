//! Coordinators: which broker keeps a group's offsets or a transactional id's state.
//!
//! What is found is kept until the broker says that it is another one, or does not answer.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use kafka_protocol::messages::{FindCoordinatorRequest, FindCoordinatorResponse};
use kafka_protocol::protocol::{Request, StrBytes};
use tokio::time::{Instant, sleep};

use super::{BrokerAddress, Cluster, ClusterError, ErrorCode, Refusal};
use crate::wire::{Connection, WireError};

/// Name of the request.
const API: &str = "FindCoordinator";
/// From this version on one request takes many keys (KIP-699).
const VERSION_MANY: i16 = 4;
/// First version that knows other kinds than groups.
const VERSION_KINDS: i16 = 1;
/// Keys a request.
const KEYS_PER_REQUEST: usize = 1_000;
/// Coordinators that are remembered; when there are more, all are forgotten and looked up anew.
const COORDINATORS_MAX: usize = 200_000;
/// First and longest pause before a coordinator that is not ready is asked again.
const PAUSE_MIN: Duration = Duration::from_millis(1);
const PAUSE_MAX: Duration = Duration::from_millis(200);

/// What is coordinated; the value is Kafka's key type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum CoordinatorKind {
    Group = 0,
    Transaction = 1,
}

/// The coordinators found so far, by kind and key: node ids.
pub(super) type Coordinators = DashMap<(CoordinatorKind, Arc<str>), i32>;

/// Pauses that double, up to [`PAUSE_MAX`].
pub(super) struct Pause(Duration);

impl Default for Pause {
    fn default() -> Self {
        Self(PAUSE_MIN)
    }
}

impl Pause {
    /// Waits, unless `deadline` would pass meanwhile: false then.
    pub(super) async fn wait(&mut self, deadline: Instant) -> bool {
        if Instant::now() + self.0 >= deadline {
            return false;
        }
        sleep(self.0).await;
        self.0 = (self.0 * 2).min(PAUSE_MAX);
        true
    }
}

/// The coordinator is moving, starting or reading its log.
pub(super) fn is_moving(code: ErrorCode) -> bool {
    code == ErrorCode::COORDINATOR_LOAD_IN_PROGRESS || is_elsewhere(code)
}

fn is_elsewhere(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::COORDINATOR_NOT_AVAILABLE | ErrorCode::NOT_COORDINATOR
    )
}

/// A broker that dies or has just left; another one, or the same one again, answers soon.
pub(super) fn is_outage(error: &ClusterError) -> bool {
    matches!(
        error,
        ClusterError::Unreachable { .. }
            | ClusterError::UnknownBroker { .. }
            | ClusterError::Wire(
                WireError::Connect { .. } | WireError::Closed { .. } | WireError::Deadline { .. }
            )
    )
}

/// A request to the coordinator of one key.
pub(super) struct ToCoordinator<'a, R> {
    pub(super) kind: CoordinatorKind,
    pub(super) key: &'a Arc<str>,
    /// Name of the request.
    pub(super) api: &'static str,
    pub(super) body: &'a R,
    /// Lowest and highest version that will do.
    pub(super) versions: (i16, i16),
    /// Nothing is sent again behind it.
    pub(super) deadline: Instant,
    /// Sending it twice does what sending it once does: so it may be sent again when its answer is lost.
    pub(super) repeatable: bool,
}

impl Cluster {
    /// Asks a coordinator, and again while it is moving, or while `again` says so of the answer's code. Behind the
    /// deadline the last answer is handed out, whatever it says.
    ///
    /// # Errors
    /// [`ClusterError`] when there is no coordinator or no answer in time.
    pub(super) async fn ask_coordinator<R: Request>(
        &self,
        asked: ToCoordinator<'_, R>,
        code_of: impl Fn(&R::Response) -> ErrorCode,
        again: impl Fn(ErrorCode) -> bool,
    ) -> Result<R::Response, ClusterError> {
        let mut pause = Pause::default();
        loop {
            match self.ask_coordinator_once(&asked).await {
                Ok(answer) => {
                    let code = code_of(&answer);
                    if is_elsewhere(code) {
                        self.forget_coordinator(asked.kind, asked.key);
                    }
                    let unsettled = is_moving(code) || again(code);
                    if !unsettled || !pause.wait(asked.deadline).await {
                        return Ok(answer);
                    }
                }
                Err((sent, error)) => {
                    self.forget_coordinator(asked.kind, asked.key);
                    let may_repeat = is_outage(&error) && (asked.repeatable || !sent);
                    if !may_repeat || !pause.wait(asked.deadline).await {
                        return Err(error);
                    }
                }
            }
        }
    }

    /// An error says whether the request may have been sent.
    async fn ask_coordinator_once<R: Request>(
        &self,
        asked: &ToCoordinator<'_, R>,
    ) -> Result<R::Response, (bool, ClusterError)> {
        let connection = self
            .coordinator(asked.kind, asked.key, asked.deadline)
            .await
            .map_err(|error| (false, error))?;
        let (min, max) = asked.versions;
        let version = connection
            .versions()
            .best_of(asked.api, R::KEY, min, max.min(R::VERSIONS.max))
            .map_err(|error| (false, error.into()))?;
        connection
            .request_version(
                asked.api,
                asked.body,
                version,
                self.time_left(asked.deadline),
            )
            .await
            .map_err(|error| (true, error.into()))
    }

    /// The control connection to a key's coordinator.
    ///
    /// # Errors
    /// [`ClusterError::Refused`] when the cluster names none until `deadline`, or why it does not answer.
    pub(super) async fn coordinator(
        &self,
        kind: CoordinatorKind,
        key: &Arc<str>,
        deadline: Instant,
    ) -> Result<Connection, ClusterError> {
        let keys = std::slice::from_ref(key);
        let found = self.coordinators_of(kind, keys, deadline).await?;
        match found.into_iter().next() {
            Some((_, Ok(node))) => self.broker(node).await,
            Some((_, Err(refusal))) => Err(ClusterError::Refused {
                alias: self.alias.clone(),
                api: API,
                what: key.to_string(),
                refusal,
            }),
            None => Err(self.leaves_out(key)),
        }
    }

    /// The coordinating node of each key, once for each; in no order. Keys without a coordinator are asked for again until
    /// `deadline`: the first who ask cause the internal topic to be created (`docs/spec/real-kafka.md` 1, step 1).
    ///
    /// # Errors
    /// [`ClusterError`] when no broker answers.
    pub(super) async fn coordinators_of(
        &self,
        kind: CoordinatorKind,
        keys: &[Arc<str>],
        deadline: Instant,
    ) -> Result<Vec<(Arc<str>, Result<i32, Refusal>)>, ClusterError> {
        let mut found = Vec::with_capacity(keys.len());
        let mut wanted = Vec::new();
        for key in keys {
            match self.coordinators.get(&(kind, key.clone())) {
                Some(node) => found.push((key.clone(), Ok(*node))),
                None => wanted.push(key.clone()),
            }
        }
        wanted.sort_unstable();
        wanted.dedup();
        let mut pause = Pause::default();
        while !wanted.is_empty() {
            let answers = match self.find_coordinators(kind, &wanted, deadline).await {
                Err(error) if is_outage(&error) && pause.wait(deadline).await => continue,
                answers => answers?,
            };
            let moving = |answer: &Result<i32, Refusal>| {
                answer
                    .as_ref()
                    .is_err_and(|refusal| is_moving(refusal.code))
            };
            let ask_again =
                answers.iter().any(|(_, answer)| moving(answer)) && pause.wait(deadline).await;
            wanted.clear();
            for (key, answer) in answers {
                if let Ok(node) = &answer {
                    self.remember_coordinator(kind, key.clone(), *node);
                }
                if ask_again && moving(&answer) {
                    wanted.push(key);
                } else {
                    found.push((key, answer));
                }
            }
        }
        Ok(found)
    }

    /// Asks any broker, once for each key.
    async fn find_coordinators(
        &self,
        kind: CoordinatorKind,
        keys: &[Arc<str>],
        deadline: Instant,
    ) -> Result<Vec<(Arc<str>, Result<i32, Refusal>)>, ClusterError> {
        let connection = self.any().await?;
        let oldest = match kind {
            CoordinatorKind::Group => 0,
            CoordinatorKind::Transaction => VERSION_KINDS,
        };
        let key = FindCoordinatorRequest::KEY;
        let version = connection
            .versions()
            .best_of(API, key, oldest, VERSION_MANY)?;
        let many = version >= VERSION_MANY;
        let mut found = Vec::with_capacity(keys.len());
        for keys in keys.chunks(if many { KEYS_PER_REQUEST } else { 1 }) {
            let mut names = keys
                .iter()
                .map(|key| StrBytes::from_string(key.to_string()));
            let mut request = FindCoordinatorRequest::default();
            if version >= VERSION_KINDS {
                request = request.with_key_type(kind as i8);
            }
            request = if many {
                request.with_coordinator_keys(names.collect())
            } else {
                request.with_key(names.next().unwrap_or_default())
            };
            let answer = connection
                .request_version(API, &request, version, self.time_left(deadline))
                .await?;
            if !many {
                found.extend(keys.iter().cloned().map(|key| (key, self.one(&answer))));
                continue;
            }
            let rows = answer.coordinators.iter();
            let by_key: HashMap<&str, _> = rows.map(|row| (row.key.as_str(), row)).collect();
            for key in keys {
                let row = by_key.get(&**key).ok_or_else(|| self.leaves_out(key))?;
                let node = self.named(
                    (row.error_code, row.error_message.as_deref()),
                    (row.node_id.0, &row.host, row.port),
                );
                found.push((key.clone(), node));
            }
        }
        Ok(found)
    }

    fn one(&self, answer: &FindCoordinatorResponse) -> Result<i32, Refusal> {
        self.named(
            (answer.error_code, answer.error_message.as_deref()),
            (answer.node_id.0, &answer.host, answer.port),
        )
    }

    /// The node that a row names; its address is remembered if Metadata has not told it yet.
    fn named(
        &self,
        (code, message): (i16, Option<&str>),
        (id, host, port): (i32, &str, i32),
    ) -> Result<i32, Refusal> {
        if let Some(refusal) = Refusal::new(code, message) {
            return Err(refusal);
        }
        let Ok(port) = u16::try_from(port) else {
            return Err(Refusal {
                code: ErrorCode::COORDINATOR_NOT_AVAILABLE,
                message: Some(format!("broker {id} is named with port {port}")),
            });
        };
        let host = host.into();
        self.brokers
            .entry(id)
            .or_insert(BrokerAddress { id, host, port });
        Ok(id)
    }

    fn remember_coordinator(&self, kind: CoordinatorKind, key: Arc<str>, node: i32) {
        if self.coordinators.len() >= COORDINATORS_MAX {
            self.coordinators.clear();
        }
        self.coordinators.insert((kind, key), node);
    }

    /// The next request for `key` looks its coordinator up.
    pub(super) fn forget_coordinator(&self, kind: CoordinatorKind, key: &Arc<str>) {
        self.coordinators.remove(&(kind, key.clone()));
    }

    fn leaves_out(&self, key: &str) -> ClusterError {
        ClusterError::Unreadable {
            alias: self.alias.clone(),
            what: key.to_owned(),
            reason: format!("the answer to {API} leaves it out"),
        }
    }
}

impl Cluster {
    /// What an answer may take: up to `deadline`, at least a second, at most the cluster's request timeout.
    fn time_left(&self, deadline: Instant) -> Duration {
        const LEAST: Duration = Duration::from_secs(1);
        deadline
            .saturating_duration_since(Instant::now())
            .clamp(LEAST, self.options.request_timeout.max(LEAST))
    }
}
