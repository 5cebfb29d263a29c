//! What a replay says of a peer that does otherwise than was recorded, or is none.

use tokio::{net::TcpListener, time::Instant};
use wattle::testing::capture::Direction;

use super::*;
use crate::common::pairs::text;

#[tokio::test(start_paused = true)]
async fn another_answer_fails_and_shows_both() {
    let replay = replay(Part::Node, &CALL);
    let played = play(&replay, |mut live| async move {
        be_called(&mut live).await;
        say(&mut live, "east\n").await;
        live
    });
    let error = played.await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "frame 1 (line 6 of the capture) differs at byte 2: expected \"ear\\n\" (65 61 72 0a), \
         got \"east\\n\" (65 61 73 74 0a); the message was \"ear\\n\""
    );
    let ReplayError::Mismatch(mismatch) = error else {
        panic!("{error}")
    };
    assert_eq!((mismatch.number, mismatch.offset), (1, 2));
    assert_eq!(mismatch.expected.direction, Direction::In);
    assert_eq!(mismatch.came, "east\n");
}

#[tokio::test(start_paused = true)]
async fn a_long_mismatch_is_shown_in_part() {
    let recorded = text(1000, 0);
    let replay = replay(Part::Node, &[(0, "in", &recorded)]);
    let played = play(&replay, |mut live| async move {
        // Only one byte is another.
        let mut said = text(1000, 0).into_bytes();
        said[500] = b'!';
        let _ = live.write_all(&said).await;
        live
    });
    let error = played.await.unwrap_err().to_string();
    let start = "frame 0 (line 3 of the capture) differs at byte 500: expected …\"";
    assert!(error.starts_with(start), "{error}");
    assert!(error.contains("…\"") && error.len() < 1000, "{error}");
    assert!(error.ends_with('…'), "{error}");
}

#[tokio::test(start_paused = true)]
async fn more_than_was_recorded_fails() {
    let replay = replay(Part::Node, &CALL[..2]);
    let played = play(&replay, |mut live| async move {
        hear(&mut live, "pea\n").await;
        say(&mut live, "pod\nand more").await;
        live
    });
    let error = played.await.unwrap_err();
    let text = "nothing more was recorded, got \"and more\" (61 6e 64 20 6d 6f 72 65)";
    assert_eq!(error.to_string(), text);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_leaves_early_fails() {
    let replay = replay(Part::Node, &CALL);
    let played = play(&replay, |mut live| async move {
        hear(&mut live, "pea\n").await;
        say(&mut live, "po").await;
    });
    assert_eq!(
        played.await.unwrap_err().to_string(),
        "the peer ended its side; missing is frame 0 (line 4 of the capture) from byte 2 on \
         \"pod\\n\" (70 6f 64 0a); the message was \"pod\\n\""
    );
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_nothing_fails() {
    let long = text(1000, 0);
    let replay = replay(Part::Node, &[(0, "out", &long)]).patience(Duration::from_secs(3));
    let (ours, _theirs) = duplex(64);
    let began = Instant::now();
    let error = replay.over(ours).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the peer took nothing of what was said for 3s"
    );
    assert_eq!(began.elapsed(), Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn an_end_that_was_recorded_has_to_come() {
    let steps = [(0, "out", "pea\n"), (1, "end", ""), (2, "close", "")];
    let replay = replay(Part::Node, &steps);
    let leaves = |mut live: DuplexStream| async move {
        hear(&mut live, "pea\n").await;
        live.shutdown().await.unwrap();
        assert_eq!(live.read(&mut [0]).await.unwrap(), 0);
    };
    play(&replay, leaves).await.unwrap();
    let stays = |mut live: DuplexStream| async move {
        hear(&mut live, "pea\n").await;
        assert_eq!(live.read(&mut [0]).await.unwrap(), 0);
    };
    let error = play(&replay, stays).await.unwrap_err().to_string();
    assert_eq!(
        error,
        "nothing came for 10s; missing is the end of the peer's side"
    );
}

#[tokio::test]
async fn nobody_to_play_with_is_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    drop(listener);
    let error = replay(Part::Node, &CALL).dial(addr).await.unwrap_err();
    assert!(
        matches!(error, ReplayError::Connect { addr: at, .. } if at == addr),
        "{error}"
    );
}
