//! crosscurrent-topology
