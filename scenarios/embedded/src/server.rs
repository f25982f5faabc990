//! Listeners and connections.

mod connection;
#[cfg(any(test, fuzzing))]
mod deaf;
mod incoming;
mod link;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};
use tokio::task::{AbortHandle, JoinSet};

use crate::cluster::{Shared, StartError};
use crate::security::{ANONYMOUS, Entry};
use crate::state::Status;

pub(crate) use connection::{Answer, Closed};
#[cfg(any(test, fuzzing))]
pub(crate) use deaf::Deaf;
pub(crate) use incoming::Incoming;
pub(crate) use link::{Link, Transport};

/// After a failed accept (no file descriptors left), before the next.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// Connections that wait to be accepted, at most.
const BACKLOG: u32 = 1_024;

/// How long closing a broker's sockets may take: the cluster's thread has to come round to it.
const CLOSE_PATIENCE: Duration = Duration::from_secs(10);

/// The open sockets of a broker.
#[derive(Debug)]
pub(crate) struct Listening {
    /// One for each listener; all connections end with it.
    tasks: Vec<AbortHandle>,
    /// Every listener and connection holds a sender until it is closed.
    gone: mpsc::Receiver<()>,
}

/// The ports of a broker that is down: bound, so that nobody else gets them, and not listening, so that clients are refused.
#[derive(Debug, Default)]
pub(crate) struct HeldPorts(Vec<TcpSocket>);

impl HeldPorts {
    fn hold(addresses: &[SocketAddr]) -> Self {
        // A port that was lost already is noticed at the next start.
        Self(
            addresses
                .iter()
                .filter_map(|address| bind(*address).ok())
                .collect(),
        )
    }

    fn take(&mut self, address: SocketAddr) -> Option<TcpSocket> {
        let of_address = |socket: &TcpSocket| socket.local_addr().is_ok_and(|own| own == address);
        let index = self.0.iter().position(of_address)?;
        Some(self.0.swap_remove(index))
    }
}

impl Listening {
    /// Closes listeners and connections; returns when they are closed. Their ports stay with the broker.
    pub(crate) fn close(self, addresses: &[SocketAddr]) -> HeldPorts {
        for task in &self.tasks {
            task.abort();
        }
        // Nothing is ever sent: this ends with the last sender.
        self.gone.recv_timeout(CLOSE_PATIENCE).ok();
        HeldPorts::hold(addresses)
    }
}

/// Opens the sockets of a broker and lets it serve; on its old ports if it had any.
pub(crate) fn open(shared: &Arc<Shared>, node_id: i32) -> Result<(), StartError> {
    let known = shared
        .state()
        .brokers
        .get(&node_id)
        .map(|broker| broker.addresses.clone())
        .unwrap_or_default();
    let index = usize::try_from(node_id - 1).unwrap_or(0);
    let port = shared.settings.ports.get(index).copied().unwrap_or(0);
    let mut sockets = Vec::with_capacity(shared.settings.listeners.len());
    let mut addresses = Vec::with_capacity(shared.settings.listeners.len());
    let mut held = shared.held_ports(node_id);
    let inside = shared.runtime().enter();
    for listener in 0..shared.settings.listeners.len() {
        // Fixed ports are those of the first listener.
        let port = if listener == 0 { port } else { 0 };
        let wanted = known.get(listener).copied();
        let wanted = wanted.unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let refused = |source| StartError::Listen {
            address: wanted.to_string(),
            source,
        };
        let held = match held.take(wanted) {
            Some(held) => held,
            None => bind(wanted).map_err(refused)?,
        };
        let socket = held.listen(BACKLOG).map_err(refused)?;
        addresses.push(socket.local_addr().map_err(refused)?);
        sockets.push(socket);
    }
    drop(inside);
    let (alive, gone) = mpsc::channel();
    let tasks = sockets.into_iter().enumerate().map(|(listener, socket)| {
        let task = accept(alive.clone(), Arc::clone(shared), node_id, listener, socket);
        shared.runtime().spawn(task).abort_handle()
    });
    let tasks = tasks.collect();
    drop(alive);
    shared
        .listening()
        .insert(node_id, Listening { tasks, gone });
    let mut state = shared.state();
    if let Some(broker) = state.brokers.get_mut(&node_id) {
        broker.addresses = addresses;
        broker.status = Status::Up;
    }
    if !state.registered.contains(&node_id) {
        state.registered.push(node_id);
    }
    Ok(())
}

fn bind(address: SocketAddr) -> std::io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    // So that a restart is not kept off its port by connections that linger.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// Serves connections until it is aborted; all of them end with it. `alive` comes first because what comes first is dropped last,
/// behind the sockets.
async fn accept(
    alive: mpsc::Sender<()>,
    shared: Arc<Shared>,
    node_id: i32,
    listener: usize,
    socket: TcpListener,
) {
    let mut connections = JoinSet::new();
    let anonymous = ANONYMOUS.into();
    loop {
        tokio::select! {
            accepted = socket.accept() => match accepted {
                Ok((stream, peer)) => {
                    if shared.faults.any() && !shared.faults.accepts(node_id).await {
                        continue;
                    }
                    let entry = Entry::new(&shared, &anonymous);
                    let cut = entry.cut();
                    let alive = alive.clone();
                    let serve = connection::serve(Arc::clone(&shared), node_id, listener, stream, peer, entry);
                    connections.spawn(async move {
                        let _alive = alive;
                        let serve = serve; // dropped before it
                        tokio::select! {
                            () = serve => {}
                            () = cut.notified() => {}
                        }
                    });
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
}
