//! Which bytes go out and come, in which order and when.

use bytes::Bytes;
use tokio_util::codec::LengthDelimitedCodec;

use super::*;

#[tokio::test(start_paused = true)]
async fn nothing_that_came_is_lost_between_steps_and_behind_the_last() {
    let (mut player, mut other) = on_stage(64);
    other.write_all(b"one\ntwo\nthree\nfo").await.unwrap();
    player.play(&script().expect("one")).await.unwrap();
    player
        .play(&script().send("x").expect("two"))
        .await
        .unwrap();
    other.write_all(b"ur\nfi").await.unwrap();
    assert_eq!(player.finish().await.rest(), &b"three\nfour\nfi"[..]);
}

#[tokio::test(start_paused = true)]
async fn one_goes_on_by_hand_with_all_that_came() {
    let (mut player, mut other) = on_stage(64);
    other.write_all(b"one\ntwo\nthr").await.unwrap();
    player.play(&script().expect("one")).await.unwrap();
    let mut by_hand = player.into_framed();
    assert_eq!(within(by_hand.next()).await.unwrap().unwrap(), "two");
    other.write_all(b"ee\n").await.unwrap();
    assert_eq!(within(by_hand.next()).await.unwrap().unwrap(), "three");
    by_hand.send("four").await.unwrap();
    let mut four = [0; 5];
    other.read_exact(&mut four).await.unwrap();
    assert_eq!(&four, b"four\n");
}

#[tokio::test(start_paused = true)]
async fn bytes_and_messages_go_out_in_the_order_of_the_steps() {
    let (mut player, mut other) = on_stage(3);
    let sending = script()
        .send_bytes("a")
        .send("b")
        .trickle("cde", 2, SECOND)
        .send("f")
        .send_bytes(Bytes::from_static(b"g"))
        .half_close();
    let mut all = String::new();
    let (played, read) = tokio::join!(player.play(&sending), other.read_to_string(&mut all));
    played.unwrap();
    read.unwrap();
    assert_eq!(all, "ab\ncdef\ng");
}

#[tokio::test(start_paused = true)]
async fn a_trickle_comes_in_pieces_with_pauses_between_them() {
    let (mut player, mut other) = on_stage(64);
    let begun = Instant::now();
    let reading = async {
        let mut pieces = Vec::new();
        loop {
            let mut piece = [0; 64];
            match other.read(&mut piece).await.unwrap() {
                0 => return pieces,
                n => pieces.push((begun.elapsed(), piece[..n].to_vec())),
            }
        }
    };
    let trickling = script().trickle("hello", 2, 2 * SECOND).half_close();
    let (played, pieces) = tokio::join!(player.play(&trickling), reading);
    played.unwrap();
    let expected = [(0, "he"), (2, "ll"), (4, "o")];
    let expected = expected.map(|(at, piece)| (at * SECOND, piece.as_bytes().to_vec()));
    assert_eq!(pieces, expected);
}

#[tokio::test(start_paused = true)]
async fn one_that_writes_before_it_reads_doesnt_hang_a_script_that_does_too() {
    let (mut player, other) = on_stage(16);
    let mut other = Player::on(other, LinesCodec::new());
    let long = "x".repeat(1000);
    let both = script().send(long.clone()).expect(long.clone());
    let both = both.send(long.clone()).expect(long);
    play_both(player.play(&both), other.play(&both)).await;
}

#[tokio::test(start_paused = true)]
async fn what_was_read_ahead_has_the_time_at_which_it_came() {
    let (mut player, mut other) = on_stage(64);
    let slow = script().trickle("abc\n", 1, SECOND).expect("early");
    let early = async {
        tokio::time::sleep(SECOND + SECOND / 2).await;
        other.write_all(b"early\n").await.unwrap();
    };
    let (played, ()) = tokio::join!(player.play(&slow), early);
    played.unwrap();
    let text = player.finish().await.to_string();
    let expected = [
        "  0.000000s  step 1   → (bytes)  1 byte: \"a\"",
        "  1.000000s  step 1   → (bytes)  1 byte: \"b\"",
        "  1.500000s  step 2   ← \"early\"  6 bytes: \"early\\n\"",
        "  2.000000s  step 1   → (bytes)  1 byte: \"c\"",
        "  3.000000s  step 1   → (bytes)  1 byte: \"\\n\"",
    ];
    assert_eq!(text, expected.join("\n"));
}

#[tokio::test(start_paused = true)]
async fn the_last_message_may_come_with_the_end_of_the_stream() {
    let (mut player, mut other) = on_stage(64);
    other.write_all(b"one\ntwo").await.unwrap();
    drop(other);
    let reading = script().expect("one").expect("two");
    let reading = reading.expect_closed(Closed::Orderly);
    let again = script().expect_closed(Closed::Either);
    player.play(&reading).await.unwrap();
    player.play(&again).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_transcript_has_the_bytes_of_each_message() {
    let (ours, theirs) = duplex(5);
    let mut player = Player::on(ours, LengthDelimitedCodec::new());
    let mut other = Player::on(theirs, LengthDelimitedCodec::new());
    let frames = |_: Peer| LengthDelimitedCodec::new();
    let sending = Script::new(frames)
        .send(Bytes::from_static(b"abc"))
        .send(Bytes::from_static(b"defgh"));
    let receiving = Script::new(frames)
        .expect(Bytes::from_static(b"abc"))
        .expect(Bytes::from_static(b"defgh"));
    play_both(player.play(&sending), other.play(&receiving)).await;
    let expected = [&b"\0\0\0\x03abc"[..], b"\0\0\0\x05defgh"];
    assert_eq!(bytes_of(&player.finish().await), expected);
    assert_eq!(bytes_of(&other.finish().await), expected);
}

fn bytes_of(transcript: &Transcript) -> Vec<Bytes> {
    let bytes = |entry: &Entry| match &entry.happening {
        Happening::Sent { bytes, .. } | Happening::Received { bytes, .. } => Some(bytes.clone()),
        _ => None,
    };
    transcript.entries().iter().filter_map(bytes).collect()
}
