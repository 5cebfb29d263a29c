//! A transport that fails as it is told, and what becomes of listening and dialling.

use std::{io, panic::AssertUnwindSafe, sync::atomic::Ordering, time::Duration};

use futures::{
    FutureExt,
    future::{Either, select},
};
use tokio::task::yield_now;
use wattle::{
    ConnectError, Event, ListenError, Node, Refusal, StartError, Transport,
    testing::{MemoryStream, expect_next_event},
};

use super::{
    moody::{ANY, Act, Moody, Scene, other, visit},
    scene::SOON,
};
use crate::common::{lines, quiet, within};

/// The text of the panic that a call lets through to its caller.
async fn panic_of<T>(call: impl Future<Output = T>) -> String {
    let caught = within(AssertUnwindSafe(call).catch_unwind()).await;
    match caught {
        Ok(_) => panic!("it should panic"),
        Err(payload) => payload.downcast_ref::<&str>().unwrap().to_string(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_transport_that_cannot_listen_is_told_to_whom_it_concerns() {
    for act in [Act::BindFails, Act::LocalAddrFails] {
        let mut scene = Scene::new().await;
        let before = scene.node.local_addrs();
        scene.will(act);
        let failed = within(scene.node.listen(ANY)).await.unwrap_err();
        let ListenError::Io { addr, source } = &failed else {
            panic!("{failed}");
        };
        assert_eq!(*addr, ANY);
        assert!(source.to_string().starts_with("in "), "{source}");
        assert_eq!(scene.node.local_addrs(), before);
        scene.serve().await;

        let builder = Node::builder().transport(scene.transport.clone());
        let start = builder.listen(ANY).start::<_, String>(lines);
        let failed = within(start).await.map(drop).unwrap_err();
        assert!(matches!(failed, StartError::Listen(ListenError::Io { .. })));
        scene.assert_well().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_transport_that_panics_when_it_is_to_listen_panics_in_the_caller_alone() {
    for act in [Act::BindPanics, Act::LocalAddrPanics] {
        let mut scene = Scene::new().await;
        let before = scene.node.local_addrs();
        scene.will(act);
        let text = panic_of(scene.node.listen(ANY)).await;
        assert!(["in bind", "in local_addr"].contains(&&*text), "{text}");
        assert_eq!(scene.node.local_addrs(), before);
        scene.serve().await;

        let builder = Node::builder().transport(scene.transport.clone());
        panic_of(builder.listen(ANY).start::<_, String>(lines)).await;
        scene.assert_well().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_bind_that_stalls_ends_with_its_caller() {
    let mut scene = Scene::new().await;
    scene.will(Act::BindStalls);
    let node = scene.node.clone();
    let listening = tokio::spawn(async move { node.listen(ANY).await });
    scene.serve().await;
    listening.abort();
    assert!(within(listening).await.unwrap_err().is_cancelled());
    scene.assert_well().await;
}

#[tokio::test(start_paused = true)]
async fn a_bind_that_stalls_ends_at_the_shutdown() {
    let scene = Scene::new().await;
    scene.will(Act::BindStalls);
    let listen = Box::pin(scene.node.listen(ANY));
    let shutdown = Box::pin(scene.node.shutdown());
    drop(scene.bystander);
    let listen = match within(select(listen, shutdown)).await {
        Either::Left((listened, _)) => listened,
        Either::Right((_, listen)) => within(listen).await,
    };
    assert!(matches!(listen, Err(ListenError::ShutDown)), "{listen:?}");
}

#[tokio::test(start_paused = true)]
async fn a_transport_that_cannot_connect_is_told_to_the_caller() {
    let mut scene = Scene::new().await;
    let (other, to_other) = other(&scene.transport.network).await;
    let there = other.local_addr().unwrap();
    scene.will(Act::ConnectFails);
    let failed = within(scene.node.connect(there)).await.unwrap_err();
    match failed {
        ConnectError::Io { addr, source } => {
            assert_eq!((addr, &*source.to_string()), (there, "in connect"));
        }
        failed => panic!("{failed}"),
    }
    scene.serve().await;

    scene.will(Act::ConnectPanics);
    assert_eq!(panic_of(scene.node.connect(there)).await, "in connect");
    scene.serve().await;

    scene.will(Act::ConnectStalls);
    let node = scene.node.clone();
    let connecting = tokio::spawn(async move { node.connect(there).await });
    scene.serve().await;
    let failed = within(connecting).await.unwrap().unwrap_err();
    assert!(
        matches!(failed, ConnectError::TimedOut { addr, after } if (addr, after) == (there, SOON)),
        "{failed}"
    );
    assert_eq!(scene.node.stats().timeouts.connect, 1);
    drop((other, to_other));
    scene.assert_well().await;
}

/// Lets the others go on so many times, and tells how often they asked to accept in between at most.
async fn asked_in_a_row(transport: &Moody) -> usize {
    let mut most = 0;
    for _ in 0..100 {
        most = most.max(transport.asked.swap(0, Ordering::SeqCst));
        yield_now().await;
    }
    most
}

#[tokio::test(start_paused = true)]
async fn an_acceptor_that_fails_for_ever_is_asked_now_and_then() {
    let mut scene = Scene::new().await;
    scene.will(Act::AcceptFails(io::ErrorKind::OutOfMemory));
    let wakes_it = network_dials(&scene).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let asked = scene.transport.asked.load(Ordering::SeqCst);
    assert!((5..30).contains(&asked), "{asked} times in 10 s");
    scene.serve().await;
    scene.will(Act::Work);
    expect_next_event!(scene.events, Event::Connected(_));
    drop(wakes_it);
    expect_next_event!(scene.events, Event::Disconnected(..));
    assert_eq!(scene.node.local_addrs().len(), 1);
    let addr = scene.addr();
    let network = scene.transport.network.clone();
    let visitor = visit(&network, addr, &mut scene.events).await;
    scene.serve().await;
    drop(visitor);
}

async fn network_dials(scene: &Scene) -> MemoryStream {
    let dialled = within(scene.transport.network.connect(scene.addr())).await;
    dialled.expect("somebody listens")
}

#[tokio::test(start_paused = true)]
async fn an_acceptor_whose_streams_fail_for_ever_keeps_nobody_from_their_turn() {
    let mut scene = Scene::new().await;
    scene.will(Act::AcceptFails(io::ErrorKind::ConnectionAborted));
    let _wakes_it = network_dials(&scene).await;
    let asked = asked_in_a_row(&scene.transport).await;
    assert!(asked < 1000, "asked {asked} times in a row");
    scene.serve().await;
}

#[tokio::test(start_paused = true)]
async fn an_acceptor_with_an_error_that_panics_when_it_is_told_is_asked_again() {
    let mut scene = Scene::new().await;
    scene.will(Act::AcceptErrorPanics);
    let waits = network_dials(&scene).await;
    scene.serve().await;
    scene.will(Act::Work);
    expect_next_event!(scene.events, Event::Connected(_));
    drop(waits);
}

#[tokio::test(start_paused = true)]
async fn an_acceptor_that_panics_listens_no_longer_and_the_node_says_so() {
    let mut scene = Scene::new().await;
    let addr = scene.addr();
    scene.will(Act::AcceptPanics);
    let _wakes_it = network_dials(&scene).await;
    quiet().await;
    assert_eq!(scene.node.local_addrs(), [], "{addr} is closed");
    scene.will(Act::Work);
    scene.serve().await;
    // The address is free again.
    assert_eq!(within(scene.node.listen(addr)).await.unwrap(), addr);
    scene.assert_well().await;
}

#[tokio::test(start_paused = true)]
async fn an_acceptor_that_panics_when_it_is_dropped_has_stopped_listening() {
    let mut scene = Scene::new().await;
    scene.will(Act::AcceptorDropPanics);
    assert!(within(scene.node.stop_listening()).await);
    assert_eq!(scene.node.local_addrs(), []);
    scene.serve().await;
    scene.assert_well().await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_panics_when_it_is_refused_does_not_end_the_listening() {
    let mut scene = Scene::new().await;
    let (network, addr) = (scene.transport.network.clone(), scene.addr());
    let second = visit(&network, addr, &mut scene.events).await;
    scene.will(Act::StreamDropPanics);
    let refused = within(network.connect(addr)).await.unwrap();
    expect_next_event!(scene.events, Event::Refused(_, Refusal::Limit(_)));
    drop(refused);
    scene.will(Act::Work);
    drop(second);
    expect_next_event!(scene.events, Event::Disconnected(..));
    let _third = visit(&network, addr, &mut scene.events).await;
    scene.serve().await;
}
