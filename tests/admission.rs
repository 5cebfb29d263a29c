//! Limits: how many come in, of what kind, and from where.

mod common;
mod door;

use std::{num::NonZeroU32, time::Duration};

use common::{black_hole, lines, polled, soon, wind_up, within};
use door::Door;
use wattle::{
    AcceptRate, Builder, ConnectError, Event, Inbound, InvalidOption, Limit, Limits, Node, Refusal,
    Side, Transport, testing::expect_next_event,
};

/// Each limit, by what reaches it: who comes before, whether they stay pending, and who is refused.
struct Case {
    limits: fn(&mut Limits),
    before: &'static [&'static str],
    pending: bool,
    refused: &'static str,
    /// Comes in all the same.
    admitted: Option<&'static str>,
    limit: Limit,
    text: &'static str,
}

const CASES: [Case; 7] = [
    Case {
        limits: |limits| limits.max_connections = 256,
        before: &["10.0.0.1"; 256],
        pending: false,
        refused: "10.1.0.1",
        admitted: None,
        limit: Limit::Connections(256),
        text: "the limit of 256 connections is reached",
    },
    Case {
        limits: |limits| limits.max_incoming = Some(2),
        before: &["10.0.0.1", "10.1.0.1"],
        pending: false,
        refused: "2001:db8::1",
        admitted: None,
        limit: Limit::Incoming(2),
        text: "the limit of 2 incoming connections is reached",
    },
    Case {
        limits: |limits| (limits.max_pending, limits.pending_for_dialing) = (4, 1),
        before: &["10.0.0.1", "10.1.0.1", "10.2.0.1"],
        pending: true,
        refused: "10.3.0.1",
        admitted: None,
        limit: Limit::Pending(3),
        text: "the limit of 3 pending connections is reached",
    },
    Case {
        limits: |limits| limits.max_per_ip = Some(2),
        before: &["10.0.0.1", "::ffff:10.0.0.1"],
        pending: false,
        refused: "10.0.0.1",
        admitted: Some("10.0.0.2"),
        limit: Limit::PerIp(2),
        text: "the limit of 2 connections from one address is reached",
    },
    Case {
        limits: |limits| limits.max_pending_per_ip = Some(1),
        before: &["::ffff:10.0.0.1"],
        pending: true,
        refused: "10.0.0.1",
        admitted: Some("10.0.0.2"),
        limit: Limit::PendingPerIp(1),
        text: "the limit of 1 pending connections from one address is reached",
    },
    Case {
        limits: |limits| limits.max_per_subnet = Some(3),
        before: &["10.0.0.1", "10.0.0.2", "::ffff:10.0.0.254"],
        pending: false,
        refused: "10.0.0.3",
        admitted: Some("10.0.1.1"),
        limit: Limit::PerSubnet(3),
        text: "the limit of 3 connections from one subnet is reached",
    },
    Case {
        limits: |limits| limits.max_pending_per_subnet = Some(2),
        before: &["2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff"],
        pending: true,
        refused: "2001:db8::2",
        admitted: Some("2001:db8:0:1::1"),
        limit: Limit::PendingPerSubnet(2),
        text: "the limit of 2 pending connections from one subnet is reached",
    },
];

#[tokio::test(start_paused = true)]
async fn each_limit_refuses_who_is_beyond_it_with_an_event_a_counter_and_a_text() {
    for case in CASES {
        let mut door = Door::open(|builder| builder).await;
        let mut limits = door.admission().limits();
        (case.limits)(&mut limits);
        door.admission().set_limits(limits).unwrap();
        let (mut pending, mut inside) = (Vec::new(), Vec::new());
        for ip in case.before {
            match case.pending {
                true => pending.push(door.pending(ip).await),
                false => inside.push(door.enter(ip).await),
            }
        }
        for _ in 0..2 {
            let refusal = door.refused(case.refused).await;
            assert_eq!(refusal, Refusal::Limit(case.limit));
            assert_eq!(refusal.to_string(), case.text);
        }
        assert_eq!(counted(&door), [(case.limit, 2)]);
        if let Some(ip) = case.admitted {
            inside.push(door.enter(ip).await);
        }
        // One who makes room is enough.
        match pending.pop() {
            Some(mut stream) => inside.push((door.shake(&mut stream).await, stream)),
            None => door.leave(inside.remove(0)).await,
        }
        inside.push(door.enter(case.refused).await);
        drop((pending, inside));
        door.shut().await;
    }
}

