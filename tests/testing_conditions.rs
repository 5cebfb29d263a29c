//! What a link does to the bytes on it, under paused time.

use std::{
    io::{self, ErrorKind},
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, timeout},
};
use tokio_test::{assert_pending, task};
use wattle::{
    Transport,
    testing::{Conditions, Link, Memory, MemoryAcceptor, MemoryStream},
};

mod common;

use common::{quiet, random, seed};

const ALICE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
const BOB: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));
const CAROL: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 3));

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(100_000);

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Alice's connection to Bob, and what is needed to have another.
struct Setup {
    memory: Memory,
    link: Link,
    acceptor: MemoryAcceptor,
    alice: MemoryStream,
    bob: MemoryStream,
}

impl Setup {
    async fn new() -> Self {
        Self::on(Memory::with_seed(seed())).await
    }

    async fn on(memory: Memory) -> Self {
        let bob = memory.at(BOB);
        let mut acceptor = bob.bind(SocketAddr::new(BOB, 7)).await.unwrap();
        let (alice, bob) = join(&memory, &mut acceptor, ALICE).await;
        Self {
            link: memory.link(ALICE, BOB),
            memory,
            acceptor,
            alice,
            bob,
        }
    }
}

async fn join(
    memory: &Memory,
    acceptor: &mut MemoryAcceptor,
    from: IpAddr,
) -> (MemoryStream, MemoryStream) {
    let stream = memory.at(from).connect(SocketAddr::new(BOB, 7)).await;
    (stream.unwrap(), acceptor.accept().await.unwrap().0)
}

/// How long something takes, to the millisecond above, which is the timer's.
async fn time<T>(future: impl Future<Output = T>) -> (Duration, T) {
    let start = Instant::now();
    let output = timeout(LONG, future).await.expect("it never happens");
    (start.elapsed(), output)
}

#[track_caller]
fn assert_about(took: Duration, expected: Duration) {
    let most = expected + ms(2);
    assert!(
        took >= expected && took <= most,
        "{took:?} instead of {expected:?}"
    );
}

/// The same for what comes in pieces, of a twentieth of a second.
#[track_caller]
fn assert_soon_after(took: Duration, expected: Duration) {
    let (least, most) = (expected - ms(60), expected + ms(60));
    assert!(
        took >= least && took <= most,
        "{took:?} instead of {expected:?}"
    );
}

/// Writes so much at one end and reads it at the other, and says how long that took.
async fn transfer(from: &mut MemoryStream, to: &mut MemoryStream, bytes: usize) -> Duration {
    let sent: Vec<u8> = (0..bytes).map(|n| n as u8).collect();
    let mut read = vec![0; bytes];
    let both = async { tokio::join!(from.write_all(&sent), to.read_exact(&mut read)) };
    let (took, (written, came)) = time(both).await;
    written.unwrap();
    came.unwrap();
    assert!(read == sent, "not what was sent");
    took
}

fn kind<T: std::fmt::Debug>(result: io::Result<T>) -> ErrorKind {
    result.expect_err("it should fail").kind()
}

/// Whether nothing comes, for a long time.
async fn is_silent(stream: &mut MemoryStream) -> bool {
    timeout(secs(1000), stream.read_u8()).await.is_err()
}

#[tokio::test(start_paused = true)]
async fn bytes_take_the_latency_of_their_direction() {
    let Setup {
        link,
        mut alice,
        mut bob,
        ..
    } = Setup::new().await;
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
    let Setup {
        memory,
        link,
        acceptor: _acceptor,
        ..
    } = Setup::new().await;
    link.forth().set(Conditions::new().latency(ms(300)));
    link.back().set(Conditions::new().latency(ms(40)));
    let from = memory.at(ALICE);
    let (took, stream) = time(from.connect(SocketAddr::new(BOB, 7))).await;
    stream.unwrap();
    assert_about(took, ms(340));
    let (took, stream) = time(from.connect(SocketAddr::new(BOB, 8))).await;
    assert_eq!(kind(stream), ErrorKind::ConnectionRefused);
    assert_about(took, ms(340));
}

