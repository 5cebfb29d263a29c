//! The futures of a node may be dropped at any time: each test drops one after 0, 1, 2… polls, until
//! it finishes before that, and looks at the books each time.

mod common;

use std::{net::SocketAddr, pin::pin};

use common::{MANY_POLLS, in_memory, network::Network, polled, quiet, wind_up, within};
use futures::{
    future::{Either, FutureExt, select},
    sink::SinkExt,
    stream::StreamExt,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex},
    task::yield_now,
};
use tokio_util::codec::{Framed, LinesCodec};
use wattle::{
    BoxError, ConnectError, Event, Inbound, Node, Peer, Protocol, Reason, Side,
    transport::ByteStream,
};

type Started = (Node<String>, Inbound<String>);

/// Two exchanges each way, so that there are places where it can be dropped.
struct Polite;

impl<S: ByteStream> Protocol<S> for Polite {
    type Io = S;
    type Codec = LinesCodec;

    async fn handshake(&self, stream: S, _: Peer) -> Result<Framed<S, LinesCodec>, BoxError> {
        let mut lines = Framed::new(stream, LinesCodec::new_with_max_length(64));
        for greeting in ["good day", "how do you do"] {
            yield_now().await;
            lines.send(greeting).await?;
            let theirs = lines.next().await.ok_or("left")??;
            if theirs != greeting {
                return Err("rude".into());
            }
        }
        Ok(lines)
    }
}

