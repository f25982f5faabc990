//! What the benches share: arguments, records, two clusters with the product between them, and the report.
//!
//! `cargo bench -p crosscurrent-benches` measures (`make bench` builds the product first); `cargo test -p
//! crosscurrent-benches --benches` proves with small numbers that every bench still runs. Arguments after `--`:
//! `--json` prints one JSON object per bench instead of text; `--program PATH` runs another binary than the one
//! next to the bench, to compare two builds; each bench names its own numbers.

mod args;
mod data;
mod maps;
mod pair;
mod report;

pub use args::Args;
pub use data::{Checksum, RECORD_BYTES, load, record, test_record};
pub use maps::{TRANSACTION, map_records, transactional};
pub use pair::{Pair, Running, Usage, checksum, read, topic_bytes};
pub use report::Report;
