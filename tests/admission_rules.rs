//! Bans, exemptions, the filter and the accept rate, set beforehand and changed while the node runs.

mod common;
mod door;

use std::{
    net::IpAddr,
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use common::{lines, next_event, wind_up, within};
use door::Door;
use tokio::{
    io::AsyncReadExt,
    net::{TcpSocket, TcpStream},
    time::{advance, sleep},
};
use wattle::{
    AcceptRate, Builder, Event, Inbound, IpNet, Limit, Node, Refusal, Refused,
    testing::{Recorded, expect_next_event},
};

const SECOND: Duration = Duration::from_secs(1);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn rate(connections: u32, per: Duration) -> AcceptRate {
    let connections = NonZeroU32::new(connections).unwrap();
    AcceptRate { connections, per }
}

#[tokio::test(start_paused = true)]
async fn who_is_banned_is_refused_until_the_ban_ends_or_is_lifted() {
    let mut door = Door::open(|builder| builder).await;
    let admission = door.admission();
    admission.ban(ip("10.0.0.1"), 60 * SECOND);
    admission.ban(net("10.1.2.3/16"), None);
    let refusal = door.refused("10.0.0.1").await;
    assert_eq!(refusal, Refusal::Banned);
    assert_eq!(refusal.to_string(), "the address is banned");
    assert_eq!(door.refused("10.1.255.255").await, Refusal::Banned);
    assert_eq!(door.stats().refused.banned, 2);

    let guest = door.enter("10.0.0.2").await;
    door.leave(guest).await;
    let mut banned = admission.banned();
    banned.sort();
    let left = match banned.as_slice() {
        [(host, Some(left)), (subnet, None)] => {
            assert_eq!((*host, *subnet), (net("10.0.0.1/32"), net("10.1.0.0/16")));
            *left
        }
        other => panic!("{other:?}"),
    };
    assert!((55 * SECOND..60 * SECOND).contains(&left), "{left:?}");

    advance(left - Duration::from_millis(10)).await;
    assert_eq!(door.refused("10.0.0.1").await, Refusal::Banned);
    advance(Duration::from_millis(10)).await;
    assert!(!admission.is_banned(ip("10.0.0.1")));
    let guest = door.enter("10.0.0.1").await;
    assert_eq!(admission.banned(), [(net("10.1.0.0/16"), None)]);
    assert!(!admission.unban(ip("10.0.0.1")), "it has ended");

    advance(1_000_000 * SECOND).await;
    assert_eq!(door.refused("10.1.0.1").await, Refusal::Banned);
    assert!(!admission.unban(ip("10.1.0.1")), "it is the subnet's");
    assert!(admission.unban(net("10.1.0.0/16")));
    let other = door.enter("10.1.0.1").await;
    drop((guest, other));
    door.shut().await;
}

#[tokio::test(start_paused = true)]
async fn a_ban_leaves_alone_who_is_there_and_whom_we_dial() {
    let mut door = Door::open(|builder| builder).await;
    let mut neighbour = door.neighbour().await;
    let guest = door.enter("10.0.0.1").await;
    door.admission().ban(net("0.0.0.0/0"), None);
    let connect = within(door.node.connect(neighbour.addr()));
    let (connected, remote) = tokio::join!(connect, neighbour.shake());
    let peer = connected.unwrap();
    assert_eq!(door.node.peers().len(), 2);
    expect_next_event!(door.events, Event::Connected(_));
    door.leave((peer, remote)).await;
    assert_eq!(door.refused("10.0.0.1").await, Refusal::Banned);
    let v6 = door.enter("2001:db8::1").await;
    drop((guest, v6));
    door.shut().await;
}

#[tokio::test(start_paused = true)]
async fn ipv4_mapped_into_ipv6_is_ipv4_in_bans_exemptions_and_filters() {
    let options = |builder: Builder<_>| {
        let builder = builder.max_per_ip(1).ban(net("::ffff:10.6.0.0/112"), None);
        let builder = builder.bypass(net("::ffff:10.0.0.0/104"));
        builder.filter(|addr| addr.is_ipv4() && !addr.ip().is_loopback())
    };
    let mut door = Door::open(options).await;
    for banned in ["10.6.255.1", "::ffff:10.6.0.1"] {
        assert_eq!(door.refused(banned).await, Refusal::Banned);
        assert!(door.admission().is_banned(ip(banned)));
    }
    for filtered in ["::ffff:127.0.0.1", "127.0.0.1", "2001:db8::1"] {
        assert_eq!(door.refused(filtered).await, Refusal::Filtered);
    }
    let mut inside = Vec::new();
    for exempt in ["10.0.0.1", "::ffff:10.0.0.1", "10.0.0.1", "::ffff:10.0.0.1"] {
        inside.push(door.enter(exempt).await);
    }
    inside.push(door.enter("11.0.0.1").await);
    let refusal = door.refused("::ffff:11.0.0.1").await;
    assert_eq!(refusal, Refusal::Limit(Limit::PerIp(1)));
    assert_eq!(door.admission().bypassed(), [net("10.0.0.0/8")]);
    assert!(door.admission().unban(net("10.6.0.0/16")));
    inside.push(door.enter("::ffff:10.6.0.1").await);
    drop(inside);
    door.shut().await;
}

#[tokio::test(start_paused = true)]
async fn who_is_exempt_comes_in_whatever_the_limits_and_is_counted_all_the_same() {
    let options = |builder: Builder<_>| {
        let builder = builder.max_connections(2).max_pending(2).max_incoming(2);
        let builder = builder.max_per_subnet(1).bypass(ip("10.0.0.1"));
        builder.accept_rate(NonZeroU32::MIN, 60 * SECOND)
    };
    let mut door = Door::open(options).await;
    let mut inside = Vec::new();
    for _ in 0..5 {
        inside.push(door.enter("10.0.0.1").await);
    }
    let refusal = door.refused("11.0.0.1").await;
    assert_eq!(
        refusal,
        Refusal::Limit(Limit::Connections(2)),
        "not the rate: they cost none"
    );
    let full = within(door.node.connect("10.9.9.9:1")).await;
    assert!(full.is_err_and(|error| error.to_string().contains("limit of 2")));
    for _ in 0..5 {
        door.leave(inside.pop().unwrap()).await;
    }
    inside.push(door.enter("11.0.0.1").await);

    assert!(door.admission().remove_bypass(ip("10.0.0.1")));
    assert!(!door.admission().remove_bypass(ip("10.0.0.1")));
    let refusal = door.refused("10.0.0.1").await;
    assert!(
        matches!(refusal, Refusal::Limit(Limit::AcceptRate(_))),
        "{refusal}"
    );
    door.admission().bypass(net("10.0.0.0/24"));
    inside.push(door.enter("10.0.0.1").await);
    drop(inside);
    door.shut().await;
}

#[tokio::test(start_paused = true)]
async fn an_exemption_is_not_one_from_bans_and_the_filter() {
    let options = |builder: Builder<_>| {
        let builder = builder.bypass(net("10.0.0.0/8")).ban(ip("10.0.0.1"), None);
        builder.filter(|addr| addr.ip() != ip("10.0.0.2"))
    };
    let mut door = Door::open(options).await;
    assert_eq!(door.refused("10.0.0.1").await, Refusal::Banned);
    assert_eq!(door.refused("10.0.0.2").await, Refusal::Filtered);
    door.shut().await;
}

#[tokio::test(start_paused = true)]
async fn the_filter_says_who_comes_in_and_its_panic_is_a_refusal() {
    let asked = Arc::new(AtomicU64::new(0));
    let count = asked.clone();
    let options = |builder: Builder<_>| {
        builder.ban(ip("10.0.0.9"), None).filter(move |addr| {
            count.fetch_add(1, SeqCst);
            match addr.ip().to_string().as_str() {
                "10.0.0.1" => false,
                "10.0.0.2" => panic!("what is {}?", addr.ip()),
                _ => true,
            }
        })
    };
    let mut door = Door::open(options).await;
    let refusal = door.refused("10.0.0.1").await;
    assert_eq!(refusal, Refusal::Filtered);
    assert_eq!(refusal.to_string(), "the filter said no");
    let refusal = door.refused("10.0.0.2").await;
    assert_eq!(refusal, Refusal::FilterPanicked("what is 10.0.0.2?".into()));
    assert_eq!(
        refusal.to_string(),
        "the filter panicked: what is 10.0.0.2?"
    );
    assert_eq!(door.stats().refused.filtered, 2);
    let guest = door.enter("10.0.0.3").await;
    assert_eq!(asked.load(SeqCst), 3);
    assert_eq!(door.refused("10.0.0.9").await, Refusal::Banned);
    assert_eq!(asked.load(SeqCst), 3, "who is banned isn't shown to it");

    // Another in its place; it may use the handle.
    let admission = door.admission();
    let inside = admission.clone();
    admission.set_filter(move |addr| {
        inside.ban(addr.ip(), SECOND);
        inside.set_limits(inside.limits()).is_err()
    });
    assert_eq!(Arc::strong_count(&asked), 1, "the former one is gone");
    assert_eq!(door.refused("10.0.0.3").await, Refusal::Filtered);
    assert_eq!(door.refused("10.0.0.3").await, Refusal::Banned);
    sleep(SECOND).await;
    assert!(admission.remove_filter());
    assert!(!admission.remove_filter());
    let again = door.enter("10.0.0.3").await;
    drop((guest, again));
    door.shut().await;
}

#[tokio::test(start_paused = true)]
async fn the_accept_rate_allows_a_burst_and_then_one_at_a_time() {
    let three = rate(3, 30 * SECOND);
    let options = |builder: Builder<_>| builder.accept_rate(three.connections, three.per);
    let mut door = Door::open(options).await;
    let too_many = Refusal::Limit(Limit::AcceptRate(three));
    let text = "the limit of 3 incoming connections in 30s is reached";
    assert_eq!(too_many.to_string(), text);
    let mut inside = Vec::new();
    for idle in [0, 1_000_000_000] {
        advance(idle * SECOND).await;
        for _ in 0..3 {
            inside.push(door.enter("10.0.0.1").await);
        }
        for _ in 0..3 {
            assert_eq!(door.refused("10.0.0.2").await, too_many);
        }
        // Who was refused has cost nothing: after ten seconds there is room for one.
        for _ in 0..5 {
            advance(10 * SECOND).await;
            inside.push(door.enter("10.0.0.2").await);
            assert_eq!(door.refused("10.0.0.2").await, too_many);
        }
    }
    assert_eq!(door.stats().refused.accept_rate, 2 * (3 + 5));

    // A faster rate starts with what there is, and none at all lets everyone in.
    let mut limits = door.admission().limits();
    limits.accept_rate = Some(rate(10, SECOND));
    door.admission().set_limits(limits).unwrap();
    let refusal = door.refused("10.0.0.2").await;
    assert!(matches!(refusal, Refusal::Limit(Limit::AcceptRate(_))));
    advance(SECOND / 10).await;
    inside.push(door.enter("10.0.0.2").await);
    limits.accept_rate = None;
    door.admission().set_limits(limits).unwrap();
    for _ in 0..20 {
        inside.push(door.enter("10.0.0.2").await);
    }
    drop(inside);
    door.shut().await;
}

#[tokio::test(start_paused = true)]
async fn who_is_refused_for_another_reason_costs_nothing_of_the_rate() {
    let options = |builder: Builder<_>| {
        let builder = builder.max_per_ip(1).ban(ip("10.0.0.9"), None);
        builder.accept_rate(2.try_into().unwrap(), 1_000 * SECOND)
    };
    let mut door = Door::open(options).await;
    let first = door.enter("10.0.0.1").await;
    for _ in 0..5 {
        let refusal = door.refused("10.0.0.1").await;
        assert_eq!(refusal, Refusal::Limit(Limit::PerIp(1)));
        assert_eq!(door.refused("10.0.0.9").await, Refusal::Banned);
    }
    let second = door.enter("10.0.0.2").await;
    let refusal = door.refused("10.0.0.3").await;
    assert!(matches!(refusal, Refusal::Limit(Limit::AcceptRate(_))));
    drop((first, second));
    door.shut().await;
}

/// The rules of a builder are those of each node that it starts.
#[tokio::test(start_paused = true)]
async fn a_builder_with_rules_can_be_cloned_and_bans_count_from_the_start() {
    let builder = Node::builder().ban(ip("10.0.0.1"), 60 * SECOND);
    let builder = builder.bypass(ip("10.0.0.2")).filter(|_| true);
    let text = format!("{builder:?}");
    assert!(
        text.contains("10.0.0.1/32") && text.contains("10.0.0.2/32"),
        "{text}"
    );
    sleep(100 * SECOND).await;
    let mut nodes: Vec<(Node<String>, Inbound<String>)> = Vec::new();
    for builder in [builder.clone(), builder] {
        nodes.push(builder.start(lines).await.unwrap());
    }
    let (first, second) = (nodes[0].0.admission(), nodes[1].0.admission());
    assert_eq!(first.banned(), [(net("10.0.0.1/32"), Some(60 * SECOND))]);
    assert!(first.unban(ip("10.0.0.1")) && first.remove_filter());
    assert!(second.is_banned(ip("10.0.0.1")) && second.remove_filter());
    for (node, inbound) in nodes {
        wind_up(node, inbound).await;
    }
}

/// Comes over TCP, from this address of the loopback network.
async fn come(from: &str, to: std::net::SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((ip(from), 0).into()).unwrap();
    within(socket.connect(to)).await.unwrap()
}

/// The addresses of the loopback network are many only on Linux.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn over_tcp_addresses_are_told_apart_and_together() {
    let builder = Node::builder()
        .listen("0.0.0.0:0")
        .max_per_ip(2)
        .max_per_subnet(3);
    let started = builder.ban(ip("127.0.9.9"), None).start(lines).await;
    let (node, inbound): (Node<String>, Inbound<String>) = started.unwrap();
    let mut events = inbound.into_events();
    let addr = (ip("127.0.0.1"), node.local_addr().unwrap().port()).into();
    let limit = |limit| Some(Refusal::Limit(limit));
    let mut streams = Vec::new();
    for (from, expected) in [
        ("127.0.0.2", None),
        ("127.0.0.2", None),
        ("127.0.0.2", limit(Limit::PerIp(2))),
        ("127.0.0.3", None),
        ("127.0.0.4", limit(Limit::PerSubnet(3))),
        ("127.0.1.2", None),
        ("127.0.9.9", Some(Refusal::Banned)),
    ] {
        let mut stream = come(from, addr).await;
        match next_event(&mut events).await {
            Event::Connected(peer) => {
                assert_eq!(peer.addr().ip(), ip(from));
                assert_eq!(expected, None);
                streams.push(stream);
            }
            Event::Refused(who, refusal) => {
                assert_eq!(who, stream.local_addr().unwrap());
                assert_eq!(Some(refusal), expected);
                assert_eq!(within(stream.read(&mut [0])).await.unwrap_or(0), 0);
            }
            other => panic!("{other:?}"),
        }
    }
    let Refused {
        max_per_ip,
        max_per_subnet,
        banned,
        ..
    } = node.stats().refused;
    assert_eq!((max_per_ip, max_per_subnet, banned), (1, 1, 1));
    drop(streams);
    common::shut_down(&node).await;
}

/// A socket for both families tells IPv4 addresses mapped into IPv6.
#[tokio::test]
async fn over_a_socket_of_both_families_ipv4_is_ipv4() {
    let started = Node::builder().listen("[::]:0").start(lines).await;
    let Ok((node, inbound)): Result<(Node<String>, Inbound<String>), _> = started else {
        common::skipped("no IPv6 on this host");
        return;
    };
    let mut events = Recorded::new(inbound);
    let addr = (ip("127.0.0.1"), node.local_addr().unwrap().port());
    let Ok(first) = within(TcpStream::connect(addr)).await else {
        common::skipped("a socket for IPv6 is not one for IPv4 on this host");
        return;
    };
    expect_next_event!(events, Event::Connected(_));
    node.admission().ban(net("127.0.0.0/8"), None);
    let second = within(TcpStream::connect(addr)).await.unwrap();
    expect_next_event!(
        events,
        Event::Refused(from, Refusal::Banned) if from.port() == second.local_addr().unwrap().port()
    );
    drop((first, second));
    common::shut_down(&node).await;
}
