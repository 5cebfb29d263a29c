//! The futures of a node may be dropped at any time: each is dropped at each of its awaits, and each
//! time the node works on, its counts are right, its room is free, every event has its pair, and no
//! stream or task is left.

mod common;
#[path = "dropped_futures/messages.rs"]
mod messages;
#[path = "dropped_futures/world.rs"]
mod world;

use std::net::SocketAddr;

use common::{
    dropped::drop_at_every_await,
    hesitant::{HesitantNetwork, Rhythm},
    listening, quiet, within,
};
use tokio::{
    io::{AsyncReadExt, duplex},
    net::TcpSocket,
    task::{JoinHandle, yield_now},
};
use wattle::{Builder, ConnectError, Disconnect, Event, Incomings, Node, Peer, Reason, Side};
use world::{Polite, Started, World};

#[tokio::test(start_paused = true)]
async fn a_dropped_connect_rolls_back() {
    let connect = async |world: &mut World| {
        let addr = world.alice.addr();
        world.bob.node.connect(addr).await
    };
    drop_at_every_await(8, World::new, connect, async |mut world, connected, _| {
        match connected {
            Some(connected) => world.bob_is_connected(connected.unwrap()).await,
            // Alice may have been further; she finds out.
            None => world.nobody_came().await,
        }
        world.assert_well().await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_dropped_adopt_closes_the_stream_and_frees_its_room() {
    struct Adopting {
        world: World,
        remote: tokio::io::DuplexStream,
        ours: Option<common::hesitant::Hesitant>,
    }
    let set = async |rhythm: Rhythm| {
        let (ours, theirs) = duplex(64);
        let ours = Some(rhythm.stream(ours));
        let world = World::new(rhythm).await;
        let mut remote = theirs;
        Polite::greet(&mut remote).await;
        Adopting {
            world,
            remote,
            ours,
        }
    };
    let adopt = async |adopting: &mut Adopting| {
        let addr = SocketAddr::from(([127, 0, 0, 1], 999));
        // So that a future that is never polled has it, too.
        let ours = adopting.ours.take().unwrap();
        let node = adopting.world.bob.node.clone();
        node.adopt(ours, addr, Side::Listener).await
    };
    drop_at_every_await(4, set, adopt, async |adopting, adopted, polled| {
        let Adopting {
            world,
            mut remote,
            ours,
        } = adopting;
        assert_eq!(ours.is_none(), polled);
        drop(ours);
        match adopted {
            Some(adopted) => {
                let peer = adopted.unwrap();
                assert!(world.bob.node.peers().contains(&peer));
                drop(remote);
                world.bob.node.disconnect(peer).await;
            }
            None => {
                let _greeting = within(remote.read_to_end(&mut Vec::new())).await;
                world.nobody_came().await;
            }
        }
        world.assert_well().await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_dropped_disconnect_goes_on() {
    let set = async |rhythm: Rhythm| {
        let mut world = World::new(rhythm).await;
        let addr = world.alice.addr();
        let peer = within(world.bob.node.connect(addr)).await.unwrap();
        world.bob.node.try_send_to("bye".into(), peer).unwrap();
        world.peer = Some(peer);
        world
    };
    let disconnect = async |world: &mut World| -> Option<Disconnect> {
        world.bob.node.disconnect(world.peer.unwrap()).await
    };
    drop_at_every_await(1, set, disconnect, async |mut world, ended, polled| {
        let peer = world.peer.unwrap();
        quiet().await;
        assert_eq!(world.bob.node.peers().contains(&peer), !polled);
        if polled {
            let told = world.bob.ending(peer).await;
            assert!(matches!(told.reason, Reason::Disconnected), "{told}");
            assert_eq!((told.undelivered, told.drain_timed_out), (0, false));
            if let Some(ended) = ended {
                assert_eq!(ended.unwrap().to_string(), told.to_string());
            }
        } else {
            let ended = within(world.bob.node.disconnect(peer)).await;
            assert!(ended.is_some());
        }
        world.alice.hears("bye").await;
        world.assert_well().await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_dropped_shutdown_goes_on() {
    let shutdown = async |world: &mut World| world.alice.node.shutdown().await;
    drop_at_every_await(
        2,
        World::new,
        shutdown,
        async |mut world, report, polled| {
            if !polled {
                return world.assert_well().await;
            }
            let addr = world.listening_at[0];
            while world.alice.next().await.is_some() {}
            world.alice.books.assert_paired();
            assert!(!world.network.is_open(addr).await, "the listener is gone");
            let again = within(world.alice.node.shutdown()).await;
            assert!(again.is_clean(), "{again}");
            assert_eq!(again.connections, 1);
            assert!(report.is_none_or(|report| report == again));
            quiet().await;
            assert_eq!(world.bob.node.peers(), []);
            world.end().await;
        },
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_dropped_listen_does_not_listen() {
    let addr = SocketAddr::from(([127, 0, 0, 1], 4000));
    let listen = async |world: &mut World| world.alice.node.listen(addr).await;
    drop_at_every_await(3, World::new, listen, async |mut world, listening, _| {
        let listens = listening.is_some();
        assert_eq!(world.alice.node.local_addrs().contains(&addr), listens);
        quiet().await;
        assert_eq!(world.network.is_open(addr).await, listens);
        if let Some(listening) = listening {
            assert_eq!(listening.unwrap(), addr);
            // Who just looked in is refused or fails.
            world.knocked().await;
        } else {
            assert_eq!(within(world.alice.node.listen(addr)).await.unwrap(), addr);
        }
        world.assert_well().await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_dropped_stop_listening_goes_on() {
    let stop = async |world: &mut World| world.alice.node.stop_listening().await;
    drop_at_every_await(1, World::new, stop, async |world, stopped, polled| {
        let addr = world.listening_at[0];
        assert_eq!(world.alice.node.local_addrs().is_empty(), polled);
        assert!(stopped != Some(false), "there was something to stop");
        quiet().await;
        if polled {
            assert!(!world.network.is_open(addr).await);
            assert_eq!(within(world.alice.node.listen(addr)).await.unwrap(), addr);
        }
        world.assert_well().await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_dropped_listen_incoming_does_not_listen() {
    let addr = SocketAddr::from(([127, 0, 0, 1], 4000));
    let listen = async |world: &mut World| world.alice.node.listen_incoming(addr).await;
    drop_at_every_await(3, World::new, listen, async |world, incomings, _| {
        let listens = incomings.is_some();
        assert_eq!(world.alice.node.local_addrs().contains(&addr), listens);
        // Dropped, the stream stops it.
        drop(incomings);
        quiet().await;
        assert!(!world.network.is_open(addr).await);
        assert_eq!(within(world.alice.node.listen(addr)).await.unwrap(), addr);
        world.assert_well().await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_dropped_recv_of_incomings_has_taken_nothing() {
    struct Waiting {
        world: World,
        incomings: Incomings,
        connecting: JoinHandle<Result<Peer, ConnectError>>,
    }
    let addr = SocketAddr::from(([127, 0, 0, 1], 4000));
    let set = async |rhythm: Rhythm| {
        let world = World::new(rhythm).await;
        let incomings = within(world.alice.node.listen_incoming(addr))
            .await
            .unwrap();
        let bob = world.bob.node.clone();
        let connecting = tokio::spawn(async move { bob.connect(addr).await });
        Waiting {
            world,
            incomings,
            connecting,
        }
    };
    let recv = async |waiting: &mut Waiting| waiting.incomings.recv().await;
    drop_at_every_await(1, set, recv, async |waiting, incoming, _| {
        let Waiting {
            mut world,
            mut incomings,
            connecting,
        } = waiting;
        let incoming = match incoming {
            Some(incoming) => incoming,
            None => within(incomings.recv()).await,
        };
        let peer = incoming.expect("bob knocks").accept();
        let connected = within(connecting).await.unwrap().unwrap();
        quiet().await;
        assert!(world.alice.node.peers().contains(&peer));
        world.bob_is_connected(connected).await;
        drop(incomings);
        quiet().await;
        world.assert_well().await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_dropped_start_leaves_no_node() {
    struct Starting {
        network: HesitantNetwork,
        builder: Option<Builder<HesitantNetwork>>,
    }
    const PORTS: [u16; 2] = [4000, 4001];
    let addr = |port| SocketAddr::from(([127, 0, 0, 1], port));
    let set = async |rhythm: Rhythm| {
        let network = HesitantNetwork::new(rhythm);
        let mut builder = Node::builder().transport(network.clone());
        for port in PORTS {
            builder = builder.listen(addr(port));
        }
        Starting {
            network,
            builder: Some(builder),
        }
    };
    let start = async |starting: &mut Starting| -> Started {
        let builder = starting.builder.take().unwrap();
        builder.start(Polite).await.unwrap()
    };
    drop_at_every_await(4, set, start, async |starting, started, _| {
        let is_there = started.is_some();
        quiet().await;
        for port in PORTS {
            assert_eq!(starting.network.is_open(addr(port)).await, is_there);
        }
        if let Some((node, inbound)) = started {
            drop(inbound);
            within(node.shutdown()).await;
        }
        // The addresses are free.
        let builder = Node::builder().transport(starting.network.clone());
        let start = builder.listen(addr(PORTS[0])).listen(addr(PORTS[1]));
        let (node, _inbound): Started = within(start.start(Polite)).await.unwrap();
        within(node.shutdown()).await;
    })
    .await;
}

/// Over TCP, where it depends on the kernel how far things are: dropped after so many polls, it has
/// left no connection, and the one place is free.
#[tokio::test]
async fn a_dropped_connect_with_rolls_back() {
    let (alice, to_alice) = listening(Node::builder()).await;
    let addr = alice.local_addr().unwrap();
    let builder = Node::builder().max_connections(1).max_pending(1);
    let (bob, to_bob) = listening(builder).await;
    let mut events = to_bob.into_events();
    let mut finished = false;
    let mut polls = 0;
    while !finished {
        let socket = TcpSocket::new_v4().unwrap();
        let connecting = common::polled(polls, bob.connect_with(socket, addr)).await;
        finished = connecting.is_some();
        if let Some(connected) = connecting {
            within(bob.disconnect(connected.unwrap())).await;
        } else {
            assert_eq!((bob.peers(), bob.stats().connected), (vec![], polls as u64));
            let peer = within(bob.connect(addr)).await.expect("the place is free");
            within(bob.disconnect(peer))
                .await
                .expect("it was connected");
        }
        for _ in 0..2 {
            common::next_event(&mut events).await;
        }
        polls += 1;
        yield_now().await;
    }
    assert!(polls > 1, "it was never dropped");
    let mut to_alice = to_alice;
    assert!(within(alice.shutdown()).await.is_clean());
    while within(to_alice.recv()).await.is_some() {}
    let stats = alice.stats();
    assert_eq!(stats.connected, stats.disconnected);
    assert!(within(bob.shutdown()).await.is_clean());
    let after = within(events.recv()).await;
    assert!(!matches!(after, Some(Event::Connected(_))), "{after:?}");
}
