//! Connections that fail, or aren't made.

use std::{
    future::{Future, ready},
    sync::atomic::{AtomicU64, Ordering},
};

use super::{server::Lines, *};

#[tokio::test(start_paused = true)]
async fn a_server_that_closes_ends_its_connection_and_the_load_if_there_is_no_other() {
    let began = Instant::now();
    let server = answers(5, |stream| async { drop(stream) });
    let load = load_on(server).rate(10).duration(10 * SECOND);
    let report = load.run().await.unwrap();
    assert_counts(&report, [6, 5, 1, 94]);
    assert_failed(&report, FailureKind::EndOfStream, 1);
    assert_eq!([report.connected as u64, report.failed], [1, 1]);
    assert_eq!(report.duration, ms(500));
    assert_eq!(report.rate, 10.0);
    assert_eq!(began.elapsed(), ms(500));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_fails_takes_its_share_along_and_no_more() {
    let server = Served::by_lines(|connection, mut lines| async move {
        while let Some(Ok(line)) = lines.next().await {
            if connection == 1 {
                return;
            }
            lines.send(line).await.unwrap();
        }
    });
    let load = load_on(server).connections(4).rate(100).duration(SECOND);
    let report = load.run().await.unwrap();
    assert_counts(&report, [76, 75, 1, 24]);
    assert_failed(&report, FailureKind::EndOfStream, 1);
    assert_eq!(report.duration, SECOND);
    assert_eq!(report.connected, 4);
}

#[tokio::test(start_paused = true)]
async fn failures_are_told_apart() {
    let says = |text: String| {
        move |mut stream: DuplexStream| {
            let text = text.clone();
            async move { stream.write_all(text.as_bytes()).await.unwrap() }
        }
    };
    let too_long = format!("{}\n", "x".repeat(3000));
    let codec = |_| LinesCodec::new_with_max_length(100);
    let load = Load::new(ADDR, codec, number).transport(answers(1, says(too_long)));
    let report = load.duration(SECOND).run().await.unwrap();
    assert_failed(&report, FailureKind::Decode, 1);
    assert_eq!(
        report.failures[0].first,
        "decode error: max line length exceeded"
    );
    assert_counts(&report, [2, 1, 1, 0]);

    let too_long = |n: u64| "x".repeat(n as usize);
    let load = Load::new(ADDR, AtMost, too_long).transport(echo_after(ms(1)));
    let report = load.duration(SECOND).run().await.unwrap();
    assert_failed(&report, FailureKind::Encode, 1);
    assert_counts(&report, [3, 3, 0, 0]);

    let codec = |_| wattle_frames();
    let load = Load::new(ADDR, codec, |_| bytes::Bytes::from_static(b"x\n"));
    let load = load.transport(answers(0, says("\0\0\0\x05abc".to_owned())));
    let report = load.duration(SECOND).run().await.unwrap();
    assert_failed(&report, FailureKind::EndInsideFrame, 1);
}

/// Frames with a length of four bytes before them. (What is sent has a line's end in it, for servers of
/// lines.)
fn wattle_frames() -> tokio_util::codec::LengthDelimitedCodec {
    tokio_util::codec::LengthDelimitedCodec::new()
}

/// A codec of lines that refuses to encode the fourth.
struct AtMost;

impl<S: wattle::transport::ByteStream> Protocol<S> for AtMost {
    type Io = S;
    type Codec = server::ShortLines;

    async fn handshake(
        &self,
        stream: S,
        _: Peer,
    ) -> Result<Framed<S, server::ShortLines>, BoxError> {
        Ok(Framed::new(stream, server::ShortLines::up_to(2)))
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_fails_its_connection_and_no_other() {
    let message = |n: u64| match n {
        7 => panic!("no seventh"),
        n => n.to_string(),
    };
    let load = Load::new(ADDR, lines, message).transport(echo_after(ms(1)));
    let load = load.connections(2).rate(10).duration(SECOND);
    let report = load.run().await.unwrap();
    assert_failed(&report, FailureKind::Panicked, 1);
    assert_eq!(report.failures[0].first, "panicked: no seventh");
    // 1, 3 and 5 were sent by then.
    assert_counts(&report, [8, 8, 0, 2]);
}

/// Fails to connect, in one way or the other.
#[derive(Debug, Clone)]
struct Refusing(Option<io::ErrorKind>);

impl Transport for Refusing {
    type Stream = DuplexStream;
    type Acceptor = AdoptOnly<DuplexStream>;

    async fn bind(&self, _: SocketAddr) -> io::Result<Self::Acceptor> {
        Err(io::ErrorKind::Unsupported.into())
    }

    async fn connect(&self, _: SocketAddr) -> io::Result<DuplexStream> {
        match self.0 {
            Some(kind) => Err(kind.into()),
            None => std::future::pending().await,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn no_connection_at_all_is_an_error_that_says_why() {
    let ways = [
        (Some(io::ErrorKind::ConnectionRefused), FailureKind::Refused),
        (Some(io::ErrorKind::AddrNotAvailable), FailureKind::Connect),
        (None, FailureKind::ConnectTimedOut),
    ];
    let transports = ways.iter().map(|&(how, _)| Refusing(how));
    let load = Load::new(ADDR, lines, number).transports(transports);
    let error = load.connections(9).connect_timeout(SECOND).run().await;
    let error = error.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("3 × refused: 10.0.0.1:7 refused"),
        "{error}"
    );
    let LoadError::NotConnected { failures, .. } = error else {
        panic!("{error:?}")
    };
    for (failure, (_, kind)) in failures.iter().zip([ways[0], ways[2], ways[1]]) {
        assert_eq!((failure.kind, failure.connections), (kind, 3));
    }
}

/// A handshake on lines, which are the session.
struct Shaking<F>(F);

impl<F, H> Protocol<DuplexStream> for Shaking<F>
where
    F: Fn(Lines) -> H + Send + Sync + 'static,
    H: Future<Output = Result<Lines, BoxError>> + Send + 'static,
{
    type Io = DuplexStream;
    type Codec = LinesCodec;

    async fn handshake(&self, stream: DuplexStream, _: Peer) -> Result<Lines, BoxError> {
        (self.0)(Framed::new(stream, LinesCodec::new())).await
    }
}

#[tokio::test(start_paused = true)]
async fn connections_that_are_made_share_the_load_of_those_that_are_not() {
    let turn = AtomicU64::new(0);
    let every_second = Shaking(move |lines| {
        let fails = turn.fetch_add(1, Ordering::Relaxed).is_multiple_of(2);
        ready(if fails {
            Err("not today".into())
        } else {
            Ok(lines)
        })
    });
    let load = Load::new(ADDR, every_second, number).transport(echo_after(ms(1)));
    let load = load.connections(6).rate(100).duration(SECOND);
    let report = load.run().await.unwrap();
    assert_counts(&report, [100, 100, 0, 0]);
    assert_eq!([report.connections, report.connected], [6, 3]);
    assert_eq!(report.failed, 0);
    assert_failed(&report, FailureKind::Handshake, 3);
    assert!(!report.is_clean());
}

/// What the server said behind the handshake is the first reply, to nobody.
#[tokio::test(start_paused = true)]
async fn bytes_behind_the_handshake_are_not_lost() {
    let greeted = Shaking(|mut lines: Lines| async move {
        lines.next().await.ok_or("no greeting")??;
        Ok(lines)
    });
    let server = Served::by_lines(|_, mut lines| async move {
        lines.feed("hello").await.unwrap();
        lines.send("early").await.unwrap();
        while let Some(Ok(line)) = lines.next().await {
            lines.send(line).await.unwrap();
        }
    });
    let load = Load::new(ADDR, greeted, number).transport(server);
    let load = load
        .replies(|line| line != "early")
        .rate(10)
        .duration(SECOND);
    let report = load.run().await.unwrap();
    assert_counts(&report, [10, 10, 0, 0]);
    assert_eq!(report.others, 1);
}
