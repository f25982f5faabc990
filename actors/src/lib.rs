//! crosscurrent-actors
