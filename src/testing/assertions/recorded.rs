//! Events that are remembered: [`Recorded`].

use std::{
    collections::VecDeque,
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures::stream::{FusedStream, Stream, StreamExt};
use tokio::time::{Instant, timeout};

use super::{Check, Failed};
use crate::{
    disconnect::Disconnect,
    inbound::{Event, Events, Inbound},
    peer::Peer,
};

/// Enough to see what led to a failure.
const KEPT: usize = 32;

/// A message may be of any size, and its text ten times as long.
const MOST_CHARS: usize = 300;

/// The events of a node, the last 32 of which are remembered, to be shown when one that is expected doesn't
/// come.
///
/// It is a stream as [`Events`], which it is made from; what is taken by whatever way is remembered. Each
/// event is kept as text of 300 characters at most.
///
/// # Examples
///
/// ```
/// use tokio_util::codec::LinesCodec;
/// use wattle::{Event, testing::{Network, Recorded, Topology, expect_event, network}};
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let codec = |_| LinesCodec::new_with_max_length(8192);
/// let mut network: Network<String, String> = network(2, Topology::Line, codec).await?;
/// let mut alice = Recorded::new(network.inbounds.remove(0));
///
/// network.nodes[1].broadcast("hello 1".to_owned());
/// let (text, from) = expect_event!(alice, Event::Message(text, from) => (text, from));
/// assert_eq!((text.as_str(), network.index_of(from)), ("hello 1", Some(1)));
///
/// let expected = alice.expect_event(|event| matches!(event, Event::Message(..)));
/// let failed = expected.within(std::time::Duration::from_millis(1)).checked().await.unwrap_err();
/// assert!(failed.to_string().contains(r#"Message("hello 1", "#), "{failed}");
/// # Ok(())
/// # }
/// ```
pub struct Recorded<In> {
    events: Events<In>,
    started: Instant,
    last: VecDeque<Entry>,
    /// How many events were taken in all.
    taken: u64,
}

/// An event in words, and how long after the beginning of the record it was taken.
#[derive(Debug)]
struct Entry {
    at: Duration,
    text: String,
}

impl<In> Recorded<In> {
    /// Remembers what is taken from here on.
    pub fn new(inbound: Inbound<In>) -> Self {
        Self::from(inbound.into_events())
    }
}

impl<In> From<Events<In>> for Recorded<In> {
    fn from(events: Events<In>) -> Self {
        Self {
            events,
            started: Instant::now(),
            last: VecDeque::new(),
            taken: 0,
        }
    }
}

impl<In: fmt::Debug> Recorded<In> {
    /// The next event, or `None` when the node is shut down: `next` for those who don't import
    /// `StreamExt`.
    ///
    /// # Cancel safety
    ///
    /// A call that is dropped has taken nothing.
    pub async fn recv(&mut self) -> Option<Event<In>> {
        self.next().await
    }

    /// The last events that were taken, a line each, and how many there were before them.
    pub fn history(&self) -> String {
        use fmt::Write;
        if self.last.is_empty() {
            return "no event has come".to_owned();
        }
        let before = self.taken - self.last.len() as u64;
        let mut text = format!("the last of {} events:", self.taken);
        if before > 0 {
            let _ = write!(text, "\n    ({before} before these)");
        }
        for Entry { at, text: event } in &self.last {
            let _ = write!(text, "\n    +{:.6} s  {event}", at.as_secs_f64());
        }
        text
    }

    fn remember(&mut self, event: &Event<In>) {
        let mut text = Clipped::default();
        // What is too long is cut off by an error.
        let _ = fmt::write(&mut text, format_args!("{event:?}"));
        if self.last.len() == KEPT {
            self.last.pop_front();
        }
        self.taken += 1;
        self.last.push_back(Entry {
            at: self.started.elapsed(),
            text: text.finish(),
        });
    }
}

impl<In: fmt::Debug + Send> Recorded<In> {
    /// Waits for an event of this kind, and passes over others. See also
    /// [`expect_event!`](crate::testing::expect_event), which takes a pattern.
    #[track_caller]
    pub fn expect_event<'a>(
        &'a mut self,
        mut wanted: impl FnMut(&Event<In>) -> bool + Send + 'a,
    ) -> Check<'a, Event<In>> {
        self.expect("an event", Others::Pass, move |event| {
            match wanted(&event) {
                true => Ok(event),
                false => Err(event),
            }
        })
    }

    /// Waits for the next message, of whatever peer, and passes over other events.
    #[track_caller]
    pub fn expect_message(&mut self) -> Check<'_, (In, Peer)> {
        self.expect("a message", Others::Pass, |event| match event {
            Event::Message(message, peer) => Ok((message, peer)),
            other => Err(other),
        })
    }

    /// Waits for the end of a connection, and passes over other events.
    #[track_caller]
    pub fn expect_disconnected(&mut self, peer: Peer) -> Check<'_, Disconnect> {
        let what = format!("the end of {peer}");
        self.expect(what, Others::Pass, move |event| match event {
            Event::Disconnected(who, why) if who == peer => Ok(why),
            other => Err(other),
        })
    }

    /// Waits for an event that `pick` makes something of; what it gives back is passed over, or ends
    /// the waiting.
    #[doc(hidden)]
    #[track_caller]
    pub fn expect<'a, T: 'a>(
        &'a mut self,
        what: impl Into<String>,
        others: Others,
        pick: impl FnMut(Event<In>) -> Result<T, Event<In>> + Send + 'a,
    ) -> Check<'a, T> {
        let what = what.into();
        Check::new(move |limit| async move {
            let picked = timeout(limit, self.pick(others, pick)).await;
            let instead = match picked {
                Ok(Ok(value)) => return Ok(value),
                Ok(Err(instead)) => instead,
                Err(_elapsed) => format!("it did not come within {limit:?}"),
            };
            let history = self.history();
            Err(Failed::new(format!(
                "expected {what}: {instead}\n{history}"
            )))
        })
    }

    async fn pick<T>(
        &mut self,
        others: Others,
        mut pick: impl FnMut(Event<In>) -> Result<T, Event<In>>,
    ) -> Result<T, String> {
        loop {
            let event = self.recv().await;
            let event = event.ok_or("the node is shut down, and there are no more events")?;
            match (pick(event), others) {
                (Ok(value), _) => return Ok(value),
                (Err(_passed), Others::Pass) => {}
                (Err(_other), Others::Fail) => return Err("the next event is another".to_owned()),
            }
        }
    }
}

