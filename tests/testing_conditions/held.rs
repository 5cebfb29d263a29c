//! Links on which nothing gets through: stalled, half open, between the parts of a network.

use super::*;

/// Whether nothing comes, for a long time.
async fn is_silent(stream: &mut MemoryStream) -> bool {
    timeout(secs(1000), stream.read_u8()).await.is_err()
}

#[tokio::test(start_paused = true)]
async fn a_stalled_link_holds_everything_and_loses_nothing() {
    let (world, link, mut alice, mut bob) = listening(memory()).await;
    link.forth().set(Conditions::new().latency(secs(10)));
    alice.write_all(b"under way").await.unwrap();
    tokio::time::sleep(secs(4)).await;
    link.forth().stall();
    assert!(is_silent(&mut bob).await);
    let from = world.memory.at(ALICE);
    let mut dial = task::spawn(from.connect(SERVER));
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
    let (link, mut alice, mut bob) = connected(memory()).await;
    link.stall();
    alice.write_all(b"x").await.unwrap();
    let mut read = task::spawn(bob.read_u8());
    assert_pending!(read.poll());
    link.resume();
    assert!(read.is_woken());
    assert_eq!(time(read).await.1.unwrap(), b'x');
}

#[tokio::test(start_paused = true)]
async fn half_open_takes_what_a_pipe_holds_and_says_nothing() {
    let (mut world, link, mut alice, mut bob) = listening(Memory::new().capacity(1000)).await;
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
    let (mut alice, mut bob) = world.join(ALICE).await;
    transfer(&mut alice, &mut bob, 5000).await;
}

#[tokio::test(start_paused = true)]
async fn groups_do_not_reach_each_other_until_they_heal() {
    let (mut world, _, mut alice, mut bob) = listening(memory()).await;
    let (mut carol, mut bob_for_carol) = world.join(CAROL).await;
    world.memory.partition(&[&[ALICE], &[BOB, CAROL]]);
    alice.write_all(b"x").await.unwrap();
    assert!(is_silent(&mut bob).await);
    transfer(&mut carol, &mut bob_for_carol, 100).await;
    let from = world.memory.at(ALICE);
    let dial = from.connect(SERVER);
    assert!(timeout(secs(1000), dial).await.is_err());
    // One that is in no group reaches all.
    world.join([10, 0, 0, 9].into()).await;

    world.memory.partition(&[&[ALICE, BOB], &[CAROL]]);
    assert_eq!(time(bob.read_u8()).await.1.unwrap(), b'x');
    carol.write_all(b"y").await.unwrap();
    assert!(is_silent(&mut bob_for_carol).await);
    world.memory.heal();
    assert_eq!(time(bob_for_carol.read_u8()).await.1.unwrap(), b'y');
    world.join(ALICE).await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "10.0.0.1 is in two groups")]
async fn nobody_is_in_two_groups() {
    Memory::new().partition(&[&[ALICE], &[BOB, ALICE]]);
}
