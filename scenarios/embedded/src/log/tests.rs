//! The rules of the log, row by row.
