//! Configuration of topics, brokers, groups and quotas: names, defaults, valid values and who sets them.
//!
//! [`catalogue`] knows the entries of Kafka 4.3.1 (the tables beside it are its own answers), [`Configs`] holds what was set,
//! [`alter`] changes it with the broker's errors, [`topics`] turns it into what a log obeys.

pub(crate) mod alter;
mod catalogue;
mod described;
mod quotas;
mod store;
pub(crate) mod topics;

pub(crate) use described::Described;
pub(crate) use quotas::{Entity, Match};
pub(crate) use store::{Configs, Entries};
