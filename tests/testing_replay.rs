//! A replay says what was recorded, and tells exactly what comes otherwise.

use std::{future::Future, time::Duration};

use futures::future::join as both;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use wattle::testing::{
    Recording, Replay,
    capture::{Pace, Part, ReplayError, ReplayReport},
};

mod capture;
mod common;
#[path = "testing_replay/failing.rs"]
mod failing;
#[path = "testing_replay/reading.rs"]
mod reading;
#[path = "testing_replay/recorded.rs"]
mod recorded;
#[path = "testing_replay/timing.rs"]
mod timing;

use capture::hex;
use common::{adopt, in_memory, lines};

/// A recording of one connection: what happened at which millisecond.
fn recording(steps: &[(u64, &str, &str)]) -> Recording {
    let mut text = "{\"wattle-capture\":1,\"began\":1000000}\n".to_owned();
    let mut add = |ms: u64, mut document: serde_json::Value| {
        document["us"] = (1000 * ms).into();
        document["connection"] = 0.into();
        text += &format!("{document}\n");
    };
    let opened = json!({ "what": "open", "peer": 7, "addr": "127.0.0.1:4000", "side": "dialer" });
    add(0, opened);
    for (ms, what, said) in steps {
        add(
            *ms,
            match *what {
                "in" | "out" => json!({
                    "what": "frame", "dir": what, "bytes": hex(said), "message": format!("{said:?}")
                }),
                "error" => json!({ "what": "error", "dir": "in", "error": said }),
                other => json!({ "what": other }),
            },
        );
    }
    Recording::parse(text.as_bytes()).unwrap()
}

fn replay(part: Part, steps: &[(u64, &str, &str)]) -> Replay {
    Replay::of(recording(steps).only().unwrap(), part)
}

/// Plays it against somebody in memory.
async fn play<F: Future>(
    replay: &Replay,
    live: impl FnOnce(DuplexStream) -> F,
) -> Result<ReplayReport, ReplayError> {
    let (ours, theirs) = duplex(64);
    both(replay.over(ours), live(theirs)).await.0
}

/// Without a watchdog, which would bark while a replay waits for its time.
async fn hear(stream: &mut DuplexStream, expected: &str) {
    let mut text = vec![0; expected.len()];
    stream.read_exact(&mut text).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&text), expected);
}

async fn say(stream: &mut DuplexStream, text: &str) {
    stream.write_all(text.as_bytes()).await.unwrap();
}

const CALL: [(u64, &str, &str); 4] = [
    (10, "out", "pea\n"),
    (2000, "in", "pod\n"),
    (3000, "out", "oat\n"),
    (90_000, "in", "ear\n"),
];

/// All of the call but its last answer.
async fn be_called(stream: &mut DuplexStream) {
    hear(stream, "pea\n").await;
    say(stream, "pod\n").await;
    hear(stream, "oat\n").await;
}
