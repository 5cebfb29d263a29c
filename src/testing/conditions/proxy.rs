//! The same conditions between real sockets: [`Proxy`].

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use fastrand::Rng;
use futures::future::join;
use socket2::SockRef;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
    time::sleep,
};

use super::{Bore, Connection, Lane, Link, Way};
use crate::testing::memory::MemoryStream;

/// How much a direction holds, beside what the kernel holds at its ends.
const CAPACITY: usize = 64 * 1024;

/// How long it rests when it can't accept, for want of descriptors say.
const PAUSE: Duration = Duration::from_millis(50);

/// A TCP proxy on a loopback port that passes everything on to one address, over a [`Link`] whose
/// conditions can be changed: faults between real sockets, of programs that need not know.
///
/// *Forth* is from who connects to the proxy to the address behind it. An end is passed on as an
/// end and a reset as a reset. If the address can't be connected to, who connects to the proxy is
/// reset. Everything ends when it is dropped.
///
/// # Examples
///
/// ```
/// use std::io;
/// use tokio::{io::AsyncReadExt, net::{TcpListener, TcpStream}};
/// use wattle::testing::{Conditions, Proxy};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> io::Result<()> {
/// let server = TcpListener::bind("127.0.0.1:0").await?;
/// let proxy = Proxy::start(server.local_addr()?).await?;
/// let mut client = TcpStream::connect(proxy.addr()).await?;
/// let _accepted = server.accept().await?;
///
/// proxy.link().reset();
/// let error = client.read_u8().await.unwrap_err();
/// assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Proxy {
    addr: SocketAddr,
    link: Link,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// A proxy to this address, on a free loopback port.
    ///
    /// # Errors
    ///
    /// There is no port to listen on.
    pub async fn start(target: SocketAddr) -> io::Result<Self> {
        Self::with_seed(target, fastrand::u64(..)).await
    }

    /// The same, with jitter and corruption as this seed has them.
    ///
    /// # Errors
    ///
    /// There is no port to listen on.
    pub async fn with_seed(target: SocketAddr, seed: u64) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let addr = listener.local_addr()?;
        let mut rng = Rng::with_seed(seed);
        let [forth, back] = [(); 2].map(|()| Lane::new(rng.u64(..)));
        let link = Link::new(forth.clone(), back.clone());
        let relay = Relay {
            target,
            lanes: [forth, back],
            rng,
        };
        let accepting = tokio::spawn(relay.accept(listener));
        Ok(Self {
            addr,
            link,
            accepting,
        })
    }

    /// Where to connect to instead of the address behind it.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What everything goes over.
    pub fn link(&self) -> Link {
        self.link.clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

struct Relay {
    target: SocketAddr,
    lanes: [Arc<Lane>; 2],
    rng: Rng,
}

impl Relay {
    /// Accepts until it is aborted; its connections end with it.
    async fn accept(mut self, listener: TcpListener) {
        let mut connections = JoinSet::new();
        loop {
            while connections.try_join_next().is_some() {}
            match listener.accept().await {
                Ok((client, _)) => {
                    let (target, lanes) = (self.target, self.lanes.clone());
                    connections.spawn(relay(client, target, lanes, self.rng.u64(..)));
                }
                Err(_) => sleep(PAUSE).await,
            }
        }
    }
}

/// Passes on what comes at either socket until both have ended.
async fn relay(client: TcpStream, target: SocketAddr, [forth, back]: [Arc<Lane>; 2], seed: u64) {
    forth.cross().await;
    let bore = Bore {
        capacity: CAPACITY,
        // The kernel cuts it as it likes anyway.
        segment: CAPACITY..=CAPACITY,
    };
    let connection = Connection::new(&forth, &back, &bore, seed);
    let addrs = (target, target);
    let near = MemoryStream::new(connection.clone(), Way::Forth, addrs, None);
    let far = MemoryStream::new(connection, Way::Back, addrs, None);
    // Behind the rest: whoever is accepted is on the link already, to be reset there, say.
    let Ok(server) = TcpStream::connect(target).await else {
        return reset(client);
    };
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    join(pass(client, near), pass(server, far)).await;
}

/// Between a socket and its end of the link, until both directions have ended or one is reset.
async fn pass(mut socket: TcpStream, mut end: MemoryStream) {
    if copy_bidirectional(&mut socket, &mut end).await.is_err() {
        reset(socket);
        end.reset();
    }
}

fn reset(stream: TcpStream) {
    // One that is gone already can't be told.
    let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
}
