//! What of the bytes that were sent comes.

use super::*;

#[tokio::test(start_paused = true)]
async fn so_many_bytes_are_corrupt_and_a_seed_says_which() {
    let number = seed();
    let mut seen = Vec::new();
    for seed in [number, number, number.wrapping_add(1)] {
        let (link, mut alice, mut bob) = connected(Memory::with_seed(seed)).await;
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

/// Whatever happens to a link, what comes is a beginning of what was sent; and all of it, if nothing
/// took anything away.
#[tokio::test(start_paused = true)]
async fn what_comes_is_what_was_sent_whatever_changes_meanwhile() {
    let mut state = seed();
    for _ in 0..60 {
        let mut draw = |bound: u64| random(&mut state) % bound;
        let memory = Memory::with_seed(draw(1 << 40)).capacity(1 + draw(5000) as usize);
        let (link, mut alice, mut bob) = connected(memory).await;
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
