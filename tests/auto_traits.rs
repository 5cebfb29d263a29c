//! What can be sent, shared and moved: checked at compile time, for message types that are as
//! awkward as they are allowed to be.

use std::{
    cell::Cell,
    fmt::Debug,
    marker::{PhantomData, PhantomPinned},
    net::SocketAddr,
    rc::Rc,
};

use futures::{sink::SinkExt, stream::StreamExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_util::codec::LinesCodec;
use wattle::{
    AcceptRate, Admission, AdoptError, Broadcast, Builder, ConnectError, Disconnect, Ended, Event,
    Events, HandshakeError, Inbound, Incoming, Incomings, Initiator, IpNet, Limit, Limits,
    ListenError, Node, NodeShutDown, NotSent, Outbound, Peer, PeerGone, PeerSink, PeerStats,
    Reason, Refusal, Refused, SendError, ShutdownReport, Side, StartError, Stats, Timeout,
    Timeouts, testing,
    transport::{AdoptOnly, Tcp, TcpAcceptor},
};

/// `Send`, and nothing else.
#[derive(Debug)]
struct OnlySend(PhantomData<Cell<u8>>, PhantomPinned);

/// Not even that.
#[derive(Debug)]
struct Nothing(PhantomData<Rc<u8>>, PhantomPinned);

fn sharable<T: Send + Sync + Unpin + Debug + 'static>() {}
fn sendable<T: Send + Unpin + Debug + 'static>() {}
fn copyable<T: Copy + Send + Sync + Unpin + Debug + 'static>() {}
fn clonable<T: Clone>() {}
fn unpin<T: Unpin>() {}
fn is_send<T: Send>(value: T) -> T {
    value
}

#[test]
fn handles_are_send_and_sync_and_clonable_whatever_they_send() {
    sharable::<Node<OnlySend>>();
    // It holds a message of its own, so it is as `Sync` as that is.
    sendable::<Outbound<OnlySend>>();
    sharable::<Outbound<String>>();
    sharable::<PeerSink<OnlySend>>();
    sharable::<Admission>();
    clonable::<Admission>();
    clonable::<Node<OnlySend>>();
    clonable::<Outbound<OnlySend>>();
    clonable::<PeerSink<OnlySend>>();
}

#[test]
fn streams_are_send_and_unpin_whatever_they_yield() {
    sendable::<Inbound<OnlySend>>();
    sendable::<Events<OnlySend>>();
    sharable::<Inbound<String>>();
    sharable::<Events<String>>();
    sendable::<Event<String>>();
    sharable::<Incomings>();
    sharable::<Incoming>();
}

#[test]
fn nothing_is_pinned_for_any_message_type() {
    unpin::<Inbound<Nothing>>();
    unpin::<Events<Nothing>>();
    unpin::<Outbound<Nothing>>();
    unpin::<PeerSink<Nothing>>();
    unpin::<Node<Nothing>>();
}

#[test]
fn small_values_are_copies() {
    copyable::<Peer>();
    copyable::<Side>();
    copyable::<Stats>();
    copyable::<PeerStats>();
    copyable::<Refused>();
    copyable::<Ended>();
    copyable::<Timeouts>();
    copyable::<ShutdownReport>();
    copyable::<Initiator>();
    copyable::<Timeout>();
    copyable::<Limit>();
    copyable::<Limits>();
    copyable::<AcceptRate>();
    copyable::<IpNet>();
    copyable::<NotSent>();
    copyable::<PeerGone>();
    copyable::<NodeShutDown>();
    sharable::<Broadcast>();
    sharable::<Builder>();
    sharable::<Tcp>();
    sharable::<TcpAcceptor>();
    sharable::<AdoptOnly<Nothing>>();
    clonable::<Builder>();
}

#[test]
fn errors_go_everywhere() {
    fn error<E: std::error::Error + Send + Sync + Unpin + 'static>() {}
    error::<StartError>();
    error::<ListenError>();
    error::<ConnectError>();
    error::<AdoptError<TcpStream>>();
    error::<HandshakeError>();
    error::<Limit>();
    error::<Refusal>();
    error::<SendError<String>>();
    error::<PeerGone>();
    error::<NodeShutDown>();
    error::<Disconnect>();
    clonable::<Disconnect>();
    clonable::<Reason>();
    clonable::<HandshakeError>();
}

/// Only compiled: a program must be able to spawn whatever a node does.
#[allow(dead_code, reason = "it says what it has to say to the compiler")]
fn futures_of_handles_are_send(
    node: &Node<OnlySend>,
    peer: Peer,
    addr: SocketAddr,
    stream: TcpStream,
    socket: TcpSocket,
    message: impl Fn() -> OnlySend,
) {
    drop(is_send(node.listen(addr)));
    drop(is_send(node.listen("localhost:0")));
    drop(is_send(node.listen_incoming("localhost:0")));
    drop(is_send(node.stop_listening()));
    drop(is_send(node.connect(addr)));
    drop(is_send(node.connect(("localhost", 1))));
    drop(is_send(node.connect_with(socket, addr)));
    drop(is_send(node.adopt(stream, addr, Side::Dialer)));
    drop(is_send(node.send_to(message(), peer)));
    drop(is_send(node.disconnect(peer)));
    drop(is_send(node.shutdown()));
    let mut outbound = node.outbound();
    drop(is_send(outbound.send((message(), peer))));
    drop(is_send(outbound.flush()));
    if let Some(mut sink) = node.peer_sink(peer) {
        drop(is_send(sink.feed(message())));
        drop(is_send(sink.close()));
    }
}

#[allow(dead_code, reason = "it says what it has to say to the compiler")]
fn futures_of_streams_are_send(mut inbound: Inbound<OnlySend>, builder: Builder) {
    drop(is_send(inbound.recv()));
    drop(is_send(inbound.next()));
    let mut events = inbound.into_events();
    drop(is_send(events.recv()));
    drop(is_send(events.next()));
    let lines = |_| LinesCodec::new_with_max_length(1);
    drop(is_send(builder.start::<_, String>(lines)));
}

#[test]
fn what_tests_are_made_of_goes_to_any_task() {
    sendable::<testing::Network<OnlySend, OnlySend>>();
    sharable::<testing::NetworkError>();
    sharable::<testing::Topology>();
    sendable::<testing::Recorded<OnlySend>>();
    sharable::<testing::Memory>();
    sendable::<testing::MemoryStream>();
    copyable::<testing::Conditions>();
    sharable::<testing::Link>();
    sharable::<testing::Proxy>();
    sharable::<testing::Interceptor<String, String>>();
    sharable::<testing::Script<LinesCodec>>();
    sharable::<testing::script::Failure>();
    sharable::<testing::Capture>();
    sharable::<testing::Recording>();
    sharable::<testing::capture::ReplayError>();
    sharable::<testing::load::Report>();
    sharable::<testing::load::LoadError>();
}
