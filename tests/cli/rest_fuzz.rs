//! Random requests to every route of the OpenAPI document: answers that it lists, never a panic, errors in one shape.
//!
//! `FUZZ_SEED` chooses other requests, `FUZZ_REQUESTS` how many.

use crate::http::ask;
use crate::random_requests::{Asked, Random, from_env, seed};
use crate::rest::Running;

const REQUESTS_DEFAULT: usize = 1_600;
const THREADS: usize = 16;
const CONNECTORS: [&str; 3] = [
    "a-%3Eb.MirrorSourceConnector",
    "MirrorCheckpointConnector",
    "a->b.MirrorHeartbeatConnector",
];

/// Goal: every route of the document is there with its methods and no other, and survives what nobody should send.
#[test]
fn random_requests_get_answers_that_the_document_lists() {
    let running = Running::start("");
    let seed = seed();
    let count = from_env("FUZZ_REQUESTS", REQUESTS_DEFAULT);
    // Without clusters, what needs one cannot be answered: Connect says that with 500, too.
    let may_fail = |route: &str, text: &str| {
        route == "/v1/ready" || text.contains("unreachable") || text.contains("does not answer")
    };
    let asked = Asked::new(&running.address, &CONNECTORS, may_fail);
    // Each asks on its own: what waits for a cluster holds up nobody.
    let counts: Vec<usize> = std::thread::scope(|scope| {
        let ask_on = |thread: u64| {
            let (asked, mut random) = (&asked, Random(seed.wrapping_add(thread)));
            scope.spawn(move || {
                (0..count / THREADS)
                    .filter(|_| asked.ask_one(&mut random))
                    .count()
            })
        };
        let threads: Vec<_> = (0..THREADS as u64).map(ask_on).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    let answered: usize = counts.iter().sum();
    assert!(answered * 10 > count * 8, "{answered} of {count}");
    assert_eq!(ask(&running.address, "GET", "/v1/live", "").status, 200);
    running.stop();
}
