//! An assertion that waits: [`Check`], and how it fails: [`Failed`].

use std::{
    error::Error,
    fmt,
    future::IntoFuture,
    panic::Location,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures::future::BoxFuture;

/// How long an assertion waits when nothing else is said: far longer than anything on one machine takes,
/// however busy it is.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// An assertion that waits for something, for [`PATIENCE`] by default.
///
/// To `.await` it is to assert it: it panics when the time has passed, at the line of the `.await`, and says
/// what happened instead. [`checked`](Check::checked) returns that as an error.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use tokio_util::codec::LinesCodec;
/// use wattle::{Node, testing::eventually};
///
/// let (node, _inbound): (Node<String>, _) =
///     Node::builder().name("lonely").start(|_| LinesCodec::new_with_max_length(8192)).await?;
/// let company = eventually(&node, || !node.peers().is_empty());
/// let failed = company.within(Duration::from_secs(3600)).checked().await.unwrap_err();
/// assert!(failed.to_string().contains("lonely: 0 connections"));
/// # Ok(())
/// # }
/// ```
#[must_use = "an assertion does nothing until it is awaited"]
pub struct Check<'a, T> {
    limit: Duration,
    run: Run<'a, T>,
    place: &'static Location<'static>,
}

/// What is to be waited for, given how long.
type Run<'a, T> = Box<dyn FnOnce(Duration) -> BoxFuture<'a, Result<T, Failed>> + Send + 'a>;

impl<'a, T> Check<'a, T> {
    #[track_caller]
    pub(super) fn new<F>(run: impl FnOnce(Duration) -> F + Send + 'a) -> Self
    where
        F: Future<Output = Result<T, Failed>> + Send + 'a,
    {
        Self {
            limit: PATIENCE,
            run: Box::new(move |limit| Box::pin(run(limit))),
            place: Location::caller(),
        }
    }

    /// How long it waits.
    pub fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// The same as a `Result`, for tests that use `?`, and for those that expect a failure.
    ///
    /// # Errors
    ///
    /// What was waited for didn't come about.
    ///
    /// # Cancel safety
    ///
    /// Whatever was seen until it is dropped stays seen: events that were passed over are gone.
    pub async fn checked(self) -> Result<T, Failed> {
        let place = self.place;
        (self.run)(self.limit).await.map_err(|mut failed| {
            failed.place = Some(place);
            failed
        })
    }
}

impl<'a, T> IntoFuture for Check<'a, T> {
    type Output = T;
    type IntoFuture = Checking<'a, T>;

    fn into_future(self) -> Checking<'a, T> {
        Checking {
            future: (self.run)(self.limit),
            place: self.place,
        }
    }
}

/// A [`Check`] that is being awaited.
#[must_use = "an assertion does nothing until it is awaited"]
pub struct Checking<'a, T> {
    future: BoxFuture<'a, Result<T, Failed>>,
    place: &'static Location<'static>,
}

impl<T> Future for Checking<'_, T> {
    type Output = T;

    /// An `.await` is a call of this, so that the panic is at the line of the `.await`. In a combinator it
    /// isn't, which is why the message says where the check was made, too.
    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        match ready!(self.future.as_mut().poll(cx)) {
            Ok(value) => Poll::Ready(value),
            Err(failed) => panic!("{failed}\n(asserted at {})", self.place),
        }
    }
}

/// What an assertion waited for, and what happened instead.
#[derive(Clone)]
pub struct Failed {
    text: String,
    place: Option<&'static Location<'static>>,
}

impl Failed {
    pub(super) fn new(text: String) -> Self {
        Self { text, place: None }
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        match self.place {
            Some(place) => write!(f, "\n(asserted at {place})"),
            None => Ok(()),
        }
    }
}

/// The same as its text, to be read in the output of a test that returns it or unwraps it.
impl fmt::Debug for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Error for Failed {}

impl<T> fmt::Debug for Check<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Check")
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Checking<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checking").finish_non_exhaustive()
    }
}
