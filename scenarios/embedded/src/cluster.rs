//! A cluster as its owner sees it.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use tokio::runtime::{Builder as RuntimeBuilder, Handle};
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::clock::Clock;
use crate::config::Configs;
use crate::faults::Faults;
use crate::housekeeping;
use crate::security::Security;
use crate::server::{self, Listening, Ports};
use crate::settings::Settings;
use crate::state::{Broker, State, Status};
use crate::transactions::{self, Transactions};

/// Most brokers of a cluster: the limit is what tests need, not a technical one.
pub const BROKERS_MAX: i32 = 5;

/// Why a cluster, or one of its brokers, could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A number of brokers outside 1 to [`BROKERS_MAX`].
    #[error("{0} brokers: an embedded cluster has 1 to {BROKERS_MAX}")]
    Brokers(i32),
    /// A server property that is known but has an impossible value.
    #[error("{key} = {value}: {reason}")]
    Property {
        /// The property.
        key: String,
        /// Its value.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Certificates or keys of a listener cannot be used.
    #[error("listener {listener}: {reason}")]
    Tls {
        /// The listener's name.
        listener: String,
        /// What is wrong.
        reason: String,
    },
    /// A port is taken, or sockets or threads have run out.
    #[error("cannot listen on {address}")]
    Listen {
        /// Where.
        address: String,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The cluster's thread could not be started.
    #[error("cannot start the cluster's thread")]
    Thread(#[source] io::Error),
}

/// A Kafka cluster in this process: one thread, one port per broker and listener on loopback. Gone when dropped.
#[derive(Debug)]
pub struct EmbeddedCluster {
    shared: Arc<Shared>,
    /// Dropping it ends the thread.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What connections, coordinators and the owner share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// 22 characters, as Kafka's.
    pub(crate) cluster_id: String,
    pub(crate) clock: Clock,
    pub(crate) settings: Settings,
    pub(crate) sessions: crate::api::sessions::Sessions,
    pub(crate) security: Security,
    pub(crate) transactions: Transactions,
    pub(crate) groups: crate::groups::Groups,
    pub(crate) faults: Faults,
    state: Mutex<State>,
    runtime: Handle,
    /// What listens, by node id.
    listening: Mutex<BTreeMap<i32, Listening>>,
    /// By node id.
    ports: Mutex<BTreeMap<i32, Ports>>,
}

impl Shared {
    /// A cluster whose brokers are all down.
    ///
    /// # Errors
    /// [`StartError::Property`] and [`StartError::Tls`].
    pub(crate) fn new(settings: Settings, runtime: Handle) -> Result<Self, StartError> {
        let brokers = (1..=settings.brokers).map(|node_id| {
            let broker = Broker {
                node_id,
                rack: None,
                addresses: Vec::new(),
                status: Status::Down,
                incarnation: 0,
            };
            (node_id, broker)
        });
        let state = State {
            configs: Configs::new(&settings.properties)?,
            brokers: brokers.collect(),
            controller: 1,
            ..State::default()
        };
        Ok(Self {
            cluster_id: random_id(),
            clock: settings.clock.clone(),
            sessions: Default::default(),
            security: Security::new(&settings)?,
            transactions: Transactions::new(transactions::Limits::parse(&settings)?),
            groups: crate::groups::Groups::new(&settings)?,
            faults: Faults::new(settings.clock.clone()),
            state: Mutex::new(state),
            runtime,
            listening: Mutex::default(),
            ports: Mutex::default(),
            settings,
        })
    }

    /// Starts what the cluster does by the clock.
    pub(crate) fn start_timers(self: &Arc<Self>) {
        let coordinating = transactions::run(Arc::clone(self), self.clock.now_ms());
        self.runtime.spawn(coordinating);
        self.runtime.spawn(crate::groups::run(Arc::clone(self)));
        housekeeping::start(self);
    }

    /// Never held across an await. Lock order: this one, then a partition's.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn runtime(&self) -> &Handle {
        &self.runtime
    }
}

impl EmbeddedCluster {
    /// A cluster of `brokers` brokers on free ports, with plaintext listeners and Kafka's defaults.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(brokers: i32) -> Result<Self, StartError> {
        Self::start_with(Settings {
            brokers,
            ..Settings::default()
        })
    }

    /// A cluster as `settings` say.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start_with(settings: Settings) -> Result<Self, StartError> {
        if !(1..=BROKERS_MAX).contains(&settings.brokers) {
            return Err(StartError::Brokers(settings.brokers));
        }
        let (hand_over, handle) = std::sync::mpsc::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let body = move || {
            let runtime = RuntimeBuilder::new_current_thread().enable_all().build();
            match runtime {
                Ok(runtime) => {
                    if hand_over.send(Ok(runtime.handle().clone())).is_ok() {
                        // Ends by a message or by the owner's end.
                        runtime.block_on(stopped).ok();
                    }
                    runtime.shutdown_background();
                }
                Err(error) => {
                    hand_over.send(Err(error)).ok();
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name("embedded".to_owned())
            .spawn(body)
            .map_err(StartError::Thread)?;
        let runtime = match handle.recv() {
            Ok(result) => result.map_err(StartError::Thread)?,
            Err(_) => return Err(StartError::Thread(io::Error::other("it ended at once"))),
        };
        let cluster = Self {
            shared: Arc::new(Shared::new(settings, runtime)?),
            stop: Some(stop),
            thread: Some(thread),
        };
        for node_id in 1..=cluster.shared.settings.brokers {
            server::open(&cluster.shared, node_id)?;
        }
        cluster.shared.start_timers();
        Ok(cluster)
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Kafka's own id of the cluster: 22 characters.
    pub fn cluster_id(&self) -> &str {
        &self.shared.cluster_id
    }

    /// `host:port` of every broker's first listener, separated by commas, for `bootstrap.servers`.
    pub fn bootstrap(&self) -> String {
        let state = self.shared.state();
        let first = state
            .brokers
            .values()
            .filter_map(|broker| broker.addresses.first());
        first.map(ToString::to_string).collect::<Vec<_>>().join(",")
    }
}

impl EmbeddedCluster {
    /// While held, ended transactions wait for their markers: their owners get CONCURRENT_TRANSACTIONS (51), a zombie can still
    /// write, and readers of committed records see nothing new. Released, all of them are written at once.
    pub fn hold_transaction_markers(&self, hold: bool) {
        Transactions::hold_markers(&self.shared, hold);
    }
}

impl Shared {
    pub(crate) fn ports(&self) -> MutexGuard<'_, BTreeMap<i32, Ports>> {
        self.ports.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn listening(&self) -> MutexGuard<'_, BTreeMap<i32, Listening>> {
        self.listening
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for EmbeddedCluster {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been printed; there is nobody to tell.
            thread.join().ok();
        }
    }
}

/// A random id as Kafka writes ids: 16 bytes in URL-safe base64 without padding, and without a dash in front.
pub(crate) fn random_id() -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const DASH: u128 = 62;
    let number = loop {
        let number = Uuid::new_v4().as_u128();
        if number >> 122 != DASH {
            break number;
        }
    };
    // 128 bits are 21 digits of 6 bits and one of 2.
    let digits = (0..22).map(|index| {
        let shift = 122_i32 - 6 * index;
        let digit = if shift >= 0 {
            number >> shift
        } else {
            number << -shift
        };
        char::from(DIGITS[(digit & 63) as usize])
    });
    digits.collect()
}
