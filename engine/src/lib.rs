//! crosscurrent-engine
