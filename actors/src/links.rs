//! Which link of this thread speaks to which broker.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use actix::Addr;
use engine::cluster::{BrokerAddress, Cluster};
use engine::wire::{BrokerVersions, Connection, WireError};

use crate::flow::Flow;
use crate::kill_switch::KillSwitch;
use crate::source_link::SourceLink;
use crate::target_link::TargetLink;

type Key = (Arc<str>, BrokerKey);
type BrokerKey = (i32, Arc<str>, u16);

/// The links of one data arbiter. A replicator and its links share a thread, so that nothing hot crosses one.
#[derive(Default)]
struct Links {
    source: HashMap<Key, (Addr<SourceLink>, KillSwitch)>,
    target: HashMap<Key, (Addr<TargetLink>, KillSwitch)>,
}

thread_local! {
    static LINKS: RefCell<Links> = RefCell::default();
}

fn key(flow: &Flow, broker: &BrokerAddress) -> Key {
    (
        flow.label.clone(),
        (broker.id, broker.host.clone(), broker.port),
    )
}

/// A data connection to one broker, with what was negotiated on it.
///
/// # Errors
/// Why there is none.
pub(crate) async fn open<T>(
    cluster: Arc<Cluster>,
    broker: BrokerAddress,
    negotiate: fn(&BrokerVersions) -> Result<T, WireError>,
) -> Result<(Connection, T), WireError> {
    let connection =
        Connection::connect(&broker.host, broker.port, cluster.connect_options()).await?;
    let negotiated = negotiate(connection.versions())?;
    Ok((connection, negotiated))
}

/// The source link to `broker` on this thread, started if there is none alive.
pub(crate) fn source(flow: &Arc<Flow>, broker: &BrokerAddress) -> Addr<SourceLink> {
    LINKS.with_borrow_mut(|links| {
        links.source.retain(|_, (addr, _)| addr.connected());
        let start = || {
            let kill_switch = flow.drain.child();
            (
                SourceLink::start(flow.clone(), broker.clone(), kill_switch.clone()),
                kill_switch,
            )
        };
        links
            .source
            .entry(key(flow, broker))
            .or_insert_with(start)
            .0
            .clone()
    })
}

/// The target link to `broker` on this thread, started if there is none alive.
pub(crate) fn target(flow: &Arc<Flow>, broker: &BrokerAddress) -> Addr<TargetLink> {
    LINKS.with_borrow_mut(|links| {
        links.target.retain(|_, (addr, _)| addr.connected());
        let start = || {
            let kill_switch = KillSwitch::new();
            (
                TargetLink::start(flow.clone(), broker.clone(), kill_switch.clone()),
                kill_switch,
            )
        };
        links
            .target
            .entry(key(flow, broker))
            .or_insert_with(start)
            .0
            .clone()
    })
}

/// Gives up a target link that has fallen silent.
pub(crate) fn discard_target(addr: &Addr<TargetLink>) {
    LINKS.with_borrow_mut(|links| {
        links.target.retain(|_, (link, kill_switch)| {
            let discard = link == addr;
            if discard {
                kill_switch.fire();
            }
            !discard
        });
    });
}
