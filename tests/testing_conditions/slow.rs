//! Latency, jitter and bandwidth.

use super::*;

/// The same for what comes in pieces, of a twentieth of a second.
#[track_caller]
fn assert_soon_after(took: Duration, expected: Duration) {
    let (least, most) = (expected - ms(60), expected + ms(60));
    assert!(
        took >= least && took <= most,
        "{took:?} instead of {expected:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn bytes_take_the_latency_of_their_direction() {
    let (link, mut alice, mut bob) = connected(memory()).await;
    link.forth().set(Conditions::new().latency(secs(60)));
    link.back().set(Conditions::new().latency(ms(5)));
    assert_about(transfer(&mut alice, &mut bob, 1000).await, secs(60));
    assert_about(transfer(&mut bob, &mut alice, 1000).await, ms(5));
    // The end takes as long.
    drop(alice);
    let (took, read) = time(bob.read(&mut [0; 8])).await;
    assert_eq!(read.unwrap(), 0);
    assert_about(took, secs(60));
}

#[tokio::test(start_paused = true)]
async fn dialling_takes_a_round_trip_and_so_does_a_refusal() {
    let (world, link, _alice, _bob) = listening(memory()).await;
    link.forth().set(Conditions::new().latency(ms(300)));
    link.back().set(Conditions::new().latency(ms(40)));
    let from = world.memory.at(ALICE);
    let (took, stream) = time(from.connect(SERVER)).await;
    stream.unwrap();
    assert_about(took, ms(340));
    let (took, stream) = time(from.connect(SocketAddr::new(BOB, 8))).await;
    assert_eq!(kind(stream), ErrorKind::ConnectionRefused);
    assert_about(took, ms(340));
}

#[tokio::test(start_paused = true)]
async fn jitter_delays_by_more_and_less_and_keeps_the_order() {
    let (link, mut alice, mut bob) = connected(memory()).await;
    link.set(Conditions::new().latency(ms(100)).jitter(ms(50)));
    let mut took = Vec::new();
    for _ in 0..100 {
        took.push(transfer(&mut alice, &mut bob, 1).await);
    }
    let (least, most) = (took.iter().min().unwrap(), took.iter().max().unwrap());
    assert!(*least >= ms(100) && *least < ms(115), "{least:?}");
    assert!(*most > ms(135) && *most <= ms(152), "{most:?}");
    // Many at once, which would overtake each other.
    transfer(&mut alice, &mut bob, 200_000).await;
}

#[tokio::test(start_paused = true)]
async fn bandwidth_is_bytes_per_second_and_shared_by_the_connections_of_a_link() {
    let (mut world, link, mut alice, mut bob) = listening(memory()).await;
    let (mut alice_too, mut bob_too) = world.join(ALICE).await;
    let (mut carol, mut bob_for_carol) = world.join(CAROL).await;
    link.forth().set(Conditions::new().bandwidth(1000));
    assert_about(transfer(&mut alice, &mut bob, 10_000).await, secs(10));
    let both = async {
        let one = transfer(&mut alice, &mut bob, 5_000);
        let other = transfer(&mut alice_too, &mut bob_too, 5_000);
        tokio::join!(one, other)
    };
    assert_about(time(both).await.0, secs(10));
    // Neither the way back nor another's link is narrower for that.
    assert_eq!(transfer(&mut bob, &mut alice, 10_000).await, ms(0));
    assert_eq!(
        transfer(&mut carol, &mut bob_for_carol, 10_000).await,
        ms(0)
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_slow_comes_bit_by_bit() {
    let (link, mut alice, mut bob) = connected(memory()).await;
    link.set(Conditions::new().bandwidth(100));
    alice.write_all(&[7; 100]).await.unwrap();
    let mut buf = [0; 100];
    // A piece is of a twentieth of a second.
    for second in 1..=10 {
        let (took, read) = time(bob.read_exact(&mut buf[..10])).await;
        read.unwrap();
        assert!(
            took >= ms(50) && took <= ms(151),
            "{took:?} for part {second}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn another_bandwidth_holds_for_what_is_to_be_sent_still() {
    let (link, mut alice, mut bob) = connected(memory()).await;
    link.set(Conditions::new().bandwidth(1000).latency(secs(1)));
    alice.write_all(&[7; 10_000]).await.unwrap();
    let mut buf = [0; 10_000];
    assert_soon_after(time(bob.read_exact(&mut buf[..5000])).await.0, secs(6));
    // A second's worth is on its way, so four are to be sent.
    link.update(|conditions| conditions.bandwidth(2000));
    assert_soon_after(time(bob.read_exact(&mut buf[..1000])).await.0, secs(1));
    assert_soon_after(time(bob.read_exact(&mut buf[..2000])).await.0, secs(1));
    link.update(|conditions| conditions.bandwidth(None));
    // What is sent at once takes its latency.
    assert_soon_after(time(bob.read_exact(&mut buf[..2000])).await.0, secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_change_wakes_a_reader_who_waits_for_what_comes_sooner_now() {
    let (link, mut alice, mut bob) = connected(memory()).await;
    link.set(Conditions::new().bandwidth(1));
    alice.write_all(&[7; 1000]).await.unwrap();
    let read = tokio::spawn(async move {
        let mut buf = [0; 1000];
        time(bob.read_exact(&mut buf)).await.0
    });
    tokio::time::sleep(secs(10)).await;
    link.set(Conditions::new());
    assert_about(read.await.unwrap(), secs(10));
}

#[tokio::test(start_paused = true)]
async fn a_connection_carries_a_pipe_full_within_the_latency() {
    let (link, mut alice, mut bob) = connected(Memory::new().capacity(1000)).await;
    link.forth().set(Conditions::new().latency(secs(1)));
    let took = transfer(&mut alice, &mut bob, 10_000).await;
    assert!(took >= secs(10) && took < ms(10_100), "{took:?}");
}
