//! The rules of `org.apache.kafka.metadata.authorizer.StandardAuthorizer`, and its entries.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::acl::{Acl, AclFilter, Operation, Permission, ResourceType, WILDCARD};
use crate::settings::Settings;

/// Who asks, and from where.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asker<'a> {
    pub(crate) principal: &'a str,
    pub(crate) host: IpAddr,
}

/// Decides who may do what. Without `authorizer.class.name` it allows everything and stores nothing.
#[derive(Debug)]
pub(crate) struct Authorizer {
    enabled: bool,
    super_users: BTreeSet<String>,
    /// `allow.everyone.if.no.acl.found`: of a resource that no entry is about.
    default: bool,
    acls: RwLock<BTreeSet<Acl>>,
}

impl Authorizer {
    /// As `authorizer.class.name`, `super.users` (`User:a;User:b`) and `allow.everyone.if.no.acl.found` say.
    pub(crate) fn new(settings: &Settings) -> Self {
        let property = |key: &str| {
            settings
                .properties
                .get(key)
                .map_or("", |value| value.trim())
        };
        let super_users = property("super.users").split(';').map(str::trim);
        Self {
            enabled: !property("authorizer.class.name").is_empty(),
            super_users: super_users
                .filter(|user| !user.is_empty())
                .map(str::to_owned)
                .collect(),
            default: property("allow.everyone.if.no.acl.found").eq_ignore_ascii_case("true"),
            acls: RwLock::default(),
        }
    }

