//! Streams that end, and connections that are reset.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_stream_ends_or_is_reset_behind_so_many_bytes() {
    for (conditions, reset) in [
        (Conditions::new().end_after(1000), false),
        (Conditions::new().reset_after(1000), true),
    ] {
        let (mut world, link, mut alice, mut bob) = listening(memory()).await;
        transfer(&mut alice, &mut bob, 500).await;
        link.forth().set(conditions);
        let (mut alice_too, mut bob_too) = world.join(ALICE).await;
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
    let (link, alice, mut bob) = connected(memory()).await;
    let mut read = task::spawn(bob.read_u8());
    assert_pending!(read.poll());
    link.set(Conditions::new().end_after(0));
    assert!(read.is_woken());
    assert_eq!(kind(time(read).await.1), ErrorKind::UnexpectedEof);
    drop(alice);
}

#[tokio::test(start_paused = true)]
async fn a_link_that_is_reset_resets_both_ends_of_the_connections_that_there_are() {
    let (mut world, link, mut alice, mut bob) = listening(memory()).await;
    let (mut carol, mut bob_for_carol) = world.join(CAROL).await;
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
    let (mut alice, mut bob) = world.join(ALICE).await;
    transfer(&mut alice, &mut bob, 100).await;
    transfer(&mut carol, &mut bob_for_carol, 100).await;
}

#[tokio::test(start_paused = true)]
async fn one_direction_that_is_reset_tells_the_other_end_when_it_writes() {
    let (link, mut alice, mut bob) = connected(memory()).await;
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
async fn what_arrives_at_one_that_is_gone_is_answered_with_latency() {
    let (link, alice, mut bob) = connected(memory()).await;
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
    let (link, mut alice, mut bob) = connected(memory()).await;
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
