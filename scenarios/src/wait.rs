//! Waiting for a condition with a deadline; never for a fixed time.

use std::fmt::Display;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::Error;

/// Time between two looks. Unit: milliseconds; short against everything that is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Waits until `check` is true.
///
/// # Errors
/// [`Error::Timeout`] naming `what` after `patience`.
pub fn await_that(
    what: &str,
    patience: Duration,
    mut check: impl FnMut() -> bool,
) -> Result<(), Error> {
    await_ok(what, patience, || check().then_some(()).ok_or("not yet"))
}

/// Waits until `attempt` succeeds and returns its value. The attempt runs at least once.
///
/// # Errors
/// [`Error::Timeout`] naming `what` and the last attempt's error after `patience`.
pub fn await_ok<T, E: Display>(
    what: &str,
    patience: Duration,
    mut attempt: impl FnMut() -> Result<T, E>,
) -> Result<T, Error> {
    let end = Instant::now() + patience;
    loop {
        match attempt() {
            Ok(value) => return Ok(value),
            Err(seen) if Instant::now() >= end => {
                return Err(Error::Timeout {
                    what: what.to_owned(),
                    patience,
                    seen: seen.to_string(),
                });
            }
            Err(_) => sleep(LOOK_EVERY),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn returns_the_first_success() {
        let mut looks = 0;
        let value = await_ok("three looks", Duration::from_secs(10), || {
            looks += 1;
            if looks == 3 {
                Ok(looks)
            } else {
                Err("too few")
            }
        });
        assert_eq!(value.unwrap(), 3);
    }

    #[test]
    fn names_what_was_missing() {
        let error = await_ok("the moon", Duration::ZERO, || Err::<(), _>("clouds")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "waited 0 s in vain: the moon; last seen: clouds"
        );
    }
}
