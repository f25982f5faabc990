//! Access control entries and the filters that select them. The numbers are the protocol's.

/// Name of the only resource of type [`ResourceType::Cluster`].
pub(crate) const CLUSTER_NAME: &str = "kafka-cluster";

/// Any name, as a literal pattern; any host; any user in `User:*`.
pub(crate) const WILDCARD: &str = "*";

const WILDCARD_PRINCIPAL: &str = "User:*";

/// In filters: whatever the value.
const ANY: i8 = 1;

/// In filters: every pattern that holds for the named resource.
const MATCH: i8 = 2;

/// Declares an enum by its protocol numbers, and the way back.
macro_rules! numbered {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $number:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(i8)]
        pub enum $name { $($(#[$variant_doc])* $variant = $number,)* }

        impl $name {
            /// None for numbers that no stored entry can have: 0 (unknown), 1 (any), and those of the future.
            pub(crate) fn of_number(number: i8) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

numbered! {
    /// What a request does to a resource.
    Operation {
        /// Every operation; in entries only.
        All = 2,
        /// Fetch, commit offsets, join a group.
        Read = 3,
        /// Produce, use a transactional id.
        Write = 4,
        /// Create topics.
        Create = 5,
        /// Delete topics, records, groups.
        Delete = 6,
        /// Add partitions, change ACLs and users.
        Alter = 7,
        /// See that it exists. Implied by Read, Write, Delete and Alter.
        Describe = 8,
        /// What brokers ask of each other.
        ClusterAction = 9,
        /// Read configurations. Implied by AlterConfigs.
        DescribeConfigs = 10,
        /// Change configurations.
        AlterConfigs = 11,
        /// InitProducerId without a transactional id.
        IdempotentWrite = 12,
        /// Delegation tokens in a user's name.
        CreateTokens = 13,
        /// See a user's delegation tokens.
        DescribeTokens = 14,
        /// Transactions that another coordinator finishes (KIP-939).
        TwoPhaseCommit = 15,
    }
}

numbered! {
    /// Kinds of resources.
    ResourceType {
        /// A topic.
        Topic = 2,
        /// A group, of whatever kind.
        Group = 3,
        /// The cluster: one resource, named `kafka-cluster`.
        Cluster = 4,
        /// A transactional id.
        TransactionalId = 5,
        /// A delegation token's id.
        DelegationToken = 6,
        /// A user, as the owner of tokens.
        User = 7,
    }
}

numbered! {
    /// How a pattern's name is meant.
    PatternType {
        /// The resource of that name; all of them if the name is `*`.
        Literal = 3,
        /// All resources whose names begin so.
        Prefixed = 4,
    }
}

numbered! {
    /// What an entry says. A denial wins over all permissions.
    Permission {
        /// Not allowed.
        Deny = 2,
        /// Allowed.
        Allow = 3,
    }
}

/// Resources that an entry is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourcePattern {
    /// Their kind.
    pub resource_type: ResourceType,
    /// How `name` is meant.
    pub pattern_type: PatternType,
    /// A name, the beginning of names, or `*`.
    pub name: String,
}

impl ResourcePattern {
    fn literal(resource_type: ResourceType, name: &str) -> Self {
        Self {
            resource_type,
            pattern_type: PatternType::Literal,
            name: name.to_owned(),
        }
    }

    /// One topic; `*` for all.
    pub fn topic(name: &str) -> Self {
        Self::literal(ResourceType::Topic, name)
    }

    /// One group; `*` for all.
    pub fn group(name: &str) -> Self {
        Self::literal(ResourceType::Group, name)
    }

    /// The cluster.
    pub fn cluster() -> Self {
        Self::literal(ResourceType::Cluster, CLUSTER_NAME)
    }

    /// One transactional id; `*` for all.
    pub fn transactional_id(name: &str) -> Self {
        Self::literal(ResourceType::TransactionalId, name)
    }

    /// The same kind of resource, all whose names begin with this one's name.
    #[must_use]
    pub fn prefixed(mut self) -> Self {
        self.pattern_type = PatternType::Prefixed;
        self
    }

    /// Whether the resource of this name is meant.
    pub(crate) fn covers(&self, name: &str) -> bool {
        match self.pattern_type {
            PatternType::Literal => self.name == name || self.name == WILDCARD,
            PatternType::Prefixed => name.starts_with(&self.name),
        }
    }
}

/// One entry: who may, or may not, do what, from where, to which resources.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Acl {
    /// To which resources.
    pub pattern: ResourcePattern,
    /// Who, with the type: `User:alice`; `User:*` for everybody.
    pub principal: String,
    /// From which address; `*` for any.
    pub host: String,
    /// What.
    pub operation: Operation,
    /// May or may not.
    pub permission: Permission,
}

impl Acl {
    /// Whether the entry speaks of this principal at this address.
    pub(crate) fn concerns(&self, principal: &str, host: &str) -> bool {
        (self.principal == principal || self.principal == WILDCARD_PRINCIPAL)
            && (self.host == WILDCARD || self.host == host)
    }

    /// Whether the entry speaks of this operation. Permissions imply weaker operations; denials imply nothing.
    pub(crate) fn includes(&self, operation: Operation) -> bool {
        use Operation::{Alter, AlterConfigs, Delete, Describe, DescribeConfigs, Read, Write};
        if self.operation == Operation::All || self.operation == operation {
            return true;
        }
        let implied = match operation {
            Describe => matches!(self.operation, Read | Write | Delete | Alter),
            DescribeConfigs => self.operation == AlterConfigs,
            _ => false,
        };
        implied && self.permission == Permission::Allow
    }
}

/// Selects entries, for DescribeAcls and DeleteAcls. Numbers are the protocol's; None selects any text.
#[derive(Debug, Clone)]
pub(crate) struct AclFilter {
    pub(crate) resource_type: i8,
    pub(crate) pattern_type: i8,
    pub(crate) name: Option<String>,
    pub(crate) principal: Option<String>,
    pub(crate) host: Option<String>,
    pub(crate) operation: i8,
    pub(crate) permission: i8,
}

impl AclFilter {
    /// Whether a broker can read it: no number 0 or of the future.
    pub(crate) fn is_known(&self) -> bool {
        let known = |number: i8, in_enum: bool| number == ANY || in_enum;
        known(
            self.resource_type,
            ResourceType::of_number(self.resource_type).is_some(),
        ) && known(
            self.pattern_type,
            self.pattern_type == MATCH || PatternType::of_number(self.pattern_type).is_some(),
        ) && known(
            self.operation,
            Operation::of_number(self.operation).is_some(),
        ) && known(
            self.permission,
            Permission::of_number(self.permission).is_some(),
        )
    }

    pub(crate) fn selects(&self, acl: &Acl) -> bool {
        let number = |wanted: i8, found: i8| wanted == ANY || wanted == found;
        let text = |wanted: &Option<String>, found: &str| {
            wanted.as_ref().is_none_or(|wanted| wanted == found)
        };
        let pattern = &acl.pattern;
        let named = match (self.pattern_type, &self.name) {
            (MATCH, Some(name)) => pattern.covers(name),
            (MATCH, None) => true,
            (wanted, name) => {
                number(wanted, pattern.pattern_type as i8) && text(name, &pattern.name)
            }
        };
        named
            && number(self.resource_type, pattern.resource_type as i8)
            && text(&self.principal, &acl.principal)
            && text(&self.host, &acl.host)
            && number(self.operation, acl.operation as i8)
            && number(self.permission, acl.permission as i8)
    }
}
