//! crosscurrent-scenarios
