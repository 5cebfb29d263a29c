//! Those who don't behave well, over plain sockets.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use socket2::{Domain, SockRef, Socket, Type};

use super::echo::wait_until;
use crate::common::WATCHDOG;

/// Addresses of this host by number, none of them the well-behaved client's 127.0.0.1.
pub(crate) fn address(number: usize) -> Ipv4Addr {
    let number = u32::try_from(number).expect("127.0.0.0/8 has 16 million");
    Ipv4Addr::from_bits(Ipv4Addr::LOCALHOST.to_bits() + 1 + number)
}

/// Connects from one of them.
pub(crate) fn connect(from: Ipv4Addr, to: SocketAddr) -> TcpStream {
    open(from, to, |_| Ok(()))
}

/// The same, with next to no room for what comes back.
pub(crate) fn connect_deaf(from: Ipv4Addr, to: SocketAddr) -> TcpStream {
    open(from, to, |socket| socket.set_recv_buffer_size(4096))
}

fn open(
    from: Ipv4Addr,
    to: SocketAddr,
    prepare: impl FnOnce(&Socket) -> io::Result<()>,
) -> TcpStream {
    let open = || {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        prepare(&socket)?;
        socket.bind(&SocketAddr::from((from, 0)).into())?;
        socket.connect_timeout(&to.into(), WATCHDOG)?;
        let stream = TcpStream::from(socket);
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(WATCHDOG))?;
        stream.set_write_timeout(Some(WATCHDOG))?;
        io::Result::Ok(stream)
    };
    open().unwrap_or_else(|error| panic!("no connection from {from} to {to}: {error}"))
}

/// Many at once, which do nothing yet.
pub(crate) fn connect_many(
    number: usize,
    from: impl Fn(usize) -> Ipv4Addr,
    to: SocketAddr,
) -> Vec<TcpStream> {
    (0..number).map(|n| connect(from(n), to)).collect()
}

/// Ends a connection with a reset.
pub(crate) fn reset(stream: TcpStream) {
    let linger = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
    // Fails if the echo has reset it first.
    let _ = linger;
}

/// Whether the echo has ended the connection; what it has sent before is read and thrown away.
fn is_cut_off(mut stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).expect("it can be set");
    loop {
        match stream.read(&mut [0; 4096]) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
            Err(_reset) => return true,
        }
    }
}

/// Waits until the echo has ended all of them but so many.
#[track_caller]
pub(crate) fn all_cut_off_but(mut streams: Vec<TcpStream>, wanted: usize) -> Vec<TcpStream> {
    wait_until(|| {
        streams.retain(|stream| !is_cut_off(stream));
        match streams.len() {
            n if n == wanted => Ok(()),
            n => Err(format!("{n} attackers are connected instead of {wanted}")),
        }
    });
    streams
}

#[track_caller]
pub(crate) fn all_cut_off(streams: Vec<TcpStream>) {
    all_cut_off_but(streams, 0);
}

/// Each sends a byte now and then, until all are cut off.
#[track_caller]
pub(crate) fn drip(mut streams: Vec<TcpStream>, every: Duration) {
    let begun = Instant::now();
    while !streams.is_empty() {
        let left = streams.len();
        assert!(begun.elapsed() < WATCHDOG, "{left} drip on and on");
        streams.retain(|stream| !is_cut_off(stream));
        streams.retain(|mut stream| stream.write(b"x").is_ok());
        thread::sleep(every);
    }
}

/// Sends the same again and again until it is cut off.
#[track_caller]
pub(crate) fn send_until_cut_off(mut stream: TcpStream, what: &[u8]) {
    let begun = Instant::now();
    while let Ok(()) = stream.write_all(what) {
        assert!(begun.elapsed() < WATCHDOG, "nobody minds");
    }
}
