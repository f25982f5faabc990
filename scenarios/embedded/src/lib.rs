//! Kafka clusters inside one process: real sockets, the real protocol, memory instead of disks.

mod log;
