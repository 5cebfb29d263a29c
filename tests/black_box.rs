//! What a stranger can do to the `echo` example: it is started as a process and attacked from
//! outside, in every way that needs no more than sockets.
//!
//! Whatever the attack, a well-behaved client is served as quickly as before, within bounds; the attack
//! shows in the echo's last line, by its reason; and when it is over, the echo has as many
//! descriptors, threads and tasks as it had, and as much memory, within bounds. `black_box/siege.rs`
//! says how that is measured, and with which bounds. It is the one place where a test of this
//! crate judges how long something takes: of an optimised `echo`, which the environment variable
//! `WATTLE_ECHO` names, more strictly than of the one that comes with the tests.
//!
//! Each attack is made twice at least, as the first time doesn't count; so the numbers that are
//! expected are sums.
// What a process holds is read from /proc, and all of 127.0.0.0/8 is this host.
#![cfg(target_os = "linux")]

mod common;

#[path = "black_box/attackers.rs"]
mod attackers;
#[path = "black_box/echo.rs"]
mod echo;
#[path = "black_box/siege.rs"]
mod siege;

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    thread,
    time::{Duration, Instant},
};

use attackers::{
    address, all_cut_off, all_cut_off_but, connect, connect_deaf, connect_many, drip, reset,
    send_until_cut_off,
};
use common::{random, seed};
use echo::{Echo, left_in_the_kernel, wait_until};
use siege::{Alone, CLIENTS_LINE, Client, Siege, Target, lay_siege};

/// How much memory stays with the allocator where queues were full, in KiB: it comes in pieces of a
/// few KiB between which others live on. The next full queue uses it again.
const OF_FULL_QUEUES: usize = 32 * 1024;

// Where hundreds come at once, some may come faster than the echo can greet them, and are refused as
// too many that are pending: `refused.max_pending`.

/// Addresses that an attack comes from where nothing depends on them.
const ADDRESSES: usize = 16;

#[test]
fn a_slow_drip_is_cut_off_at_the_frame_timeout() {
    let attack = |siege: &Siege| {
        let drips = connect_many(100, |n| address(n % ADDRESSES), siege.addr);
        drip(drips, Duration::from_millis(50));
        100
    };
    let (last_words, attackers) = lay_siege(Target::with(&["--frame-timeout", "1s"]), attack);
    last_words.assert("timeouts.frame", attackers);
    last_words.assert("ended.timed_out", attackers);
}

#[test]
fn a_line_without_an_end_is_cut_off_at_the_frame_cap() {
    /// In bytes: a read brings more than the cap, and what comes while the connection is being closed
    /// is read and thrown away. It is far from the cap that a node has of itself, 16 MiB.
    const MOST: u64 = 1024 * 1024;
    let attack = |siege: &Siege| {
        siege.in_waves_of(8, 8, || {
            for stream in connect_many(8, address, siege.addr) {
                send_until_cut_off(stream, &[b'x'; 1024]);
            }
        })
    };
    let (last_words, attackers) = lay_siege(Target::with(&["--max-frame", "4096"]), attack);
    last_words.assert("ended.frame_too_large", attackers);
    // All lines are the client's.
    let endless = last_words.number("bytes_in")
        - CLIENTS_LINE.len() as u64 * last_words.number("messages_in");
    assert!(endless / attackers < MOST, "{last_words:?}");
}

#[test]
fn a_reader_that_never_reads_is_cut_off_at_the_write_timeout() {
    // The kernel holds megabytes for it, so it takes that many until the echo can't write. A step is
    // less than the echo queues for a client, so that it is the timeout that ends it.
    const STEP: usize = 512 * 1024;
    const WRITE_TIMEOUT: Duration = Duration::from_millis(300);
    let attack = |siege: &Siege| {
        let mut deaf: Vec<TcpStream> = (0..8)
            .map(|n| connect_deaf(address(n), siege.addr))
            .collect();
        let line = [[b'x'; 4095].as_slice(), b"\n"].concat();
        let step = line.repeat(STEP / line.len());
        wait_until(|| {
            for stream in &mut deaf {
                // Fails when it is cut off.
                let _ = stream.write_all(&step);
            }
            thread::sleep(WRITE_TIMEOUT * 3 / 2);
            match siege.echo.descriptors() {
                n if n == siege.descriptors => Ok(()),
                n => Err(format!("{n} instead of {}", siege.descriptors)),
            }
        });
        // Megabytes for each, that would stay as long as the client likes, and count as nothing.
        assert_eq!(left_in_the_kernel(siege.addr.port()), 0);
        deaf.len() as u64
    };
    let target = Target {
        noise: OF_FULL_QUEUES,
        ..Target::with(&["--write-timeout", "300ms"])
    };
    let (last_words, attackers) = lay_siege(target, attack);
    last_words.assert("timeouts.write", attackers);
    last_words.assert("ended.timed_out", attackers);
}

