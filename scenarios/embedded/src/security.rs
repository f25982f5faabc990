//! Who may do what.

use crate::server::Incoming;

/// What a request does to a resource; the numbers are the protocol's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(i8)]
pub(crate) enum Operation {
    Read = 3,
    Write = 4,
    Create = 5,
    Delete = 6,
    Alter = 7,
    Describe = 8,
    ClusterAction = 9,
    DescribeConfigs = 10,
    AlterConfigs = 11,
    IdempotentWrite = 12,
}

/// What a request acts on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resource<'a> {
    Topic(&'a str),
    Group(&'a str),
    Cluster,
    TransactionalId(&'a str),
}

impl Incoming {
    /// Whether the principal of this request may do this. Without an authorizer, everybody may do everything.
    pub(crate) fn may(&self, _operation: Operation, resource: Resource<'_>) -> bool {
        !self.is_denied(resource)
    }
}