    pub(crate) fn is_enabled(&self) -> bool {
        self.enabled
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeSet<Acl>> {
        self.acls.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeSet<Acl>> {
        self.acls.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether `asker` may do this to the resource: super users may; a denial forbids; a permission allows; else not, or as
    /// the default says if no entry is about this resource at all.
    pub(crate) fn allows(
        &self,
        asker: Asker<'_>,
        operation: Operation,
        resource_type: ResourceType,
        name: &str,
    ) -> bool {
        if !self.enabled || self.super_users.contains(asker.principal) {
            return true;
        }
        let host = asker.host.to_string();
        let (mut found, mut allowed) = (false, false);
        let acls = self.read();
        for acl in acls
            .iter()
            .filter(|acl| acl.pattern.resource_type == resource_type && acl.pattern.covers(name))
        {
            found = true;
            if acl.concerns(asker.principal, &host) && acl.includes(operation) {
                match acl.permission {
                    Permission::Deny => return false,
                    Permission::Allow => allowed = true,
                }
            }
        }
        allowed || !found && self.default
    }

    /// Whether `asker` may do this to at least one resource of the kind, existing or not: what InitProducerId asks for
    /// idempotent writes (KIP-679). Weaker operations are not implied here, as in Kafka.
    pub(crate) fn allows_any(
        &self,
        asker: Asker<'_>,
        operation: Operation,
        resource_type: ResourceType,
    ) -> bool {
        // A name that nobody has: true for super users and for whom the wildcard or the default allows.
        if self.allows(asker, operation, resource_type, "hardcode") {
            return true;
        }
        let host = asker.host.to_string();
        let acls = self.read();
        let concerned = || {
            acls.iter().filter(|acl| {
                acl.pattern.resource_type == resource_type
                    && acl.concerns(asker.principal, &host)
                    && (acl.operation == operation || acl.operation == Operation::All)
            })
        };
        let denied = |allow: &Acl| {
            let denials = concerned().filter(|acl| acl.permission == Permission::Deny);
            denials
                .into_iter()
                .any(|deny| deny.pattern.dominates(&allow.pattern))
        };
        let mut allows = concerned().filter(|acl| acl.permission == Permission::Allow);
        allows.any(|allow| !denied(allow))
    }

    /// Adds an entry; one that is there already is left alone.
    pub(crate) fn add(&self, acl: Acl) {
        self.write().insert(acl);
    }

    /// The entries that `filter` selects, ordered by resource.
    pub(crate) fn select(&self, filter: &AclFilter) -> Vec<Acl> {
        let acls = self.read();
        acls.iter()
            .filter(|acl| filter.selects(acl))
            .cloned()
            .collect()
    }

    /// Removes the entries that any of the filters selects; they are all judged before anything is removed. Answers, per filter,
    /// which.
    pub(crate) fn remove(&self, filters: &[AclFilter]) -> Vec<Vec<Acl>> {
        let mut acls = self.write();
        let select = |filter: &AclFilter| -> Vec<Acl> {
            acls.iter()
                .filter(|acl| filter.selects(acl))
                .cloned()
                .collect()
        };
        let selected: Vec<_> = filters.iter().map(select).collect();
        for acl in selected.iter().flatten() {
            acls.remove(acl);
        }
        selected
    }

    /// Removes the entries that `chosen` says; how many.
    pub(crate) fn remove_where(&self, chosen: impl Fn(&Acl) -> bool) -> usize {
        let mut acls = self.write();
        let before = acls.len();
        acls.retain(|acl| !chosen(acl));
        before - acls.len()
    }
}

impl super::acl::ResourcePattern {
    /// Whether every resource of `other` is also one of this pattern.
    fn dominates(&self, other: &Self) -> bool {
        use super::acl::PatternType::{Literal, Prefixed};
        match (self.pattern_type, other.pattern_type) {
            (Literal, _) if self.name == WILDCARD => true,
            (Literal, Literal) => self.name == other.name,
            (Literal, Prefixed) => false,
            (Prefixed, _) => other.name.starts_with(&self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::super::acl::{Acl, ResourcePattern};
    use super::*;

    const ALICE: Asker<'static> = Asker {
        principal: "User:alice",
        host: IpAddr::V4(Ipv4Addr::LOCALHOST),
    };

    fn authorizer(more: &[(&str, &str)]) -> Authorizer {
        let mut settings = Settings::default();
        let mut set =
            |key: &str, value: &str| settings.properties.insert(key.to_owned(), value.to_owned());
        set(
            "authorizer.class.name",
            "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        );
        for (key, value) in more {
            set(key, value);
        }
        Authorizer::new(&settings)
    }

    fn acl(
        permission: Permission,
        principal: &str,
        host: &str,
        operation: Operation,
        pattern: ResourcePattern,
    ) -> Acl {
        Acl {
            pattern,
            principal: principal.to_owned(),
            host: host.to_owned(),
            operation,
            permission,
        }
    }

    /// Entries on the left; what alice may do at 127.0.0.1 with topic `orders` on the right.
    #[test]
    fn rules_of_the_standard_authorizer() {
        use Operation::{All, Alter, AlterConfigs, Delete, Describe, DescribeConfigs, Read, Write};
        use Permission::{Allow, Deny};
        let orders = || ResourcePattern::topic("orders");
        let any = || ResourcePattern::topic("*");
        let prefix = |name| ResourcePattern::topic(name).prefixed();
        let a = |operation, pattern| acl(Allow, "User:alice", "*", operation, pattern);
        let d = |operation, pattern| acl(Deny, "User:alice", "*", operation, pattern);
        let table = [
            (vec![], Read, false),
            (vec![a(Read, orders())], Read, true),
            (vec![a(Read, orders())], Write, false),
            (vec![a(All, orders())], Write, true),
            // where
            (vec![a(Read, any())], Read, true),
            (vec![a(Read, prefix("ord"))], Read, true),
            (vec![a(Read, prefix("orders"))], Read, true),
            (vec![a(Read, prefix("orders-"))], Read, false),
            (vec![a(Read, prefix("*"))], Read, false),
            (vec![a(Read, ResourcePattern::topic("ord"))], Read, false),
            (vec![a(Read, ResourcePattern::group("orders"))], Read, false),
            // who
            (vec![acl(Allow, "User:*", "*", Read, orders())], Read, true),
            (
                vec![acl(Allow, "User:bob", "*", Read, orders())],
                Read,
                false,
            ),
            (
                vec![acl(Allow, "User:alice", "127.0.0.1", Read, orders())],
                Read,
                true,
            ),
            (
                vec![acl(Allow, "User:alice", "10.0.0.1", Read, orders())],
                Read,
                false,
            ),
            // implied by permissions
            (vec![a(Read, orders())], Describe, true),
            (vec![a(Write, orders())], Describe, true),
            (vec![a(Delete, orders())], Describe, true),
            (vec![a(Alter, orders())], Describe, true),
            (vec![a(AlterConfigs, orders())], Describe, false),
            (vec![a(AlterConfigs, orders())], DescribeConfigs, true),
            (vec![a(Describe, orders())], Read, false),
            (vec![a(DescribeConfigs, orders())], AlterConfigs, false),
            // denials win, whichever is closer, and imply nothing
            (vec![a(Read, orders()), d(Read, any())], Read, false),
            (vec![a(Read, any()), d(Read, prefix("o"))], Read, false),
            (vec![a(All, orders()), d(Read, orders())], Read, false),
            (vec![a(All, orders()), d(Read, orders())], Write, true),
            (vec![a(All, orders()), d(Read, orders())], Describe, true),
            (vec![a(All, orders()), d(All, orders())], Describe, false),
            (
                vec![
                    a(Read, orders()),
                    acl(Deny, "User:*", "127.0.0.1", Read, orders()),
                ],
                Read,
                false,
            ),
            (
                vec![
                    a(Read, orders()),
                    acl(Deny, "User:*", "10.0.0.1", Read, orders()),
                ],
                Read,
                true,
            ),
        ];
        for (row, (acls, operation, expected)) in table.into_iter().enumerate() {
            let authorizer = authorizer(&[]);
            acls.iter().cloned().for_each(|acl| authorizer.add(acl));
            let allowed = authorizer.allows(ALICE, operation, ResourceType::Topic, "orders");
            assert_eq!(allowed, expected, "row {row}: {operation:?} by {acls:#?}");
        }
    }

    #[test]
    fn super_users_and_defaults() {
        let topic = |authorizer: &Authorizer, name: &str| {
            authorizer.allows(ALICE, Operation::Read, ResourceType::Topic, name)
        };
        let all = || {
            acl(
                Permission::Deny,
                "User:*",
                "*",
                Operation::All,
                ResourcePattern::topic("orders"),
            )
        };
        let powerful = authorizer(&[("super.users", "User:admin; User:alice")]);
        powerful.add(all());
        assert!(topic(&powerful, "orders"));
        let open = authorizer(&[("allow.everyone.if.no.acl.found", "true")]);
        assert!(topic(&open, "orders"));
        open.add(acl(
            Permission::Allow,
            "User:bob",
            "*",
            Operation::Read,
            ResourcePattern::topic("orders"),
        ));
        assert!(!topic(&open, "orders"), "somebody else has permissions now");
        assert!(topic(&open, "others"));
        let off = Authorizer::new(&Settings::default());
        off.add(all());
        assert!(
            topic(&off, "orders"),
            "without an authorizer nobody is refused"
        );
    }

    /// `authorizeByResourceType`.
    #[test]
    fn any_topic() {
        use Permission::{Allow, Deny};
        let row =
            |permission, pattern| acl(permission, "User:alice", "*", Operation::Write, pattern);
        let (one, two) = (
            || ResourcePattern::topic("one"),
            || ResourcePattern::topic("on").prefixed(),
        );
        let table = [
            (vec![], false),
            (vec![row(Allow, one())], true),
            (vec![row(Allow, two())], true),
            (vec![row(Allow, one()), row(Deny, one())], false),
            (vec![row(Allow, one()), row(Deny, two())], false),
            (vec![row(Allow, two()), row(Deny, one())], true),
            (
                vec![row(Allow, ResourcePattern::topic("*")), row(Deny, two())],
                true,
            ),
            (
                vec![row(Allow, one()), row(Deny, ResourcePattern::topic("*"))],
                false,
            ),
            (vec![row(Allow, ResourcePattern::group("one"))], false),
        ];
        for (acls, expected) in table {
            let authorizer = authorizer(&[]);
            acls.iter().cloned().for_each(|acl| authorizer.add(acl));
            let allowed = authorizer.allows_any(ALICE, Operation::Write, ResourceType::Topic);
            assert_eq!(allowed, expected, "{acls:#?}");
        }
    }

    #[test]
    fn filters_select_by_pattern() {
        let authorizer = authorizer(&[]);
        let names = [
            ("orders", false),
            ("ord", true),
            ("*", false),
            ("other", false),
            ("orders", true),
        ];
        for (name, prefixed) in names {
            let pattern = ResourcePattern::topic(name);
            let pattern = if prefixed {
                pattern.prefixed()
            } else {
                pattern
            };
            authorizer.add(acl(
                Permission::Allow,
                "User:alice",
                "*",
                Operation::Read,
                pattern,
            ));
        }
        let filter = |pattern_type: i8, name: Option<&str>| AclFilter {
            resource_type: 1,
            pattern_type,
            name: name.map(str::to_owned),
            principal: None,
            host: None,
            operation: 1,
            permission: 1,
        };
        let selected = |filter: AclFilter| authorizer.select(&filter).len();
        assert_eq!(selected(filter(1, None)), 5, "any");
        assert_eq!(
            selected(filter(1, Some("orders"))),
            2,
            "any pattern of that name"
        );
        assert_eq!(
            selected(filter(2, Some("orders"))),
            4,
            "match: all but other"
        );
        assert_eq!(selected(filter(3, Some("orders"))), 1, "literal");
        assert_eq!(selected(filter(4, None)), 2, "prefixed");
        assert_eq!(
            selected(AclFilter {
                principal: Some("User:bob".to_owned()),
                ..filter(1, None)
            }),
            0
        );
        assert_eq!(
            selected(AclFilter {
                operation: 4,
                ..filter(1, None)
            }),
            0
        );
        assert!(!filter(0, None).is_known() && !filter(5, None).is_known());
        let removed = authorizer.remove(&[filter(2, Some("orders")), filter(3, None)]);
        assert_eq!(removed.iter().map(Vec::len).collect::<Vec<_>>(), [4, 3]);
        assert_eq!(selected(filter(1, None)), 0);
    }
}