#[tokio::test(start_paused = true)]
async fn jitter_delays_by_more_and_less_and_keeps_the_order() {
    let Setup {
        link,
        mut alice,
        mut bob,
        ..
    } = Setup::new().await;
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
    let Setup {
        memory,
        link,
        mut acceptor,
        mut alice,
        mut bob,
    } = Setup::new().await;
    let (mut alice_too, mut bob_too) = join(&memory, &mut acceptor, ALICE).await;
    let (mut carol, mut bob_for_carol) = join(&memory, &mut acceptor, CAROL).await;
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
    let Setup {
        link,
        mut alice,
        mut bob,
        ..
    } = Setup::new().await;
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
    let Setup {
        link,
        mut alice,
        mut bob,
        ..
    } = Setup::new().await;
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
    let Setup {
        link,
        mut alice,
        mut bob,
        ..
    } = Setup::new().await;
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
    let memory = Memory::new().capacity(1000);
    let Setup {
        link,
        mut alice,
        mut bob,
        ..
    } = Setup::on(memory).await;
    link.forth().set(Conditions::new().latency(secs(1)));
    let took = transfer(&mut alice, &mut bob, 10_000).await;
    assert!(took >= secs(10) && took < ms(10_100), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stalled_link_holds_everything_and_loses_nothing() {
    let Setup {
        memory,
        link,
        acceptor: _acceptor,
        mut alice,
        mut bob,
    } = Setup::new().await;
    link.forth().set(Conditions::new().latency(secs(10)));
    alice.write_all(b"under way").await.unwrap();
    tokio::time::sleep(secs(4)).await;
    link.forth().stall();
    assert!(is_silent(&mut bob).await);
    let from = memory.at(ALICE);
    let mut dial = task::spawn(from.connect(SocketAddr::new(BOB, 7)));
    assert_pending!(dial.poll());
    alice.write_all(b", later").await.unwrap();
    drop(alice);
    // The other direction goes on.
    assert!(is_silent(&mut bob).await);

    link.forth().resume();
    let mut text = [0; 9];
    assert_about(time(bob.read_exact(&mut text)).await.0, secs(6));
    let mut rest = String::new();
    assert_about(time(bob.read_to_string(&mut rest)).await.0, secs(4));
    assert_eq!(rest, ", later");
    time(dial).await.1.expect("it goes on, too");
}

#[tokio::test(start_paused = true)]
async fn a_stall_without_latency_holds_what_was_not_read() {
    let Setup {
        link,
        mut alice,
        mut bob,
        ..
    } = Setup::new().await;
    link.stall();
    alice.write_all(b"x").await.unwrap();
    let mut read = task::spawn(bob.read_u8());
    assert_pending!(read.poll());
    link.resume();
    assert!(read.is_woken());
    assert_eq!(time(read).await.1.unwrap(), b'x');
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_or_is_reset_behind_so_many_bytes() {
    for (conditions, reset) in [
        (Conditions::new().end_after(1000), false),
        (Conditions::new().reset_after(1000), true),
    ] {
        let Setup {
            memory,
            link,
            mut acceptor,
            mut alice,
            mut bob,
        } = Setup::new().await;
        transfer(&mut alice, &mut bob, 500).await;
        link.forth().set(conditions);
        let (mut alice_too, mut bob_too) = join(&memory, &mut acceptor, ALICE).await;
        for (from, to) in [(&mut alice, &mut bob), (&mut alice_too, &mut bob_too)] {
            // The rest of it goes nowhere, which is noticed then.
            let _ = from.write_all(&[7; 3000]).await;
            let mut read = Vec::new();
            let came = time(to.read_to_end(&mut read)).await.1;
            assert_eq!(read.len(), 1000);
            match reset {
                true => assert_eq!(kind(came), ErrorKind::ConnectionReset),
                false => assert_eq!(came.unwrap(), 1000),
            }
            assert!(from.write_all(&[7; 10]).await.is_err());
            let ended = from.read(&mut [0; 8]).await;
            assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_cut_at_once_wakes_its_reader() {
    let Setup {
        link,
        alice,
        mut bob,
        ..
    } = Setup::new().await;
    let mut read = task::spawn(bob.read_u8());
    assert_pending!(read.poll());
    link.set(Conditions::new().end_after(0));
    assert!(read.is_woken());
    assert_eq!(kind(time(read).await.1), ErrorKind::UnexpectedEof);
    drop(alice);
}

#[tokio::test(start_paused = true)]
async fn a_link_that_is_reset_resets_both_ends_of_the_connections_that_there_are() {
    let Setup {
        memory,
        link,
        mut acceptor,
        mut alice,
        mut bob,
    } = Setup::new().await;
    let (mut carol, mut bob_for_carol) = join(&memory, &mut acceptor, CAROL).await;
    // Even where nothing gets through.
    link.stall();
    let mut read = task::spawn(bob.read_u8());
    assert_pending!(read.poll());
    link.reset();
    assert!(read.is_woken());
    assert_eq!(kind(time(read).await.1), ErrorKind::ConnectionReset);
    assert_eq!(kind(alice.write(b"x").await), ErrorKind::ConnectionReset);
    assert_eq!(kind(alice.write(b"x").await), ErrorKind::BrokenPipe);
    link.resume();
    let (mut alice, mut bob) = join(&memory, &mut acceptor, ALICE).await;
    transfer(&mut alice, &mut bob, 100).await;
    transfer(&mut carol, &mut bob_for_carol, 100).await;
}

#[tokio::test(start_paused = true)]
async fn one_direction_that_is_reset_tells_the_other_end_when_it_writes() {
    let Setup {
        link,
        mut alice,
        mut bob,
        ..
    } = Setup::new().await;
    link.forth().reset();
    assert_eq!(kind(bob.read_u8().await), ErrorKind::ConnectionReset);
    let mut read = task::spawn(alice.read_u8());
    assert_pending!(read.poll());
    drop(read);
    alice.write_all(b"x").await.unwrap();
    assert_eq!(
        kind(time(alice.read_u8()).await.1),
        ErrorKind::ConnectionReset
    );
}

#[tokio::test(start_paused = true)]
async fn half_open_takes_what_a_pipe_holds_and_says_nothing() {
    let memory = Memory::new().capacity(1000);
    let Setup {
        memory,
        link,
        mut acceptor,
        mut alice,
        mut bob,
    } = Setup::on(memory).await;
    alice.write_all(&[7; 300]).await.unwrap();
    link.half_open();
    assert!(is_silent(&mut bob).await);
    alice.write_all(&[7; 700]).await.unwrap();
    let mut write = task::spawn(alice.write(&[7; 1]));
    assert_pending!(write.poll());
    drop(bob);
    assert!(timeout(secs(1000), write).await.is_err());
    assert!(is_silent(&mut alice).await);
    // Others don't notice.
    let (mut alice, mut bob) = join(&memory, &mut acceptor, ALICE).await;
    transfer(&mut alice, &mut bob, 5000).await;
}

#[tokio::test(start_paused = true)]
async fn groups_do_not_reach_each_other_until_they_heal() {
    let Setup {
        memory,
        mut acceptor,
        mut alice,
        mut bob,
        ..
    } = Setup::new().await;
    let (mut carol, mut bob_for_carol) = join(&memory, &mut acceptor, CAROL).await;
    memory.partition(&[&[ALICE], &[BOB, CAROL]]);
    alice.write_all(b"x").await.unwrap();
    assert!(is_silent(&mut bob).await);
    transfer(&mut carol, &mut bob_for_carol, 100).await;
    let from = memory.at(ALICE);
    let dial = from.connect(SocketAddr::new(BOB, 7));
    assert!(timeout(secs(1000), dial).await.is_err());
    // One that is in no group reaches all.
    join(&memory, &mut acceptor, [10, 0, 0, 9].into()).await;

    memory.partition(&[&[ALICE, BOB], &[CAROL]]);
    assert_eq!(time(bob.read_u8()).await.1.unwrap(), b'x');
    carol.write_all(b"y").await.unwrap();
    assert!(is_silent(&mut bob_for_carol).await);
    memory.heal();
    assert_eq!(time(bob_for_carol.read_u8()).await.1.unwrap(), b'y');
    join(&memory, &mut acceptor, ALICE).await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "10.0.0.1 is in two groups")]
async fn nobody_is_in_two_groups() {
    Memory::new().partition(&[&[ALICE], &[BOB, ALICE]]);
}

#[tokio::test(start_paused = true)]
async fn so_many_bytes_are_corrupt_and_a_seed_says_which() {
    let number = seed();
    let mut seen = Vec::new();
    for seed in [number, number, number.wrapping_add(1)] {
        let Setup {
            link,
            mut alice,
            mut bob,
            ..
        } = Setup::on(Memory::with_seed(seed)).await;
        link.forth().set(Conditions::new().corruption(0.01));
        alice.write_all(&[0; 50_000]).await.unwrap();
        let mut read = vec![0; 50_000];
        bob.read_exact(&mut read).await.unwrap();
        let corrupt = read.iter().filter(|&&byte| byte != 0).count();
        assert!((300..700).contains(&corrupt), "{corrupt} of 50,000");
        seen.push(read);
        transfer(&mut bob, &mut alice, 50_000).await;
    }
    assert!(seen[0] == seen[1], "the same seed");
    assert!(seen[0] != seen[2], "another seed");
}

#[tokio::test(start_paused = true)]
async fn what_arrives_at_one_that_is_gone_is_answered_with_latency() {
    let Setup {
        link,
        alice,
        mut bob,
        ..
    } = Setup::new().await;
    link.set(Conditions::new().latency(secs(1)));
    drop(alice);
    // Neither the end nor the answer is there yet.
    bob.write_all(b"x").await.unwrap();
    let (took, read) = time(bob.read(&mut [0; 8])).await;
    assert_eq!(read.unwrap(), 0);
    assert_about(took, secs(1));
    bob.write_all(b"y").await.unwrap();
    tokio::time::sleep(ms(1500)).await;
    assert_eq!(kind(bob.write(b"z").await), ErrorKind::BrokenPipe);
}

#[tokio::test(start_paused = true)]
async fn a_reset_takes_back_what_is_under_way() {
    let Setup {
        link,
        mut alice,
        mut bob,
        ..
    } = Setup::new().await;
    link.set(Conditions::new().latency(secs(10)));
    alice.write_all(b"arrives").await.unwrap();
    tokio::time::sleep(secs(11)).await;
    alice.write_all(b"does not").await.unwrap();
    alice.reset();
    let mut text = [0; 7];
    bob.read_exact(&mut text).await.unwrap();
    let (took, read) = time(bob.read_u8()).await;
    assert_eq!(kind(read), ErrorKind::ConnectionReset);
    assert_about(took, secs(10));
}

/// Whatever happens to a link, what comes is a beginning of what was sent; and all of it, if nothing
/// took anything away.
#[tokio::test(start_paused = true)]
async fn what_comes_is_what_was_sent_whatever_changes_meanwhile() {
    let mut state = seed();
    for _ in 0..60 {
        let mut draw = |bound: u64| random(&mut state) % bound;
        let memory = Memory::with_seed(draw(1 << 40)).capacity(1 + draw(5000) as usize);
        let Setup {
            link,
            mut alice,
            mut bob,
            ..
        } = Setup::on(memory).await;
        let total = draw(100_000) as usize;
        let writing = tokio::spawn(async move {
            let sent: Vec<u8> = (0..total).map(|n| (n % 251) as u8).collect();
            alice.write_all(&sent).await.unwrap();
        });
        let reading = tokio::spawn(async move {
            let mut read = Vec::new();
            bob.read_to_end(&mut read).await.unwrap();
            read
        });
        for _ in 0..10 {
            match draw(4) {
                0 => link.stall(),
                1 => link.resume(),
                2 => link.update(|conditions| conditions.bandwidth(1 + draw_once(&conditions))),
                _ => link.set(
                    Conditions::new()
                        .latency(ms(draw(900)))
                        .jitter(ms(draw(900))),
                ),
            }
            tokio::time::sleep(ms(draw(500))).await;
        }
        link.resume();
        link.set(Conditions::new());
        let read = timeout(LONG, reading)
            .await
            .expect("it never ends")
            .unwrap();
        writing.await.unwrap();
        assert_eq!(read.len(), total);
        assert!(
            read.iter()
                .enumerate()
                .all(|(n, &byte)| byte == (n % 251) as u8)
        );
    }
    quiet().await;
}

/// Some bandwidth that depends on nothing that has to be told.
fn draw_once(conditions: &Conditions) -> u64 {
    format!("{conditions:?}").len() as u64 * 37
}
