//! The binary from outside, without Kafka: bad input, unreachable clusters, signals; and whether the documents still
//! say what is so.

mod bad_files;
mod command_line;
mod documents;
mod program;
mod running;
