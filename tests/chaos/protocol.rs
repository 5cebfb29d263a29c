//! The handshake of all nodes here, and how it fails.

use std::sync::{Arc, Mutex};

use futures::{SinkExt, StreamExt};
use tokio::{net::TcpStream, time::sleep};
use tokio_util::codec::Framed;
use wattle::{BoxError, Peer, Protocol};

use crate::{
    account::Totals,
    books::Books,
    codec::{Codec, Fault, Hello, Later, ON_PURPOSE},
    failures::lock,
    rng::Rng,
};

/// How often, of a thousand times, something fails.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Faults {
    pub(crate) handshake: u64,
    pub(crate) decoder: u64,
    pub(crate) encoder: u64,
}

#[derive(Debug)]
pub(crate) struct Chaotic {
    pub(crate) books: Arc<Books>,
    pub(crate) totals: Arc<Totals>,
    pub(crate) faults: Faults,
    pub(crate) rng: Mutex<Rng>,
}

/// How a handshake goes wrong.
enum Trouble {
    Error,
    Panic,
    Stall,
    Slow(std::time::Duration),
}

impl Chaotic {
    fn trouble(&self) -> Option<Trouble> {
        let mut rng = lock(&self.rng);
        if !rng.chance(self.faults.handshake) {
            return None;
        }
        Some(match rng.below(8) {
            0 => Trouble::Panic,
            1 => Trouble::Stall,
            2 | 3 => Trouble::Error,
            _ => Trouble::Slow(rng.millis(0, 100)),
        })
    }

    fn later(&self, per_mille: u64) -> Later {
        let mut rng = lock(&self.rng);
        rng.maybe(per_mille, |rng| {
            let fault = if rng.chance(500) {
                Fault::Error
            } else {
                Fault::Panic
            };
            (rng.below(200) as u32, fault)
        })
    }

    async fn be_troubled(&self) -> Result<(), BoxError> {
        match self.trouble() {
            None => Ok(()),
            Some(Trouble::Error) => Err("on purpose: a handshake's error".into()),
            Some(Trouble::Panic) => panic!("{ON_PURPOSE} a handshake's panic"),
            Some(Trouble::Stall) => std::future::pending().await,
            Some(Trouble::Slow(pause)) => {
                sleep(pause).await;
                Ok(())
            }
        }
    }
}

impl Protocol for Chaotic {
    type Io = TcpStream;
    type Codec = Codec;

    async fn handshake(
        &self,
        stream: TcpStream,
        peer: Peer,
    ) -> Result<Framed<TcpStream, Codec>, BoxError> {
        let guard = self.books.open(peer, &self.totals);
        self.be_troubled().await?;
        let mut framed = Framed::new(stream, Hello);
        framed.send(peer.id()).await?;
        let theirs = framed.next().await.ok_or("closed before the hello")??;
        guard.0.join(theirs);
        self.be_troubled().await?;
        let (decoding, encoding) = (
            self.later(self.faults.decoder),
            self.later(self.faults.encoder),
        );
        Ok(framed.map_codec(|_| Codec::new(guard, decoding, encoding)))
    }
}
