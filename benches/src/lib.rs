//! crosscurrent-benches
