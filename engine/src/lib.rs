//! crosscurrent-engine

pub mod offsets;
