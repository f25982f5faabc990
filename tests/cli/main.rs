//! The binary from outside, without Kafka: bad input, unreachable clusters, signals; and whether the documents still
//! say what is so.

mod bad_files;
mod command_line;
mod connect;
#[cfg(feature = "demo")]
mod demo;
mod documents;
mod http;
#[cfg(not(feature = "demo"))]
mod lean;
#[cfg(feature = "demo")]
mod live;
mod plugins;
mod program;
mod random_requests;
mod rest;
mod rest_fuzz;
mod rest_security;
mod rest_writable;
mod running;
mod status;
mod tools;
