//! Random requests to a Connect worker, mixed with orders that change connectors for good: it answers what Connect may answer,
//! ends in order, and a fresh worker finds in the topics what the first one has said.
//!
//! `FUZZ_SEED` chooses other requests, `FUZZ_SECONDS` how long.

use std::time::{Duration, Instant};

use scenarios::client::{numbered, unique};
use scenarios::{Kind, await_ok, on_every_kind};
use serde_json::{Value, json};

use crate::connect::Worker;
use crate::http::ask;
use crate::random_requests::{Asked, Random, from_env, seed};

on_every_kind! {
    what_was_answered_is_what_a_fresh_worker_finds,
}

const SECONDS_DEFAULT: u64 = 4;
const THREADS: u64 = 6;
const CONNECTORS: [&str; 5] = ["copy", "cp", "hb", "copy2", "odd%20%C3%A4%2Fname"];
/// Bound on a worker's coming to rest.
const REST_PATIENCE: Duration = Duration::from_secs(90);
/// Longer than tasks, states and positions need to be written.
const AT_REST: Duration = Duration::from_secs(4);

/// Why a worker whose clusters are there may answer 5xx: those that Connect documents.
fn may_fail(route: &str, text: &str) -> bool {
    // A connector refuses offsets (recorded: 129 to 142).
    let refused = text.contains("Source partition") || text.contains("Source offset");
    route == "/v1/ready" || (route == "/connectors/{connector}/offsets" && refused)
}

/// An order that Connect takes more often than not.
fn order(random: &mut Random, worker: &Worker) -> (String, String, Value) {
    let connector = CONNECTORS[random.below(CONNECTORS.len())];
    let at = format!("/connectors/{connector}");
    let name = match connector {
        "odd%20%C3%A4%2Fname" => "odd \u{e4}/name",
        other => other,
    };
    let config = |random: &mut Random| {
        let class = match name {
            "cp" => "MirrorCheckpointConnector",
            "hb" => "MirrorHeartbeatConnector",
            _ => "MirrorSourceConnector",
        };
        let mut config = worker.config(class, &[("my.password", "swordfish")]);
        // Some are alone with their alias.
        if random.below(2) == 0 && name != "copy" {
            config["source.cluster.alias"] = json!(format!("{}-{connector}", worker.name));
        }
        let topics = [format!("{}.*", worker.name), "none".to_owned(), "[".into()];
        config["topics"] = json!(topics[random.below(3).min(random.below(3))]);
        config["groups"] = json!(worker.name);
        config["tasks.max"] =
            json!(["1", "2", "3", "0", "x"][random.below(5).min(random.below(5))]);
        if random.below(8) == 0 {
            let odd = [
                "transforms",
                "key.converter",
                "\u{1F4A9}",
                "name",
                "offset.lag.max",
                "",
            ];
            config[random.one(&odd)] = random.json(1);
        }
        config
    };
    let patched = |random: &mut Random| {
        let keys = [
            "tasks.max",
            "offset.lag.max",
            "my.password",
            "topics",
            "sync.topic.acls.enabled",
            "groups",
        ];
        let values = [
            json!("1"),
            json!(2),
            json!("[hidden]"),
            json!("false"),
            Value::Null,
            json!(worker.name),
        ];
        json!({random.one(&keys): values[random.below(values.len())]})
    };
    let moved = |random: &mut Random| {
        let partition = match name {
            "cp" => json!({"group": "g", "topic": worker.name, "partition": random.below(3)}),
            "hb" => {
                json!({"sourceClusterAlias": worker.name, "targetClusterAlias": format!("{}-west", worker.name)})
            }
            _ => {
                json!({"cluster": worker.name, "topic": worker.name, "partition": random.below(3)})
            }
        };
        let offset = [
            json!({"offset": 0}),
            Value::Null,
            json!({"offset": random.below(90)}),
        ];
        json!({"offsets": [{"partition": partition, "offset": offset[random.below(3)]}]})
    };
    let (method, path, body) = match random.below(16) {
        0..=2 => ("PUT", format!("{at}/config"), config(random)),
        3 | 4 => {
            let state = ["RUNNING", "PAUSED", "STOPPED"][random.below(3)];
            let body = json!({"name": name, "config": config(random), "initial_state": state});
            ("POST", "/connectors".to_owned(), body)
        }
        5 | 6 => ("PATCH", format!("{at}/config"), patched(random)),
        7 => ("DELETE", at, Value::Null),
        8 => ("PUT", format!("{at}/pause"), Value::Null),
        9 | 10 => ("PUT", format!("{at}/stop"), Value::Null),
        11 => ("PUT", format!("{at}/resume"), Value::Null),
        12 => {
            let flags = [
                "",
                "?includeTasks=true",
                "?includeTasks=TRUE&onlyFailed=true",
            ];
            (
                "POST",
                format!("{at}/restart{}", flags[random.below(3)]),
                Value::Null,
            )
        }
        13 => ("PATCH", format!("{at}/offsets"), moved(random)),
        14 => ("DELETE", format!("{at}/offsets"), Value::Null),
        _ => ("PUT", format!("{at}/topics/reset"), Value::Null),
    };
    (method.to_owned(), path, body)
}