/// The counters of limits that aren't zero.
fn counted(door: &Door) -> Vec<(Limit, u64)> {
    let (refused, limits) = (door.stats().refused, door.admission().limits());
    let for_incoming = limits.max_pending - limits.pending_for_dialing;
    let limit = |limit: Option<usize>| limit.unwrap_or_default();
    let mut counted = vec![
        (
            Limit::Connections(limits.max_connections),
            refused.max_connections,
        ),
        (
            Limit::Incoming(limit(limits.max_incoming)),
            refused.max_incoming,
        ),
        (Limit::Pending(for_incoming), refused.max_pending),
        (Limit::PerIp(limit(limits.max_per_ip)), refused.max_per_ip),
        (
            Limit::PendingPerIp(limit(limits.max_pending_per_ip)),
            refused.max_pending_per_ip,
        ),
        (
            Limit::PerSubnet(limit(limits.max_per_subnet)),
            refused.max_per_subnet,
        ),
        (
            Limit::PendingPerSubnet(limit(limits.max_pending_per_subnet)),
            refused.max_pending_per_subnet,
        ),
    ];
    counted.retain(|(_, count)| *count > 0);
    counted
}

#[tokio::test(start_paused = true)]
async fn prefixes_go_from_all_addresses_to_a_single_one() {
    for (v4, v6, ip, same, other) in [
        (0, 0, "10.0.0.1", "203.0.113.1", "2001:db8::1"),
        (0, 0, "2001:db8::1", "fe80::1", "10.0.0.1"),
        (8, 64, "10.0.0.1", "10.255.255.255", "11.0.0.0"),
        (31, 64, "10.0.0.2", "10.0.0.3", "10.0.0.4"),
        (32, 64, "10.0.0.2", "10.0.0.2", "10.0.0.3"),
        (24, 127, "2001:db8::2", "2001:db8::3", "2001:db8::4"),
        (24, 128, "2001:db8::2", "2001:db8::2", "2001:db8::3"),
    ] {
        let options = |builder: Builder<_>| builder.subnets(v4, v6).max_per_subnet(1);
        let mut door = Door::open(options).await;
        let first = door.enter(ip).await;
        let refusal = door.refused(same).await;
        assert_eq!(refusal, Refusal::Limit(Limit::PerSubnet(1)), "{ip} {same}");
        let second = door.enter(other).await;
        drop((first, second));
        door.shut().await;
    }
}

#[tokio::test(start_paused = true)]
async fn changed_limits_count_those_who_are_there() {
    let mut door = Door::open(|builder| builder).await;
    let mut inside = Vec::new();
    for ip in ["10.0.0.1", "10.0.1.1", "10.0.2.1", "10.1.0.1"] {
        inside.push(door.enter(ip).await);
    }
    let admission = door.admission();
    let limits = admission.limits();

    // Lowered beneath those who are there: they stay, and none comes until enough have gone.
    let mut fewer = limits;
    (fewer.max_connections, fewer.max_pending) = (2, 1);
    fewer.pending_for_dialing = 0;
    admission.set_limits(fewer).unwrap();
    assert_eq!(admission.limits(), fewer);
    for _ in 0..3 {
        let refusal = door.refused("10.2.0.1").await;
        assert_eq!(refusal, Refusal::Limit(Limit::Connections(2)));
        door.leave(inside.pop().unwrap()).await;
    }
    inside.push(door.enter("10.0.1.1").await);
    admission.set_limits(limits).unwrap();

    // Subnets of another size: those who are there count by the new size.
    let mut wide = limits;
    (wide.ipv4_prefix, wide.max_per_subnet) = (16, Some(2));
    admission.set_limits(wide).unwrap();
    let refusal = door.refused("10.0.9.1").await;
    assert_eq!(refusal, Refusal::Limit(Limit::PerSubnet(2)));
    inside.push(door.enter("10.3.0.1").await);
    // And one that leaves makes room in the subnet that it counts in now.
    door.leave(inside.remove(0)).await;
    inside.push(door.enter("10.0.9.1").await);

    let mut narrow = limits;
    (narrow.ipv4_prefix, narrow.max_per_subnet) = (32, Some(1));
    admission.set_limits(narrow).unwrap();
    let refusal = door.refused("10.0.9.1").await;
    assert_eq!(refusal, Refusal::Limit(Limit::PerSubnet(1)));
    inside.push(door.enter("10.0.9.2").await);
    drop(inside);
    door.shut().await;
}