#[test]
fn one_that_only_sends_is_cut_off_when_its_queue_is_full() {
    let attack = |siege: &Siege| {
        let line = [[b'x'; 4095].as_slice(), b"\n"].concat();
        siege.in_waves_of(1, 4, || {
            send_until_cut_off(connect_deaf(address(0), siege.addr), &line);
        })
    };
    let target = Target {
        noise: OF_FULL_QUEUES,
        ..Target::with(&[])
    };
    let (last_words, attackers) = lay_siege(target, attack);
    last_words.assert("ended.queue_full", attackers);
    assert!(last_words.number("undelivered") + last_words.number("dropped") > 0);
}

#[test]
fn many_that_only_send_fill_the_memory_budget_and_no_more() {
    const MANY: usize = 200;
    /// In KiB: the budget of `echo`, and as much again for what the allocator makes of it, for what
    /// is being read and written, and for the program itself.
    const MEMORY: usize = 2 * 64 * 1024;
    let attack = |siege: &Siege| {
        let line = [[b'x'; 4095].as_slice(), b"\n"].concat();
        let mut deaf: Vec<TcpStream> = (0..MANY)
            .map(|n| connect_deaf(address(n), siege.addr))
            .collect();
        while !deaf.is_empty() {
            deaf.retain_mut(|stream| (0..64).all(|_| stream.write_all(&line).is_ok()));
        }
        let memory = siege.echo.resident_at_most();
        println!("{memory} KiB at most");
        assert!(memory < MEMORY, "{memory} KiB");
        MANY as u64
    };
    let target = Target {
        // Much of it stays with the allocator, and is used again: the peak doesn't grow.
        noise: MEMORY,
        ..Target::with(&[])
    };
    let (last_words, attackers) = lay_siege(target, attack);
    last_words.assert("ended.queue_full", attackers);
}

#[test]
fn a_flood_from_one_address_fills_only_its_own_share() {
    const FLOOD: usize = 300;
    let attack = |siege: &Siege| {
        let flood = connect_many(FLOOD, |_| address(0), siege.addr);
        let held = all_cut_off_but(flood, 8);
        siege.hold();
        drop(held);
        FLOOD as u64
    };
    let (last_words, attackers) = lay_siege(Target::with(&["--max-per-ip", "8"]), attack);
    let rounds = attackers / FLOOD as u64;
    last_words.assert("refused.max_per_ip", attackers - 8 * rounds);
    last_words.assert("connected", 1 + 8 * rounds);
}

#[test]
fn a_flood_from_many_addresses_fills_the_house_and_no_more() {
    const FLOOD: usize = 300;
    let attack = |siege: &Siege| {
        let flood = connect_many(FLOOD, address, siege.addr);
        let held = all_cut_off_but(flood, 63);
        siege.hold();
        drop(held);
        FLOOD as u64
    };
    let options = ["--max-connections", "64", "--max-per-ip", "8"];
    let (last_words, attackers) = lay_siege(Target::with(&options), attack);
    let rounds = attackers / FLOOD as u64;
    let [full, pending] =
        ["refused.max_connections", "refused.max_pending"].map(|name| last_words.number(name));
    assert!(full > 0, "{last_words:?}");
    assert_eq!(full + pending, attackers - 63 * rounds, "{last_words:?}");
    last_words.assert("refused.max_per_ip", 0);
    last_words.assert("connected", 1 + 63 * rounds);
}

#[test]
fn those_who_connect_and_say_nothing_are_cut_off_at_the_idle_timeout() {
    let attack = |siege: &Siege| {
        let silent = connect_many(300, |n| address(n % ADDRESSES), siege.addr);
        all_cut_off(silent);
        300
    };
    let (last_words, attackers) = lay_siege(Target::with(&["--idle-timeout", "1s"]), attack);
    let pending = last_words.number("refused.max_pending");
    last_words.assert("timeouts.idle", attackers - pending);
    last_words.assert("connected", 1 + attackers - pending);
}

#[test]
fn a_burst_fills_what_may_be_pending_and_no_more() {
    const BURST: usize = 100;
    /// Few enough that the client's answers which the stops delay are less than one in a hundred.
    const BURSTS: usize = 3;
    let attack = |siege: &Siege| {
        for _ in 0..BURSTS {
            // While it is stopped, the kernel accepts for it: so they all come at once.
            siege.echo.signal("-STOP");
            let burst = connect_many(BURST, address, siege.addr);
            siege.echo.signal("-CONT");
            drop(burst);
        }
        siege.hold();
        (BURSTS * BURST) as u64
    };
    let (last_words, attackers) = lay_siege(Target::with(&["--max-pending", "2"]), attack);
    let refused = last_words.number("refused.max_pending");
    assert!(refused > 0, "{last_words:?}");
    last_words.assert("connected", 1 + attackers - refused);
}