/// What becomes of an event that isn't the one that is expected.
#[doc(hidden)]
#[derive(Debug, Clone, Copy)]
pub enum Others {
    Pass,
    Fail,
}

/// The beginning of a text.
#[derive(Default)]
struct Clipped {
    text: String,
    chars: usize,
}

impl Clipped {
    fn finish(mut self) -> String {
        if self.chars == MOST_CHARS {
            self.text.push('…');
        }
        self.text
    }
}

impl fmt::Write for Clipped {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for char in text.chars() {
            if self.chars == MOST_CHARS {
                return Err(fmt::Error);
            }
            self.text.push(char);
            self.chars += 1;
        }
        Ok(())
    }
}

impl<In: fmt::Debug> Stream for Recorded<In> {
    type Item = Event<In>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event<In>>> {
        let this = self.get_mut();
        let event = ready!(this.events.poll_next_unpin(cx));
        if let Some(event) = &event {
            this.remember(event);
        }
        Poll::Ready(event)
    }
}

impl<In: fmt::Debug> FusedStream for Recorded<In> {
    fn is_terminated(&self) -> bool {
        self.events.is_terminated()
    }
}

// Nothing in it is pinned, whatever `In` is.
impl<In> Unpin for Recorded<In> {}

impl<In> fmt::Debug for Recorded<In> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorded")
            .field("taken", &self.taken)
            .field("last", &self.last)
            .finish_non_exhaustive()
    }
}

/// Waits for an event that matches a pattern, and passes over others; for
/// [`PATIENCE`](crate::testing::PATIENCE) at most, and a failure shows the last events.
///
/// - `expect_event!(recorded, PATTERN)`, or with `if GUARD`, gives the event. The pattern and the guard look
///   at a reference, as `matches!(&event, …)` does.
/// - `expect_event!(recorded, PATTERN => VALUE)`, or with `if GUARD`, gives the value, made of
///   what the pattern binds.
///
/// # Examples
///
/// ```
/// use tokio_util::codec::LinesCodec;
/// use wattle::{Event, Node, testing::{Recorded, Script, expect_event}};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let codec = |_| LinesCodec::new_with_max_length(8192);
/// let builder = Node::builder().listen("127.0.0.1:0");
/// let (node, inbound) = builder.start::<_, String>(codec).await?;
/// let mut events = Recorded::new(inbound);
/// let remote = Script::new(codec).send("one").send("two");
/// remote.dial(node.local_addr().unwrap()).play().await?;
///
/// let text = expect_event!(events, Event::Message(text, _) if text != "one" => text);
/// assert_eq!(text, "two");
/// expect_event!(events, Event::Disconnected(..));
/// # Ok(())
/// # }
/// ```
#[doc(hidden)]
#[macro_export]
macro_rules! __expect_event {
    ($recorded:expr, $($rest:tt)+) => {
        $crate::__expect!($recorded, Pass, $($rest)+)
    };
}

/// The same as [`expect_event!`](crate::testing::expect_event) for the very next event: another is a failure.
///
/// # Examples
///
/// ```
/// use tokio_util::codec::LinesCodec;
/// use wattle::{Event, Node, testing::{Recorded, Script, expect_next_event}};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let codec = |_| LinesCodec::new_with_max_length(8192);
/// let builder = Node::builder().listen("127.0.0.1:0");
/// let (node, inbound) = builder.start::<_, String>(codec).await?;
/// let mut events = Recorded::new(inbound);
/// let remote = Script::new(codec).send("one");
/// remote.dial(node.local_addr().unwrap()).play().await?;
///
/// let peer = expect_next_event!(events, Event::Connected(peer) => peer);
/// expect_next_event!(events, Event::Message(text, _) if text == "one");
/// expect_next_event!(events, Event::Disconnected(who, _) if *who == peer);
/// # Ok(())
/// # }
/// ```
#[doc(hidden)]
#[macro_export]
macro_rules! __expect_next_event {
    ($recorded:expr, $($rest:tt)+) => {
        $crate::__expect!($recorded, Fail, $($rest)+)
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __expect {
    ($recorded:expr, $others:ident, $pattern:pat $(if $guard:expr)? => $value:expr $(,)?) => {
        $recorded
            .expect(
                stringify!($pattern $(if $guard)?),
                $crate::testing::Others::$others,
                |event| match event {
                    $pattern $(if $guard)? => ::core::result::Result::Ok($value),
                    #[allow(unreachable_patterns)]
                    other => ::core::result::Result::Err(other),
                },
            )
            .await
    };
    ($recorded:expr, $others:ident, $pattern:pat $(if $guard:expr)? $(,)?) => {
        $recorded
            .expect(
                stringify!($pattern $(if $guard)?),
                $crate::testing::Others::$others,
                |event| match &event {
                    #[allow(unused_variables)]
                    $pattern $(if $guard)? => ::core::result::Result::Ok(event),
                    #[allow(unreachable_patterns)]
                    _ => ::core::result::Result::Err(event),
                },
            )
            .await
    };
}
