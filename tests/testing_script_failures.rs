//! What a script says when something isn't as it is written. The text is what people get to see, so
//! it is compared as a whole.

use std::{future::Future, io, net::SocketAddr, panic::Location, time::Duration};

use tokio::io::{AsyncWriteExt, DuplexStream, duplex};
use tokio_util::codec::{Decoder, LengthDelimitedCodec, LinesCodec};
use wattle::{
    BoxError, Transport,
    testing::{
        Closed, Memory, Script,
        script::{Failure, Instead, Player},
    },
    transport::ByteStream,
};

mod common;
#[path = "testing_script_failures/connecting.rs"]
mod connecting;
#[path = "testing_script_failures/endings.rs"]
mod endings;
#[path = "testing_script_failures/messages.rs"]
mod messages;
#[path = "testing_script_failures/time.rs"]
mod time;

const SECOND: Duration = Duration::from_secs(1);

fn script() -> Script<LinesCodec> {
    Script::new(|_| LinesCodec::new_with_max_length(16))
}

fn lines_over(network: Memory) -> Script<LinesCodec, Memory> {
    Script::over(network, |_| LinesCodec::new())
}

fn frames() -> Script<LengthDelimitedCodec> {
    Script::new(|_| LengthDelimitedCodec::new())
}

fn addr(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// A stream on which this has come, and its other end.
async fn having_sent(bytes: &[u8]) -> (DuplexStream, DuplexStream) {
    let (ours, mut theirs) = duplex(bytes.len().max(64));
    theirs.write_all(bytes).await.unwrap();
    (ours, theirs)
}

/// How a script fails that must.
async fn failure<C, T, S>(script: Script<C, T>, stream: S, codec: C) -> Failure
where
    C: Decoder<Item: std::fmt::Debug + Send + 'static, Error: Into<BoxError>> + Send + 'static,
    T: Transport,
    S: ByteStream,
{
    let mut player = Player::on(stream, codec);
    player.play(&script).await.unwrap_err()
}

/// How lines fail while the other side does something, which then stays.
async fn against<F: Future<Output = DuplexStream>>(
    script: Script<LinesCodec>,
    other: impl FnOnce(DuplexStream) -> F,
) -> Failure {
    let (ours, theirs) = duplex(64);
    let codec = LinesCodec::new_with_max_length(16);
    let failing = failure(script, ours, codec);
    let (failure, _open) = tokio::join!(failing, other(theirs));
    failure
}

/// The same where the other side has sent this much.
async fn after_bytes(script: Script<LinesCodec>, bytes: &[u8]) -> Failure {
    let other = |mut other: DuplexStream| async move {
        other.write_all(bytes).await.unwrap();
        other
    };
    against(script, other).await
}

/// The same where it has also ended the stream.
async fn after_the_end(script: Script<LinesCodec>, bytes: &[u8]) -> Failure {
    let other = |mut other: DuplexStream| async move {
        other.write_all(bytes).await.unwrap();
        other.shutdown().await.unwrap();
        other
    };
    against(script, other).await
}

/// The whole text, but for where the step is written, in the file that calls this.
#[track_caller]
fn assert_text<const N: usize>(failure: &Failure, expected: [&str; N]) {
    let mut text = failure.to_string();
    if let Some(step) = &failure.step {
        let file = Location::caller().file();
        let here = format!("({file}:{})", step.written_at.line());
        assert!(text.contains(&here), "{text}");
        text = text.replace(&here, "(HERE)");
    }
    assert_eq!(text, expected.join("\n"));
}