fn ask_until(end: Instant, worker: &Worker, asked: &Asked<'_>, mut random: Random) -> [usize; 2] {
    let (mut requests, mut done) = (0, 0);
    while Instant::now() < end {
        if random.below(2) == 0 {
            asked.ask_one(&mut random);
        } else {
            let (method, path, body) = order(&mut random, worker);
            println!("{method} {path} {body}");
            let text = if body.is_null() {
                String::new()
            } else {
                body.to_string()
            };
            let answer = ask(&worker.address, &method, &path, &text);
            let route = if path.ends_with("/offsets") {
                "/connectors/{connector}/offsets"
            } else {
                ""
            };
            let known = answer.status < 500 || may_fail(route, &answer.body);
            assert!(known, "{method} {path} {body}: {answer:?}");
            assert!(!answer.body.contains("swordfish"), "{answer:?}");
            done += usize::from(answer.status < 300);
        }
        requests += 1;
    }
    [requests, done]
}

/// All that a worker says of its connectors, without its address.
fn said(worker: &Worker) -> Value {
    let get = |path: &str| ask(&worker.address, "GET", path, "");
    let mut all = get("/connectors?expand=info&expand=status").json();
    for (name, one) in all.as_object_mut().unwrap() {
        let at: String = name.bytes().map(|byte| format!("%{byte:02X}")).collect();
        for more in ["config", "tasks", "topics", "offsets"] {
            let answer = get(&format!("/connectors/{at}/{more}"));
            assert!(answer.status < 500, "{name} {more}: {answer:?}");
            one[more] = answer.json();
        }
    }
    let shown = all.to_string().replace(&worker.address, "worker");
    serde_json::from_str(&shown).unwrap()
}

/// What it says once it has said the same for [`AT_REST`].
fn at_rest(worker: &Worker) -> Value {
    let (mut last, mut since) = (said(worker), Instant::now());
    await_ok("a worker at rest", REST_PATIENCE, || {
        let now = said(worker);
        if now != last {
            (last, since) = (now, Instant::now());
        }
        if since.elapsed() >= AT_REST {
            Ok(last.clone())
        } else {
            Err(last.to_string())
        }
    })
    .unwrap()
}

/// Goal: while half of what comes is nonsense and half changes connectors, nothing is answered 500 that Connect does not, and
/// no panic; what the worker says at the end, one that was started afterwards says, too.
fn what_was_answered_is_what_a_fresh_worker_finds(kind: Kind) {
    let pair = kind.shared_pair().unwrap();
    let name = unique("fuzzed");
    let east = pair.east.client().unwrap();
    east.create_topic(&name, 3, 1, &[]).unwrap();
    east.produce(&name, &numbered(0..300, 3, 50)).unwrap();
    let mut worker = Worker::start(&name, pair.east, pair.west);
    let seed = seed();
    let asked = Asked::new(&worker.address, &CONNECTORS, may_fail);
    let end = Instant::now() + Duration::from_secs(from_env("FUZZ_SECONDS", SECONDS_DEFAULT));
    let counts: Vec<[usize; 2]> = std::thread::scope(|scope| {
        let ask_on = |thread: u64| {
            let (worker, asked) = (&worker, &asked);
            let random = Random(seed.wrapping_add(thread));
            scope.spawn(move || ask_until(end, worker, asked, random))
        };
        let threads: Vec<_> = (0..THREADS).map(ask_on).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    let done: usize = counts.iter().map(|[_, done]| done).sum();
    println!("requests, and orders that were taken, of each thread: {counts:?}");
    assert!(done >= 20, "{counts:?}");
    let alive = ask(&worker.address, "GET", "/v1/live", "");
    assert_eq!(alive.status, 200, "{alive:?}");
    let first = at_rest(&worker);
    worker.stop();
    assert!(
        !worker.product.output().contains("a panic"),
        "{}",
        worker.product.output()
    );
    let mut fresh = Worker::start(&name, pair.east, pair.west);
    await_ok("the same from a fresh worker", REST_PATIENCE, || {
        let second = said(&fresh);
        if second == first {
            Ok(())
        } else {
            Err(format!("first {first}\nfresh {second}"))
        }
    })
    .unwrap();
    fresh.stop();
}
