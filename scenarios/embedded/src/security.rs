//! Who a client is, and what it may do.

mod acl;
mod authorizer;
mod certificates;
mod listeners;
mod mechanism;
mod oauthbearer;
mod principal;
mod scram;
mod session;
mod tls;
mod transport;
mod users;

pub use acl::{Acl, Operation, PatternType, Permission, ResourcePattern, ResourceType};
pub use certificates::{CertificateError, TestCertificates};

pub(crate) use acl::{AclFilter, CLUSTER_NAME};
pub(crate) use authorizer::Authorizer;
pub(crate) use listeners::Entry;
pub(crate) use mechanism::Mechanism;
pub(crate) use scram::{Credential, Hash, ITERATIONS_MAX, ITERATIONS_MIN};
pub(crate) use session::{ANONYMOUS, Session};

use crate::cluster::{EmbeddedCluster, StartError};
use crate::server::{Closed, Incoming};
use crate::settings::{Settings, Tls};
use authorizer::Asker;
use listeners::{Connections, Gate};
use users::Users;

/// `connection.failed.authentication.delay.ms`, unless set.
const FAILURE_DELAY_MS: i64 = 100;

/// What a request acts on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resource<'a> {
    Topic(&'a str),
    Group(&'a str),
    Cluster,
    TransactionalId(&'a str),
}

impl<'a> Resource<'a> {
    fn parts(self) -> (ResourceType, &'a str) {
        match self {
            Self::Topic(name) => (ResourceType::Topic, name),
            Self::Group(name) => (ResourceType::Group, name),
            Self::Cluster => (ResourceType::Cluster, CLUSTER_NAME),
            Self::TransactionalId(name) => (ResourceType::TransactionalId, name),
        }
    }

    /// Operations that make sense for it: the bits of authorized operations.
    fn operations(self) -> &'static [Operation] {
        use Operation::{
            Alter, AlterConfigs, ClusterAction, Create, Delete, Describe, DescribeConfigs,
            IdempotentWrite, Read, TwoPhaseCommit, Write,
        };
        match self {
            Self::Topic(_) => &[
                Read,
                Write,
                Create,
                Describe,
                Delete,
                Alter,
                DescribeConfigs,
                AlterConfigs,
            ],
            Self::Group(_) => &[Read, Describe, Delete, DescribeConfigs, AlterConfigs],
            Self::Cluster => &[
                Create,
                ClusterAction,
                DescribeConfigs,
                AlterConfigs,
                IdempotentWrite,
                Alter,
                Describe,
            ],
            Self::TransactionalId(_) => &[Describe, Write, TwoPhaseCommit],
        }
    }
}

/// Everything that security needs to remember.
#[derive(Debug)]
pub(crate) struct Security {
    pub(crate) authorizer: Authorizer,
    pub(crate) users: Users,
    connections: Connections,
    gates: Vec<Gate>,
    failure_delay_ms: i64,
}

impl Security {
    pub(crate) fn new(settings: &Settings) -> Result<Self, StartError> {
        let key = "connection.failed.authentication.delay.ms";
        let failure_delay_ms = match settings.properties.get(key) {
            None => FAILURE_DELAY_MS,
            Some(value) => value.trim().parse().map_err(|_| StartError::Property {
                key: key.to_owned(),
                value: value.clone(),
                reason: "is not a number of milliseconds".to_owned(),
            })?,
        };
        let users = Users::default();
        for (user, password) in &settings.users {
            users.set_password(user, password);
        }
        Ok(Self {
            authorizer: Authorizer::new(settings),
            users,
            connections: Connections::default(),
            gates: listeners::gates(settings)?,
            failure_delay_ms,
        })
    }

    fn gate(&self, listener: usize) -> Result<&Gate, Closed> {
        self.gates.get(listener).ok_or(Closed)
    }
}

impl Incoming {
    fn asker(&self) -> Asker<'_> {
        Asker {
            principal: &self.principal,
            host: self.peer.ip(),
        }
    }

    /// Whether the principal of this request may do this and no fault forbids it. Without an authorizer, everybody may do
    /// everything.
    pub(crate) fn may(&self, operation: Operation, resource: Resource<'_>) -> bool {
        let (resource_type, name) = resource.parts();
        let authorizer = &self.shared.security.authorizer;
        !self.is_denied(resource) && authorizer.allows(self.asker(), operation, resource_type, name)
    }

    /// Whether the principal may do this to at least one topic, whichever: InitProducerId without a transactional id asks
    /// so for [`Operation::Write`].
    pub(crate) fn may_on_any_topic(&self, operation: Operation) -> bool {
        self.shared
            .security
            .authorizer
            .allows_any(self.asker(), operation, ResourceType::Topic)
    }

    /// The bit field of what the principal may do, for answers to `include_..._authorized_operations`.
    pub(crate) fn authorized_operations(&self, resource: Resource<'_>) -> i32 {
        let allowed = resource
            .operations()
            .iter()
            .filter(|operation| self.may(**operation, resource));
        allowed.fold(0, |bits, operation| bits | 1 << (*operation as i8))
    }
}

