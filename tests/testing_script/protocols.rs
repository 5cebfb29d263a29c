//! Handshakes, and a protocol of one's own.

use bytes::{Bytes, BytesMut};
use tokio_util::codec::{Encoder, Framed, LengthDelimitedCodec};
use wattle::{Protocol, transport::ByteStream};

use super::*;

/// Each side says who it is in a line; frames follow.
struct Greeting(&'static str);

impl<S: ByteStream> Protocol<S> for Greeting {
    type Io = S;
    type Codec = LengthDelimitedCodec;

    async fn handshake(
        &self,
        stream: S,
        _: Peer,
    ) -> Result<Framed<S, LengthDelimitedCodec>, BoxError> {
        let mut framed = Framed::new(stream, LinesCodec::new_with_max_length(16));
        framed.send(self.0).await?;
        let theirs = framed.next().await.ok_or("it left without a greeting")??;
        if theirs != "hello" {
            return Err(format!("expected hello, got {theirs:?}").into());
        }
        Ok(framed.map_codec(|_| LengthDelimitedCodec::new()))
    }
}

#[tokio::test(start_paused = true)]
async fn a_handshake_comes_before_the_first_step_and_loses_nothing() {
    let network = Memory::new();
    let server = Script::over(network.clone(), Greeting("hello"));
    let server = server.send(Bytes::from_static(b"right behind it"));
    let mut server = server.listen(localhost()).await.unwrap();
    let client = Script::over(network.clone(), Greeting("hello"));
    let client = client
        .expect(&b"right behind it"[..])
        .expect_closed(Closed::Orderly);
    let client = client.dial(server.local_addr());
    play_both(server.play(), client.play()).await;

    let stranger = Script::over(network, Greeting("what?"));
    let stranger = stranger.dial(server.local_addr());
    let (served, _) = tokio::join!(server.play(), stranger.play());
    let failure = served.unwrap_err();
    let expected = format!(
        "expected somebody to connect to {}, but the handshake failed: \
         expected hello, got \"what?\"",
        server.local_addr()
    );
    assert_eq!(failure.to_string(), expected);
}

/// Says hello, and leaves it to the session to write it out.
struct Unflushed;

impl<S: ByteStream> Protocol<S> for Unflushed {
    type Io = S;
    type Codec = LinesCodec;

    async fn handshake(&self, stream: S, _: Peer) -> Result<Framed<S, LinesCodec>, BoxError> {
        let mut framed = Framed::new(stream, LinesCodec::new_with_max_length(16));
        framed.feed("hello").await?;
        Ok(framed)
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_handshake_leaves_to_be_written_comes_before_the_first_step() {
    let network = Memory::new();
    let server = Script::over(network.clone(), Unflushed).send("and more");
    let mut server = server.listen(localhost()).await.unwrap();
    let client = Script::over(network, lines)
        .expect("hello")
        .expect("and more");
    let client = client.dial(server.local_addr());
    play_both(server.play(), client.play()).await;
}

/// Like Redis: a request in a line; a reply with its kind in front.
#[derive(Debug, Clone, PartialEq)]
enum Reply {
    Simple(String),
    Error(String),
    Nil,
}

struct MiniRedis(LinesCodec);

impl Decoder for MiniRedis {
    type Item = Vec<String>;
    type Error = BoxError;

    fn decode(&mut self, bytes: &mut BytesMut) -> Result<Option<Vec<String>>, BoxError> {
        let line = self.0.decode(bytes)?;
        Ok(line.map(|line| line.split(' ').map(str::to_owned).collect()))
    }
}

impl Encoder<Reply> for MiniRedis {
    type Error = BoxError;

    fn encode(&mut self, reply: Reply, bytes: &mut BytesMut) -> Result<(), BoxError> {
        let line = match reply {
            Reply::Simple(text) => format!("+{text}"),
            Reply::Error(text) => format!("-ERR {text}"),
            Reply::Nil => "$-1".to_owned(),
        };
        Ok(self.0.encode(line, bytes)?)
    }
}

#[tokio::test(start_paused = true)]
async fn a_fake_redis_takes_ten_lines() {
    let network = Memory::new();
    let redis = Script::over(network.clone(), |_| MiniRedis(LinesCodec::new()))
        .auto_reply(|words| (words[0] == "PING").then(|| Reply::Simple("PONG".into())))
        .expect(["SET", "name", "wattle"])
        .send(Reply::Simple("OK".into()))
        .expect(["GET", "nothing"])
        .send(Reply::Nil)
        .expect_matching("a command that it doesn't know", |words| words.len() == 1)
        .send(Reply::Error("unknown command".into()));
    let (addr, redis) = serve(redis).await;

    let builder = Node::builder().transport(network);
    let (client, mut inbound) = builder.start(lines).await.unwrap();
    let peer = client.connect(addr).await.unwrap();
    for (request, reply) in [
        ("PING", "+PONG"),
        ("SET name wattle", "+OK"),
        ("PING", "+PONG"),
        ("GET nothing", "$-1"),
        ("FLY", "-ERR unknown command"),
    ] {
        client.send_to(request.to_owned(), peer).await.unwrap();
        assert_eq!(inbound.recv().await, Some((reply.to_owned(), peer)));
    }
    redis.await.unwrap().unwrap();
}