#[tokio::test(start_paused = true)]
async fn limits_that_make_no_sense_change_nothing() {
    let door = Door::open(|builder| builder.max_connections(10)).await;
    let admission = door.admission();
    let before = admission.limits();
    type Change = fn(&mut Limits);
    let nonsense: [(&str, Change); 13] = [
        ("max_connections", |limits| limits.max_connections = 0),
        ("max_incoming", |limits| limits.max_incoming = Some(0)),
        ("max_pending", |limits| limits.max_pending = 0),
        ("max_pending", |limits| limits.max_pending = 11),
        ("pending_for_dialing", |limits| {
            limits.pending_for_dialing = 10;
        }),
        ("max_per_ip", |limits| limits.max_per_ip = Some(0)),
        ("max_pending_per_ip", |limits| {
            limits.max_pending_per_ip = Some(0);
        }),
        ("max_per_subnet", |limits| limits.max_per_subnet = Some(0)),
        ("max_pending_per_subnet", |limits| {
            limits.max_pending_per_subnet = Some(0);
        }),
        ("accept_rate", |limits| {
            let connections = NonZeroU32::MIN;
            let per = Duration::ZERO;
            limits.accept_rate = Some(AcceptRate { connections, per });
        }),
        ("ipv4_prefix", |limits| limits.ipv4_prefix = 33),
        ("ipv6_prefix", |limits| limits.ipv6_prefix = 129),
        ("ipv6_prefix", |limits| limits.ipv6_prefix = u8::MAX),
    ];
    for (name, change) in nonsense {
        let mut limits = before;
        change(&mut limits);
        let InvalidOption { option, .. } = admission.set_limits(limits).unwrap_err();
        assert_eq!(option, name);
        assert_eq!(admission.limits(), before);
    }
    door.shut().await;

    let builder = Node::builder().max_pending(3).pending_for_dialing(3);
    let started = builder.start::<_, String>(lines).await;
    let error = started.expect_err("no incoming connection could be pending");
    let text = "option `pending_for_dialing` can't be 3: no incoming connection could be pending";
    assert!(error.to_string().starts_with(text), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_incoming_connections_does_not_stop_our_dialling() {
    let options = |builder: Builder<_>| builder.max_pending(8).pending_for_dialing(2);
    let mut door = Door::open(options).await;
    let mut neighbour = door.neighbour().await;
    let mut flood = Vec::new();
    for n in 0..6 {
        flood.push(door.pending(&format!("10.0.0.{n}")).await);
    }
    for n in 6..30 {
        let refusal = door.refused(&format!("10.0.0.{n}")).await;
        assert_eq!(refusal, Refusal::Limit(Limit::Pending(6)));
    }
    let mut dialling = Box::pin(door.node.connect(black_hole()));
    assert!(polled(20, &mut dialling).await.is_none());
    // This one is pending, too: the other says nothing yet.
    let mut second = Box::pin(door.node.connect(neighbour.addr()));
    assert!(polled(20, &mut second).await.is_none());
    let third = door.neighbour().await;
    let full = within(door.node.connect(third.addr())).await.unwrap_err();
    assert!(
        matches!(full, ConnectError::Limit(Limit::Pending(8))),
        "{full}"
    );

    let remote = neighbour.shake().await;
    let peer = soon("the dialling", second).await.unwrap();
    assert_eq!(peer.side(), Side::Dialer);
    expect_next_event!(door.events, Event::Connected(who) if *who == peer);
    drop((dialling, flood));
    for _ in 0..6 {
        door.failure().await;
    }
    door.leave((peer, remote)).await;
    door.shut().await;
}

#[tokio::test(start_paused = true)]
async fn limits_by_address_and_of_incoming_ones_are_not_about_our_own() {
    let options = |builder: Builder<_>| {
        let builder = builder.max_incoming(1).max_per_ip(1).max_per_subnet(1);
        let builder = builder.max_pending_per_ip(1).max_pending_per_subnet(1);
        builder.accept_rate(NonZeroU32::MIN, Duration::MAX)
    };
    let mut door = Door::open(options).await;
    let mut neighbour = door.neighbour().await;
    let mut remotes = Vec::new();
    let network = door.network.at([10, 0, 0, 1]);
    for _ in 0..3 {
        let ours = within(network.connect(neighbour.addr())).await.unwrap();
        let from = ours.local_addr().unwrap();
        remotes.push(neighbour.shake().await);
        let adopted = within(door.node.adopt(ours, from, Side::Listener)).await;
        let peer = adopted.unwrap();
        expect_next_event!(door.events, Event::Connected(who) if *who == peer);
    }
    let guest = door.enter("10.0.0.1").await;
    assert!(matches!(
        door.refused("10.0.0.1").await,
        Refusal::Limit(Limit::AcceptRate(_))
    ));
    drop((guest, remotes));
    door.shut().await;
}

/// The usual limits let a program be tested on one host.
#[tokio::test]
async fn by_default_one_address_may_have_all_connections() {
    let started = Node::builder().start(lines).await.unwrap();
    let (node, inbound): (Node<String>, Inbound<String>) = started;
    let limits = node.admission().limits();
    assert_eq!(limits, Limits::default());
    let by_source = (limits.max_per_ip, limits.max_per_subnet);
    assert_eq!((by_source, limits.accept_rate), ((None, None), None));
    wind_up(node, inbound).await;
}
