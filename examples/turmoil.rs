//! A node under the simulator `turmoil`, by a [`Transport`] of a screenful: two hosts and a network
//! between them that is held up, in simulated time.
//!
//! ```text
//! cargo run --example turmoil
//! ```
//!
//! wattle has a network in memory of its own, [`wattle::testing::Memory`]. A simulator is for those
//! who have one already, with clocks and files and other things of their hosts in it.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures::StreamExt;
use tokio_util::codec::LinesCodec;
use turmoil::net::{TcpListener, TcpStream};
use wattle::{Node, Transport, transport::Acceptor};

/// The simulated TCP.
#[derive(Debug, Clone, Copy)]
struct Simulated;

type Accepted = io::Result<(TcpStream, SocketAddr)>;

/// Accepts by a future that takes the listener and brings it back.
struct SimulatedAcceptor {
    addr: SocketAddr,
    accept: Pin<Box<dyn Future<Output = (TcpListener, Accepted)> + Send>>,
}

async fn accept(listener: TcpListener) -> (TcpListener, Accepted) {
    let accepted = listener.accept().await;
    (listener, accepted)
}

impl Transport for Simulated {
    type Stream = TcpStream;
    type Acceptor = SimulatedAcceptor;

    async fn bind(&self, addr: SocketAddr) -> io::Result<SimulatedAcceptor> {
        let listener = TcpListener::bind(addr).await?;
        Ok(SimulatedAcceptor {
            addr: listener.local_addr()?,
            accept: Box::pin(accept(listener)),
        })
    }

    async fn connect(&self, addr: SocketAddr) -> io::Result<TcpStream> {
        TcpStream::connect(addr).await
    }
}

impl Acceptor for SimulatedAcceptor {
    type Stream = TcpStream;

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Accepted> {
        let (listener, accepted) = ready!(self.accept.as_mut().poll(cx));
        self.accept = Box::pin(accept(listener));
        Poll::Ready(accepted)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.addr)
    }
}

fn lines(_peer: wattle::Peer) -> LinesCodec {
    LinesCodec::new_with_max_length(8192)
}

/// Sends back whatever comes.
async fn echo() -> turmoil::Result {
    let node = Node::builder().transport(Simulated).listen("0.0.0.0:7");
    let (node, inbound) = node.start(lines).await?;
    inbound.map(Ok).forward(node.outbound()).await?;
    Ok(())
}

/// Says something three times; before the second, the network is held for a minute.
async fn ask() -> turmoil::Result {
    let (node, mut inbound) = Node::builder().transport(Simulated).start(lines).await?;
    let peer = node.connect((turmoil::lookup("echo"), 7)).await?;
    for number in 1..=3 {
        if number == 2 {
            turmoil::hold("client", "echo");
            tokio::spawn(async {
                tokio::time::sleep(Duration::from_secs(60)).await;
                turmoil::release("client", "echo");
            });
        }
        let asked = turmoil::elapsed();
        node.send_to(format!("message {number}"), peer).await?;
        let (message, _) = inbound.recv().await.ok_or("the node has ended")?;
        let seconds = (turmoil::elapsed() - asked).as_secs();
        println!("{message} came back, {seconds} s later");
    }
    let end = node.disconnect(peer).await.ok_or("it was connected")?;
    println!("{}", end.reason);
    Ok(())
}

fn main() -> turmoil::Result {
    let mut simulation = turmoil::Builder::new()
        .tick_duration(Duration::from_millis(10))
        .simulation_duration(Duration::from_secs(600))
        .rng_seed(7)
        .build();
    simulation.host("echo", echo);
    simulation.client("client", ask());
    simulation.run()?;
    println!("{} s of simulated time", simulation.elapsed().as_secs());
    Ok(())
}