async fn on(network: &Network, listening: bool) -> Started {
    let builder = Node::builder().transport(network.clone());
    let builder = builder.max_connections(1).max_pending(1);
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let builder = if listening {
        builder.listen(any)
    } else {
        builder
    };
    within(builder.start(Polite)).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_dropped_connect_rolls_back() {
    for polls in 0..MANY_POLLS {
        let network = Network::default();
        let (alice, to_alice) = on(&network, true).await;
        let (bob, to_bob) = on(&network, false).await;
        let addr = alice.local_addr().unwrap();

        let connected = polled(polls, bob.connect(addr)).await;
        let finished = connected.is_some();
        if let Some(result) = connected {
            result.unwrap();
        } else {
            assert_eq!(bob.peers(), [], "after {polls} polls");
            // Alice may have been further; she finds out, and has room for one connection only.
            quiet().await;
            assert_eq!(alice.peers(), [], "after {polls} polls");
            let again = within(bob.connect(addr)).await;
            again.unwrap_or_else(|error| panic!("after {polls} polls: {error}"));
        }
        quiet().await;
        assert_eq!((bob.stats().connected, bob.stats().connections), (1, 1));
        assert_eq!(alice.stats().connections, 1);
        wind_up(bob, to_bob).await;
        wind_up(alice, to_alice).await;
        if finished {
            assert!(polls > 3, "{polls} polls prove little");
            return;
        }
    }
    panic!("it never connects");
}

#[tokio::test(start_paused = true)]
async fn a_dropped_adopt_closes_the_stream_and_frees_its_room() {
    for polls in 0..MANY_POLLS {
        let builder = in_memory().max_connections(1).max_pending(1);
        let (node, inbound): Started = builder.start(Polite).await.unwrap();
        let (ours, mut theirs) = duplex(64);
        theirs.write_all(b"good day\n").await.unwrap();
        let addr = SocketAddr::from(([127, 0, 0, 1], 9));
        let adopting = node.adopt(ours, addr, Side::Listener);
        let answer = async {
            yield_now().await;
            yield_now().await;
            theirs.write_all(b"how do you do\n").await.unwrap_or(());
            std::future::pending::<()>().await;
        };
        let adopting = async {
            match select(pin!(adopting), pin!(answer)).await {
                Either::Left((adopted, _)) => adopted,
                Either::Right(_) => unreachable!(),
            }
        };
        let adopted = polled(polls, adopting).await;
        let finished = adopted.is_some();
        assert_eq!(node.peers().len(), usize::from(finished));
        if let Some(adopted) = adopted {
            drop(theirs);
            within(node.disconnect(adopted.unwrap())).await;
        } else {
            let mut heard = Vec::new();
            within(theirs.read_to_end(&mut heard)).await.unwrap();
        }
        // There is one place, and it is free.
        let (ours, _theirs) = duplex(64);
        let next = node.adopt(ours, addr, Side::Listener);
        assert!(
            !matches!(next.now_or_never(), Some(Err(refused)) if matches!(refused.error, ConnectError::Limit(_))),
            "after {polls} polls"
        );
        wind_up(node, inbound).await;
        if finished {
            assert!(polls > 1, "{polls} polls prove little");
            return;
        }
    }
    panic!("it is never adopted");
}

#[tokio::test(start_paused = true)]
async fn a_dropped_disconnect_goes_on() {
    for polls in 0..MANY_POLLS {
        let network = Network::default();
        let (alice, to_alice) = on(&network, true).await;
        let (bob, to_bob) = on(&network, false).await;
        let mut events = to_bob.into_events();
        let peer = within(bob.connect(alice.local_addr().unwrap()))
            .await
            .unwrap();
        bob.try_send_to("bye".into(), peer).unwrap();
        assert!(matches!(
            within(events.recv()).await,
            Some(Event::Connected(_))
        ));

        let ended = polled(polls, bob.disconnect(peer)).await;
        if polls == 0 {
            quiet().await;
            assert_eq!(bob.peers(), [peer], "nothing was asked for");
        } else {
            match within(events.recv()).await {
                Some(Event::Disconnected(gone, end)) => {
                    assert_eq!((gone, end.undelivered), (peer, 0));
                    assert!(matches!(end.reason, Reason::Disconnected), "{end}");
                }
                other => panic!("{other:?}"),
            }
            assert_eq!(bob.peers(), []);
            assert_eq!(alice.stats().messages_in, 1);
        }
        assert!(within(bob.shutdown()).await.is_clean());
        wind_up(alice, to_alice).await;
        if ended.is_some() {
            assert!(polls > 1, "{polls} polls prove little");
            return;
        }
    }
    panic!("it never ends");
}

#[tokio::test(start_paused = true)]
async fn a_dropped_shutdown_goes_on() {
    for polls in 0..MANY_POLLS {
        let network = Network::default();
        let (alice, mut to_alice) = on(&network, true).await;
        let (bob, to_bob) = on(&network, false).await;
        let addr = alice.local_addr().unwrap();
        let peer = within(bob.connect(addr)).await.unwrap();
        quiet().await;
        let ended = polled(polls, alice.shutdown()).await;
        if polls == 0 {
            bob.try_send_to("still there?".into(), peer).unwrap();
            assert_eq!(within(to_alice.recv()).await.unwrap().0, "still there?");
        } else {
            assert!(within(to_alice.recv()).await.is_none());
            quiet().await;
            assert_eq!(bob.peers(), []);
            assert!(network.dial(addr).await.is_err(), "the listener is gone");
        }
        assert!(within(alice.shutdown()).await.is_clean());
        wind_up(bob, to_bob).await;
        if ended.is_some() {
            assert!(polls > 1, "{polls} polls prove little");
            return;
        }
    }
    panic!("it never ends");
}

#[tokio::test(start_paused = true)]
async fn a_dropped_listen_does_not_listen() {
    for polls in 0..MANY_POLLS {
        let network = Network::default();
        let (node, inbound) = on(&network, false).await;
        let addr = SocketAddr::from(([127, 0, 0, 1], 4000));
        let listening = polled(polls, node.listen(addr)).await;
        assert_eq!(node.local_addrs().len(), usize::from(listening.is_some()));
        assert_eq!(network.dial(addr).await.is_ok(), listening.is_some());
        if listening.is_none() {
            assert_eq!(within(node.listen(addr)).await.unwrap(), addr);
        }
        wind_up(node, inbound).await;
        if listening.is_some() {
            assert!(polls > 1, "{polls} polls prove little");
            return;
        }
    }
    panic!("it never listens");
}

#[tokio::test(start_paused = true)]
async fn a_dropped_stop_listening_goes_on() {
    for polls in 0..MANY_POLLS {
        let network = Network::default();
        let (node, inbound) = on(&network, true).await;
        let addr = node.local_addr().unwrap();
        let stopped = polled(polls, node.stop_listening()).await;
        let asked = polls > 0;
        assert_eq!(node.local_addrs().is_empty(), asked);
        quiet().await;
        assert_eq!(network.dial(addr).await.is_err(), asked);
        if asked {
            assert_eq!(within(node.listen(addr)).await.unwrap(), addr);
        }
        wind_up(node, inbound).await;
        if let Some(any) = stopped {
            assert!(any);
            assert!(polls > 1, "{polls} polls prove little");
            return;
        }
    }
    panic!("it never stops");
}
