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

/// The ports of a broker, for as long as its cluster lives: bound and never listening. While the broker is up, another socket
/// listens on each. While it is down, clients are refused, and neither a listener on any free port nor an outgoing connection of
/// any process is given one of them.
pub(crate) type Ports = Vec<TcpSocket>;

impl Listening {
    /// Closes listeners and connections; returns when they are closed.
    pub(crate) fn close(self) {
        for task in &self.tasks {
            task.abort();
        }
        // Nothing is ever sent: this ends with the last sender.
        self.gone.recv_timeout(CLOSE_PATIENCE).ok();
    }
}

/// Opens the sockets of a broker and lets it serve; on its old ports if it had any.
pub(crate) fn open(shared: &Arc<Shared>, node_id: i32) -> Result<(), StartError> {
    let index = usize::try_from(node_id - 1).unwrap_or(0);
    let port = shared.settings.ports.get(index).copied().unwrap_or(0);
    let mut sockets = Vec::with_capacity(shared.settings.listeners.len());
    let mut addresses = Vec::with_capacity(shared.settings.listeners.len());
    let mut all_ports = shared.ports();
    let ports = all_ports.entry(node_id).or_default();
    let inside = shared.runtime().enter();
    for listener in 0..shared.settings.listeners.len() {
        // Fixed ports are those of the first listener.
        let port = if listener == 0 { port } else { 0 };
        let mut address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut listen = || -> std::io::Result<TcpListener> {
            match ports.get(listener) {
                Some(reserved) => address = reserved.local_addr()?,
                None => {
                    let reserved = bind(address)?;
                    address = reserved.local_addr()?;
                    ports.push(reserved);
                }
            }
            bind(address)?.listen(BACKLOG)
        };
        sockets.push(listen().map_err(|source| StartError::Listen {
            address: address.to_string(),
            source,
        })?);
        addresses.push(address);
    }
    drop(all_ports);
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
    // So that neither the reservation nor connections that linger keep a restart off its port.
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
