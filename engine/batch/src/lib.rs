//! crosscurrent-batch
