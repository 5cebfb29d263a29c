//! Many streams as one: [`Merged`].

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures::stream::{FusedStream, SelectAll, Stream, StreamExt};

/// What all nodes of a [`Network`](super::Network) receive, as one stream: each item with the number of
/// the node that received it, `(usize, S::Item)`.
///
/// Nodes take turns. It ends when the streams of all have ended: when all nodes are shut down.
///
/// # Examples
///
/// ```
/// use tokio_util::codec::LinesCodec;
/// use wattle::testing::{Network, Topology, network};
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let codec = |_| LinesCodec::new_with_max_length(8192);
/// let mut network: Network<String, String> = network(3, Topology::Line, codec).await?;
/// let mut messages = network.messages();
/// network.nodes[1].broadcast("hello".to_owned());
/// let (one, (_text, _from)) = messages.recv().await.unwrap();
/// let (other, (_text, _from)) = messages.recv().await.unwrap();
/// assert_eq!((one.min(other), one.max(other)), (0, 2));
/// # Ok(())
/// # }
/// ```
pub struct Merged<S> {
    streams: SelectAll<Numbered<S>>,
}

impl<S: Stream + Unpin> Merged<S> {
    pub(super) fn new(streams: impl IntoIterator<Item = S>) -> Self {
        let numbered = streams.into_iter().enumerate();
        Self {
            streams: numbered
                .map(|(number, stream)| Numbered { number, stream })
                .collect(),
        }
    }

    /// The next item, or `None` when all nodes are shut down: `next` for those who don't import
    /// `StreamExt`.
    ///
    /// # Cancel safety
    ///
    /// A call that is dropped has taken nothing.
    pub async fn recv(&mut self) -> Option<(usize, S::Item)> {
        self.streams.next().await
    }
}

impl<S: Stream + Unpin> Stream for Merged<S> {
    type Item = (usize, S::Item);

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.streams.poll_next_unpin(cx)
    }
}

impl<S: Stream + Unpin> FusedStream for Merged<S> {
    fn is_terminated(&self) -> bool {
        self.streams.is_terminated()
    }
}

impl<S> fmt::Debug for Merged<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Merged").finish_non_exhaustive()
    }
}

/// A stream whose items say whose they are.
struct Numbered<S> {
    number: usize,
    stream: S,
}

impl<S: Stream + Unpin> Stream for Numbered<S> {
    type Item = (usize, S::Item);

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let item = ready!(self.stream.poll_next_unpin(cx));
        Poll::Ready(item.map(|item| (self.number, item)))
    }
}
