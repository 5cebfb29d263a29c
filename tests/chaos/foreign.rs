//! Remotes that are no node: they send garbage, stop in the middle, reset, close half, or stall.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::{BufMut, BytesMut};
use socket2::SockRef;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

use crate::{
    Chaos,
    books::FOREIGN,
    codec::{MAGIC, Message, put_header},
    rng::Rng,
};

/// The longest that one stays.
const LONGEST_STAY: Duration = Duration::from_millis(1500);

/// Starts one, unless there are many.
pub(crate) fn visit(chaos: &Arc<Chaos>, addr: SocketAddr, rng: Rng) {
    if let Ok(permit) = chaos.foreigners.clone().try_acquire_owned() {
        chaos.spawn(async move {
            let _permit = permit;
            // However it ends, that's its own affair.
            let _ = timeout(LONGEST_STAY, misbehave(addr, rng)).await;
        });
    }
}

async fn misbehave(addr: SocketAddr, mut rng: Rng) -> io::Result<()> {
    let mut stream = TcpStream::connect(addr).await?;
    let mut bytes = BytesMut::new();
    let shakes_hands = rng.chance(700);
    if shakes_hands {
        let id = FOREIGN | rng.next();
        bytes.put_u64(MAGIC);
        bytes.put_u64(id);
        for _ in 0..rng.below(20) {
            frame(&mut bytes, id, &mut rng);
        }
        match rng.below(3) {
            0 => bytes.put_u32(u32::MAX),
            1 => {
                let whole = bytes.len();
                frame(&mut bytes, id, &mut rng);
                let some = rng.below((bytes.len() - whole) as u64) as usize;
                bytes.truncate(whole + some);
            }
            _ => {}
        }
    } else {
        let garbage = rng.below(64);
        bytes.extend((0..garbage).map(|_| rng.next() as u8));
    }
    if rng.chance(300) {
        for byte in bytes {
            stream.write_u8(byte).await?;
            sleep(rng.millis(0, 5)).await;
        }
    } else {
        stream.write_all(&bytes).await?;
    }
    leave(stream, rng).await
}

fn frame(bytes: &mut BytesMut, link: u64, rng: &mut Rng) {
    let message = Message {
        link,
        flow: 0,
        id: rng.next(),
        size: rng.below(64) as usize,
    };
    put_header(&message, bytes);
    bytes.put_bytes(message.id as u8, message.size);
}

async fn leave(mut stream: TcpStream, mut rng: Rng) -> io::Result<()> {
    match rng.below(5) {
        0 => SockRef::from(&stream).set_linger(Some(Duration::ZERO)),
        1 => Ok(()),
        2 => {
            stream.shutdown().await?;
            stream.read_to_end(&mut Vec::new()).await.map(drop)
        }
        3 => stream.read_to_end(&mut Vec::new()).await.map(drop),
        _ => {
            sleep(rng.millis(0, LONGEST_STAY.as_millis() as u64)).await;
            Ok(())
        }
    }
}
