//! Listening: accepts streams until it is told to stop, whatever goes wrong meanwhile.

use std::{future::poll_fn, io, net::SocketAddr, time::Duration};

use tokio::time::{Instant, sleep};
use tracing::warn;

use crate::transport::Acceptor;

/// The first pause after an error that is ours, doubled up to [`PAUSE_MOST`] while it lasts. Long
/// enough for a descriptor to become free, short enough that nobody notices.
const PAUSE: Duration = Duration::from_millis(5);

/// The longest pause; the kernel's backlog holds those who wait.
const PAUSE_MOST: Duration = Duration::from_secs(1);

/// An error that lasts is logged this often at most.
const LOG_EVERY: Duration = Duration::from_secs(1);

/// Accepts for ever; to stop listening, drop the future.
pub(crate) async fn accept<A: Acceptor>(
    mut acceptor: A,
    mut accepted: impl FnMut(A::Stream, SocketAddr),
) {
    let mut pause = PAUSE;
    let mut logged: Option<Instant> = None;
    loop {
        match poll_fn(|cx| acceptor.poll_accept(cx)).await {
            Ok((stream, addr)) => {
                pause = PAUSE;
                accepted(stream, addr);
            }
            Err(error) if is_of_the_stream(&error) => {}
            Err(error) => {
                if logged.is_none_or(|at| at.elapsed() >= LOG_EVERY) {
                    logged = Some(Instant::now());
                    // In quotes: a transport may tell in it what a remote sent.
                    let error = error.to_string();
                    warn!(?error, "can't accept connections, trying again");
                }
                sleep(pause).await;
                pause = PAUSE_MOST.min(2 * pause);
            }
        }
    }
}

/// Errors of the connection that was about to be accepted; all others are the host's, such as
/// running out of descriptors.
fn is_of_the_stream(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted
    )
}
