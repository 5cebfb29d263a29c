//! Hellos and another handshake on one stream, in either order.

#[path = "tls_common/certificates.rs"]
#[allow(dead_code, reason = "shared with the tests of TLS")]
mod certificates;

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use certificates::{Authority, NAME, V13};
use futures::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex};
use tokio_util::codec::{Framed, LinesCodec};
use wattle_codecs::{
    hello::{Agreed, Hello},
    noise::{Noise, NoiseError},
    tls::{self, TlsStream},
};

fn hello() -> Hello {
    Hello::new(b"test", 1..=3)
}

async fn agree<IO>(io: &mut IO) -> Agreed
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let (_, agreed) = hello().exchange(io, |_| Ok(()), |_| ()).await.unwrap();
    agreed
}

/// Reads only every other time that it is asked to, so that what the remote says next has come too.
struct Late {
    io: DuplexStream,
    is_time: bool,
}

/// A pipe of which one end is late.
fn late() -> (DuplexStream, Late) {
    let (a, io) = duplex(16 * 1024);
    let is_time = true;
    (a, Late { io, is_time })
}

impl AsyncRead for Late {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.is_time = !self.is_time;
        if self.is_time {
            return Pin::new(&mut self.io).poll_read(cx, buf);
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl AsyncWrite for Late {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

fn noise(agreed: &Agreed) -> Noise {
    Noise::nn(1024).prologue(agreed.version.to_be_bytes().to_vec())
}

#[tokio::test]
async fn noise_follows_on_the_same_stream() -> Result<(), NoiseError> {
    let (mut a, mut b) = late();
    let pea = async {
        let agreed = agree(&mut a).await;
        noise(&agreed).initiate(a).await
    };
    let bean = async {
        let agreed = agree(&mut b).await;
        noise(&agreed).respond(b).await
    };
    let (pea, bean) = tokio::try_join!(pea, bean)?;
    let (mut pea, mut bean) = (pea.framed, bean.framed);
    pea.send(Bytes::from("hello")).await?;
    assert_eq!(bean.next().await.unwrap()?, "hello");
    Ok(())
}

fn lines<T: ?Sized>(_: &T) -> LinesCodec {
    LinesCodec::new_with_max_length(64)
}

async fn talk<A, B>(from: &mut Framed<A, LinesCodec>, to: &mut Framed<B, LinesCodec>)
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    from.send("hello").await.unwrap();
    assert_eq!(to.next().await.unwrap().unwrap(), "hello");
}

#[tokio::test]
async fn tls_follows_on_the_same_stream() {
    let authority = Authority::new("an authority");
    let identity = authority.issue();
    let (client, server) = (
        authority.client(V13, None),
        authority.server(V13, &identity),
    );
    let (mut a, mut b) = late();
    let pea = async {
        agree(&mut a).await;
        tls::connect(a, Arc::new(client), NAME.try_into().unwrap(), lines).await
    };
    let bean = async {
        agree(&mut b).await;
        tls::accept(b, Arc::new(server), lines).await
    };
    let (mut pea, mut bean) = tokio::try_join!(pea, bean).unwrap();
    talk(&mut pea, &mut bean).await;
}

#[tokio::test]
async fn hellos_are_exchanged_inside_tls() {
    let authority = Authority::new("an authority");
    let identity = authority.issue();
    let (client, server) = (
        authority.client(V13, None),
        authority.server(V13, &identity),
    );
    let (a, b) = late();
    let pea = async {
        let name = NAME.try_into().unwrap();
        let session = tls::connect(a, Arc::new(client), name, |_| ()).await;
        exchange(session.unwrap().into_parts().io).await
    };
    let bean = async {
        let session = tls::accept(b, Arc::new(server), |_| ()).await;
        exchange(session.unwrap().into_parts().io).await
    };
    let (mut pea, mut bean) = tokio::join!(pea, bean);
    talk(&mut pea, &mut bean).await;
}

async fn exchange<IO>(io: TlsStream<IO>) -> Framed<TlsStream<IO>, LinesCodec>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let (framed, agreed) = hello().exchange(io, |_| Ok(()), lines).await.unwrap();
    assert_eq!(agreed.version, 3);
    framed
}