/// Users, entries and certificates at run time. ACLs have an effect only with the property `authorizer.class.name`
/// (`org.apache.kafka.metadata.authorizer.StandardAuthorizer`).
impl EmbeddedCluster {
    /// `host:port` of every broker's listener of this name, separated by commas; None without such a listener.
    pub fn bootstrap_of(&self, listener: &str) -> Option<String> {
        let listeners = &self.shared().settings.listeners;
        let index = listeners
            .iter()
            .position(|known| known.name.eq_ignore_ascii_case(listener))?;
        let state = self.shared().state();
        let addresses = state
            .brokers
            .values()
            .filter_map(|broker| broker.addresses.get(index));
        Some(
            addresses
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(","),
        )
    }

    /// Lets a principal (`User:alice`; `User:*` for everybody) do something, from any address.
    pub fn allow(&self, principal: &str, operation: Operation, pattern: ResourcePattern) {
        self.permit(Permission::Allow, principal, operation, pattern);
    }

    /// Forbids a principal something, from any address; stronger than any permission.
    pub fn deny(&self, principal: &str, operation: Operation, pattern: ResourcePattern) {
        self.permit(Permission::Deny, principal, operation, pattern);
    }

    fn permit(
        &self,
        permission: Permission,
        principal: &str,
        operation: Operation,
        pattern: ResourcePattern,
    ) {
        self.add_acl(Acl {
            pattern,
            principal: principal.to_owned(),
            host: acl::WILDCARD.to_owned(),
            operation,
            permission,
        });
    }

    /// Adds any entry.
    pub fn add_acl(&self, acl: Acl) {
        self.shared().security.authorizer.add(acl);
    }

    /// Removes the permissions and denials of exactly this; how many there were.
    pub fn revoke(
        &self,
        principal: &str,
        operation: Operation,
        pattern: &ResourcePattern,
    ) -> usize {
        self.shared().security.authorizer.remove_where(|acl| {
            acl.principal == principal && acl.operation == operation && acl.pattern == *pattern
        })
    }

    /// Adds a user, or changes the password; who is connected stays so, as with a real broker.
    pub fn set_password(&self, user: &str, password: &str) {
        self.shared().security.users.set_password(user, password);
    }

    /// Removes a user; false if there was none. Who is connected stays so: see [`Self::disconnect`].
    pub fn remove_user(&self, user: &str) -> bool {
        self.shared().security.users.remove(user)
    }

    /// Cuts all connections of a principal (`User:alice`); how many.
    pub fn disconnect(&self, principal: &str) -> usize {
        self.shared().security.connections.disconnect(principal)
    }

    /// Gives all listeners other certificates, as a broker whose key store was replaced: for new connections.
    ///
    /// # Errors
    /// [`StartError::Tls`]; listeners before the one named have the new certificates then.
    pub fn set_tls(&self, tls: &Tls) -> Result<(), StartError> {
        let security = &self.shared().security;
        let listeners = security.gates.iter().zip(&self.shared().settings.listeners);
        for (gate, listener) in listeners.filter(|(gate, _)| gate.has_tls) {
            gate.set_tls(tls).map_err(|reason| StartError::Tls {
                listener: listener.name.clone(),
                reason,
            })?;
        }
        Ok(())
    }
}
