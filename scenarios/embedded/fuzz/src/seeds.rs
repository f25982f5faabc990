//! The inputs from which the engine starts.

use std::path::Path;

/// Writes them below the folder that `FUZZ_SEEDS` names, if it does: before the engine reads them.
pub(crate) fn write() {
    if let Some(folder) = std::env::var_os("FUZZ_SEEDS") {
        let folder = Path::new(&folder);
        if let Err(error) = embedded::fuzz::write_seeds(folder) {
            eprintln!("cannot write seeds to {}: {error}", folder.display());
            std::process::exit(1);
        }
    }
}
