//! A script as a value.

use super::*;

#[test]
fn a_script_shows_its_steps() {
    let shown = script()
        .send("a")
        .send_bytes("bc")
        .trickle("d", 1, SECOND)
        .stall(SECOND)
        .expect("e")
        .expect_matching("a vowel", |line| line == "i")
        .expect_silence(2 * SECOND)
        .half_close()
        .expect_closed(Closed::Either)
        .reset();
    let expected = "Script [to send \"a\", to send 2 bytes, to send 1 byte, 1 byte every 1s, \
                    to stall for 1s, \"e\", a vowel, silence for 2s, to end our side, \
                    the end of the stream or a reset, to reset the connection]";
    assert_eq!(format!("{shown:?}"), expected);
}

#[test]
#[should_panic = "pieces of 0 bytes would never be all"]
fn pieces_of_no_bytes_are_refused_when_the_script_is_written() {
    let _ = script().trickle("a", 0, SECOND);
}

#[test]
fn everything_of_it_can_be_sent_to_other_threads() {
    fn send<T: Send>(_: &T) {}
    fn sync<T: Sync>(_: &T) {}
    let script = script();
    send(&script);
    sync(&script);
    let dialing = script.dial(localhost());
    send(&dialing);
    sync(&dialing);
    send(&dialing.play());
    send(&dialing.play_times(1));
    send(&dialing.connect());
    send(&async {
        let mut listening = script.listen(localhost()).await.unwrap();
        let _ = listening.play_times(2).await;
        let mut player = listening.accept().await.unwrap();
        let _ = player.play(&script).await;
        player.finish().await
    });
    fn error<E: std::error::Error + Send + Sync + 'static>() {}
    error::<Failure>();
}
