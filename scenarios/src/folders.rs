//! Where things lie: the cache that all test runs share, and one throw-away folder per process.

use std::env;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use rand::random;

use crate::{Error, await_ok};

/// Name of the file whose lock shows that a folder is in use.
const LOCK: &str = "lock";

/// The folder `kafka` in Cargo's target folder: jars, class archives, data of running brokers.
///
/// The target folder is the one this very program was built into, found by the tag file that Cargo
/// puts there, so `CARGO_TARGET_DIR` and `build.target-dir` are honoured without reading either. A
/// program that was copied elsewhere falls back to `CARGO_TARGET_DIR`, then to the temporary folder.
pub(crate) fn cache() -> Result<PathBuf, Error> {
    let program = env::current_exe().unwrap_or_default();
    let target = program
        .ancestors()
        .find(|folder| folder.join("CACHEDIR.TAG").is_file())
        .map(Path::to_path_buf)
        .or_else(|| env::var_os("CARGO_TARGET_DIR").map(PathBuf::from))
        .unwrap_or_else(|| env::temp_dir().join("crosscurrent"));
    let cache = target.join("kafka");
    fs::create_dir_all(&cache).map_err(|e| Error::io("create folder", &cache, e))?;
    Ok(cache)
}

/// How long another process may hold a lock: a fetch over a slow line is the longest.
const LOCK_PATIENCE: Duration = Duration::from_secs(1_200);

/// Waits for, and holds until dropped, the lock file `name` in `folder`: test programs run in parallel.
pub(crate) fn lock(folder: &Path, name: &str) -> Result<File, Error> {
    let path = folder.join(name);
    let file = File::create(&path).map_err(|e| Error::io("create file", &path, e))?;
    await_ok(
        &format!("lock on {}", path.display()),
        LOCK_PATIENCE,
        || file.try_lock(),
    )?;
    Ok(file)
}

/// A new empty folder for `name`, inside this process's own folder.
///
/// It is deleted by a later process and not at exit, because a test program ends without destructors.
pub(crate) fn scratch(name: &str) -> Result<PathBuf, Error> {
    static OWN: OnceLock<Result<(PathBuf, File), String>> = OnceLock::new();
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let own = OWN.get_or_init(|| own_folder().map_err(|e| format!("{e:?}")));
    let (own, _) = own.as_ref().map_err(|e| Error::Earlier(e.clone()))?;
    let folder = own.join(format!("{name}-{}", NEXT.fetch_add(1, Ordering::Relaxed)));
    fs::create_dir(&folder).map_err(|e| Error::io("create folder", &folder, e))?;
    Ok(folder)
}

/// This process's folder, locked as long as the process lives. Folders of ended processes are deleted.
fn own_folder() -> Result<(PathBuf, File), Error> {
    let runs = cache()?.join("run");
    fs::create_dir_all(&runs).map_err(|e| Error::io("create folder", &runs, e))?;
    let mut ended = Vec::new();
    let _sweeping = lock(&runs, LOCK)?; // no sweep between another's create_dir and its lock
    for entry in fs::read_dir(&runs)
        .map_err(|e| Error::io("list folder", &runs, e))?
        .flatten()
    {
        let moved = runs.join(format!("ended-{}", random::<u64>()));
        // Its name may come again. A leftover that cannot be moved or deleted only costs space.
        if entry.path().is_dir()
            && !in_use(&entry.path())
            && fs::rename(entry.path(), &moved).is_ok()
        {
            ended.push(moved);
        }
    }
    // Brokers leave gigabytes, and nobody needs to wait until they are gone: what this process does not get
    // done, a later one finds.
    thread::spawn(move || {
        for folder in ended {
            drop(fs::remove_dir_all(folder));
        }
    });
    let own = runs.join(std::process::id().to_string());
    fs::create_dir_all(&own).map_err(|e| Error::io("create folder", &own, e))?;
    let held = lock(&own, LOCK)?;
    Ok((own, held))
}

fn in_use(folder: &Path) -> bool {
    let Ok(file) = File::open(folder.join(LOCK)) else {
        return false;
    };
    matches!(file.try_lock(), Err(TryLockError::WouldBlock))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_in_use_while_its_lock_is_held() {
        let folder = scratch("locked").unwrap();
        assert!(!in_use(&folder), "no lock file");
        let held = lock(&folder, LOCK).unwrap();
        assert!(in_use(&folder));
        drop(held);
        assert!(!in_use(&folder), "lock file without a holder");
    }

    #[test]
    fn a_process_keeps_its_folder_and_names_never_meet() {
        let (one, two) = (scratch("same").unwrap(), scratch("same").unwrap());
        assert_ne!(one, two);
        assert!(one.parent().is_some_and(in_use));
    }
}
