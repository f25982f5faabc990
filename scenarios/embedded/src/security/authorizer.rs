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