#[test]
fn resets_in_every_phase_are_told_as_resets() {
    const OF_EACH: usize = 4;
    let attack = |siege: &Siege| {
        let connect = |n: usize| connect(address(n % ADDRESSES), siege.addr);
        siege.in_waves_of(4 * OF_EACH as u64, 1000, || {
            for n in 0..OF_EACH {
                reset(connect(n));

                let mut inside_a_line = connect(n);
                inside_a_line.write_all(b"begun").expect("it reads");
                reset(inside_a_line);

                let mut behind_a_line = connect(n);
                behind_a_line.write_all(b"whole\n").expect("it reads");
                reset(behind_a_line);

                let mut unread = connect(n);
                unread.write_all(b"whole\n").expect("it reads");
                unread.peek(&mut [0]).expect("it answers");
                reset(unread);
            }
        })
    };
    let (last_words, attackers) = lay_siege(Target::with(&[]), attack);
    last_words.assert("ended.reset", attackers);
}

#[test]
fn garbage_ends_the_connection_that_it_came_on() {
    let seed = seed();
    let attack = |siege: &Siege| {
        let mut state = seed;
        siege.in_waves_of(8, 100, || {
            let mut streams = connect_many(8, address, siege.addr);
            for stream in &mut streams {
                // There is an end of a line in it, and no text before.
                let mut garbage: Vec<u8> = (0..4096).map(|_| random(&mut state) as u8).collect();
                garbage[0] = 0xff;
                garbage[1000] = b'\n';
                // Fails if it is cut off in the middle of it.
                let _ = stream.write_all(&garbage);
            }
            all_cut_off(streams);
        })
    };
    let (last_words, attackers) = lay_siege(Target::with(&[]), attack);
    last_words.assert("ended.decode", attackers);
}

#[test]
fn ten_thousand_connect_and_disconnect() {
    /// So many come and go at once; then one waits until the echo has kept up.
    const AT_ONCE: usize = 20;
    let attack = |siege: &Siege| {
        let mut addresses = (0..ADDRESSES).map(address).cycle();
        siege.in_waves_of(AT_ONCE as u64, 10_000, || {
            let from = addresses.next().expect("they begin again");
            drop(connect_many(AT_ONCE - 1, |_| from, siege.addr));
            let mut last = connect(from, siege.addr);
            last.shutdown(Shutdown::Write).expect("it is open");
            let end = last.read(&mut [0]).expect("no reset");
            assert_eq!(end, 0);
        })
    };
    let (last_words, attackers) = lay_siege(Target::with(&[]), attack);
    last_words.assert("connected", 1 + attackers);
    last_words.assert("ended.end_of_stream", attackers);
}

#[test]
fn running_out_of_descriptors_delays_those_who_come_and_nobody_else() {
    const DESCRIPTORS: usize = 64;
    let attack = |siege: &Siege| {
        let flood = connect_many(300, |n| address(n % ADDRESSES), siege.addr);
        siege.echo.runs_out_of_descriptors(DESCRIPTORS);
        siege.hold();
        drop(flood);
        // Whoever comes now is behind all of them.
        Client::connect(siege.addr).ask();
        301
    };
    let target = Target {
        descriptors: Some(DESCRIPTORS),
        ..Target::with(&[])
    };
    let begun = Instant::now();
    let (last_words, attackers) = lay_siege(target, attack);
    last_words.assert("connected", 1 + attackers);
    last_words.assert("ended.end_of_stream", attackers);
    let (log, seconds) = (&last_words.log, begun.elapsed().as_secs() as usize);
    assert!((1..=1 + seconds).contains(&log.len()), "{log:#?}");
}

#[test]
fn running_out_of_descriptors_does_not_keep_a_processor_busy() {
    let _alone = Alone::wait();
    let echo = Echo::start(&[], Some(64));
    let flood = connect_many(100, address, echo.addr);
    echo.process.runs_out_of_descriptors(64);
    // Long enough for a hundredth of a second, which is what is counted in, to mean little.
    let time = Duration::from_secs(1);
    let before = echo.process.processor_time();
    thread::sleep(time);
    let used = echo.process.processor_time() - before;
    // One that tries again and again uses all of it.
    assert!(used < time / 4, "{used:?} of {time:?}");
    drop(flood);
    echo.process.signal("-TERM");
    echo.last_words();
}
