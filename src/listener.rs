//! Listening: accepts streams until it is told to stop, whatever goes wrong meanwhile.

use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{task::coop, time::sleep};
use tracing::{trace, warn};

use crate::{
    disconnect::shown,
    throttle::{Kind, Tell, Throttle},
    transport::Acceptor,
};

/// The first pause after an error that is ours, doubled up to [`PAUSE_MOST`] while it lasts. Long
/// enough for a descriptor to become free, short enough that nobody notices.
const PAUSE: Duration = Duration::from_millis(5);

/// The longest pause; the kernel's backlog holds those who wait.
const PAUSE_MOST: Duration = Duration::from_secs(1);

/// Who takes the streams that are accepted.
pub(crate) trait Reception<S> {
    /// Waits until there is room for another; only then is it accepted, so that no stream is ever in
    /// nobody's hands.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// Takes a stream that came from `addr`.
    fn accepted(&mut self, stream: S, addr: SocketAddr);
}

/// Accepts for ever; to stop listening, drop the future.
pub(crate) async fn accept<A: Acceptor>(
    mut acceptor: A,
    mut reception: impl Reception<A::Stream>,
    throttle: &Throttle,
) {
    let mut pause = PAUSE;
    loop {
        // An acceptor that is always ready must not keep its worker from everything else.
        coop::consume_budget().await;
        poll_fn(|cx| reception.poll_ready(cx)).await;
        match poll_fn(|cx| acceptor.poll_accept(cx)).await {
            Ok((stream, addr)) => {
                pause = PAUSE;
                reception.accepted(stream, addr);
            }
            Err(error) if is_of_the_stream(&error) => {}
            Err(error) => {
                complain(&error, throttle);
                sleep(pause).await;
                pause = PAUSE_MOST.min(2 * pause);
            }
        }
    }
}

fn complain(error: &io::Error, throttle: &Throttle) {
    // In quotes: a transport may tell in it what a remote sent.
    let error = shown(error);
    match throttle.pass(Kind::AcceptFailed) {
        Some(Tell { suppressed }) => {
            warn!(?error, suppressed, "can't accept connections, trying again");
        }
        None => trace!(?error, "can't accept connections, trying again"),
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
