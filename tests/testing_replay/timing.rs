//! When a replay says what.

use tokio::time::Instant;

use super::*;
use crate::common::finish;

async fn hear_nothing(stream: &mut DuplexStream, so_long: Duration) {
    let early = tokio::time::timeout(so_long, stream.read_u8()).await;
    early.expect_err("nothing should come");
}

#[tokio::test(start_paused = true)]
async fn each_frame_is_said_when_all_before_it_has_come() {
    let replay = replay(Part::Node, &CALL);
    let began = Instant::now();
    let report = play(&replay, |mut live| async move {
        hear(&mut live, "pea\n").await;
        hear_nothing(&mut live, Duration::from_secs(5)).await;
        say(&mut live, "po").await;
        hear_nothing(&mut live, Duration::from_secs(5)).await;
        say(&mut live, "d\n").await;
        hear(&mut live, "oat\n").await;
        say(&mut live, "ear\n").await;
        live
    });
    let report = report.await.unwrap();
    assert_eq!(began.elapsed(), Duration::from_secs(10));
    let text = "said 2 frames (8 bytes), heard 2 frames (8 bytes) as recorded, in 10s";
    assert_eq!(report.to_string(), text);
}

#[tokio::test(start_paused = true)]
async fn in_real_time_no_frame_is_said_before_its_time() {
    let replay = replay(Part::Remote, &CALL).pace(Pace::Recorded);
    let began = Instant::now();
    let report = play(&replay, |mut live| async move {
        say(&mut live, "pea\n").await;
        hear(&mut live, "pod\n").await;
        assert_eq!(began.elapsed(), Duration::from_secs(2));
        say(&mut live, "oat\n").await;
        hear(&mut live, "ear\n").await;
        assert_eq!(began.elapsed(), Duration::from_secs(90));
        live
    });
    assert_eq!(report.await.unwrap().frames_said, 2);
}

#[tokio::test(start_paused = true)]
async fn in_real_time_an_answer_that_took_long_may_take_long_again() {
    let live = |mut live: DuplexStream| async move {
        be_called(&mut live).await;
        tokio::time::sleep(Duration::from_secs(95)).await;
        say(&mut live, "ear\n").await;
        live
    };
    let replay = replay(Part::Node, &CALL);
    play(&replay.clone().pace(Pace::Recorded), live)
        .await
        .unwrap();
    let error = play(&replay, |mut live| async move {
        be_called(&mut live).await;
        live.read_u8().await.unwrap_err();
    });
    assert_eq!(
        error.await.unwrap_err().to_string(),
        "nothing came for 10s; missing is frame 1 (line 6 of the capture) \"ear\\n\" (65 61 72 0a); \
         the message was \"ear\\n\""
    );
}

#[tokio::test(start_paused = true)]
async fn what_was_decoded_after_the_end_is_said_before_it() {
    let steps = [
        (0, "end", ""),
        (0, "in", "pea"),
        (0, "out", "pod\n"),
        (1, "close", ""),
    ];
    let replay = replay(Part::Remote, &steps);
    let (node, mut inbound) = in_memory()
        .allow_half_open(true)
        .start(lines)
        .await
        .unwrap();
    let (ours, theirs) = duplex(64);
    let peer = adopt(&node, theirs).await;
    let answer = async {
        assert_eq!(inbound.recv().await.unwrap(), ("pea".to_owned(), peer));
        node.send_to("pod".to_owned(), peer).await.unwrap();
        node.disconnect(peer).await;
    };
    let (played, ()) = tokio::join!(replay.over(ours), answer);
    played.unwrap();
    finish(&node, inbound).await;
}
