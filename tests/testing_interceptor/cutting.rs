//! Links that are cut: by a verdict, by what a codec does not take, by a panic.

use super::*;

/// Reads what comes; behind it has to be a reset, not an end.
async fn until_reset(stream: &mut MemoryStream) -> String {
    let mut text = Vec::new();
    let end = within(stream.read_to_end(&mut text)).await;
    let error = end.expect_err("a reset").kind();
    assert_eq!(error, ErrorKind::ConnectionReset);
    String::from_utf8(text).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_link_is_cut_before_or_after_a_message() {
    for (deliver_it, expected) in [(false, &["0", "1"][..]), (true, &["0", "1", "2"])] {
        let judge = move |passage: Passage, line: String| match (passage.number, deliver_it) {
            (2, false) => Verdict::CutBefore,
            (2, true) => Verdict::CutAfter(line),
            _ => Verdict::Deliver(line),
        };
        let mut scene = Scene::new(judge).await;
        scene.say(&["0", "1", "2"]).await;
        scene.expect_served(expected).await;
        let (at_client, at_server) = scene.ends().await;
        for ended in [at_client, at_server] {
            assert!(matches!(ended.reason, Reason::Reset(_)), "{ended}");
        }
        assert!(scene.interceptor.failures().is_empty());
        scene.finish().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_cannot_be_decoded_cuts_its_link_and_is_told() {
    let mut scene = Scene::new(deliver).await;
    scene.say(&["0", &"too long ".repeat(9)]).await;
    scene.expect_served(&["0"]).await;
    scene.ends().await;
    let failures = scene.interceptor.failures();
    let [failure] = &failures[..] else {
        panic!("{failures:?}");
    };
    let passage = failure.passage;
    assert_eq!(
        (passage.link, passage.from, passage.number),
        (0, Side::Dialer, 1)
    );
    assert_eq!(&*failure.error, "max line length exceeded");
    scene.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_judge_that_panics_cuts_its_link_only_and_what_it_says_is_told() {
    let judge = |passage: Passage, line: String| {
        assert_ne!(line, "boom", "in link {}", passage.link);
        Verdict::Deliver(line)
    };
    let scene = Scene::new(judge).await;
    let mut served = scene.served;
    let mut other = scene
        .network
        .connect(scene.interceptor.addr())
        .await
        .unwrap();
    let at_other = connected(&mut served).await;
    other.write_all(b"0\nboom\n").await.unwrap();
    expect(&mut served, &["0"]).await;
    assert_eq!(until_reset(&mut other).await, "");
    let failures = scene.interceptor.failures();
    let [failure] = &failures[..] else {
        panic!("{failures:?}");
    };
    let passage = failure.passage;
    assert_eq!(
        (passage.link, passage.from, passage.number),
        (1, Side::Dialer, 1)
    );
    let told = &failure.error;
    assert!(told.starts_with("panicked: assertion"), "{told}");
    assert!(told.contains("in link 1"), "{told}");
    let ended = ending(&mut served, at_other).await;
    assert!(matches!(ended.reason, Reason::Reset(_)), "{ended}");
    let line = scene.client.send_to("still".to_owned(), scene.at_client);
    within(line).await.unwrap();
    expect(&mut served, &["still"]).await;
}

/// Lines, of which it doesn't survive one.
struct Fragile(LinesCodec);

impl Decoder for Fragile {
    type Item = String;
    type Error = LinesCodecError;

    fn decode(&mut self, bytes: &mut BytesMut) -> Result<Option<String>, LinesCodecError> {
        let line = self.0.decode(bytes)?;
        assert_ne!(line.as_deref(), Some("boom"));
        Ok(line)
    }
}

impl Encoder<String> for Fragile {
    type Error = LinesCodecError;

    fn encode(&mut self, line: String, bytes: &mut BytesMut) -> Result<(), LinesCodecError> {
        self.0.encode(line, bytes)
    }
}

#[tokio::test(start_paused = true)]
async fn a_codec_that_panics_and_one_that_cannot_be_made_cut_their_link_and_are_told() {
    let network = Memory::new();
    let mut target = network.bind(any_port()).await.unwrap();
    let made = AtomicUsize::new(0);
    let codec = move || {
        assert!(made.fetch_add(1, Ordering::Relaxed) < 2, "no more of them");
        Fragile(codec())
    };
    let addr = target.local_addr().unwrap();
    let started = Interceptor::start_over(network.clone(), any_port(), addr, codec, deliver);
    let interceptor = started.await.unwrap();
    let mut open = async || {
        let near = network.connect(interceptor.addr()).await.unwrap();
        let (far, _) = within(poll_fn(|cx| target.poll_accept(cx))).await.unwrap();
        (near, far)
    };
    let told = || {
        let last = interceptor.failures().pop().unwrap();
        (last.passage.number, last.error)
    };
    let (mut near, mut far) = open().await;
    near.write_all(b"0\nboom\n").await.unwrap();
    assert_eq!(until_reset(&mut near).await, "");
    assert_eq!(until_reset(&mut far).await, "0\n");
    let (number, error) = told();
    assert!(error.starts_with("panicked: assertion"), "{error}");
    assert_eq!(number, 1);

    let (mut near, mut far) = open().await;
    assert_eq!(read_text(&mut near).await, "");
    assert_eq!(read_text(&mut far).await, "");
    assert_eq!(told(), (0, "panicked: no more of them".into()));
}

#[tokio::test(start_paused = true)]
async fn a_message_that_cannot_be_encoded_cuts_its_link_and_is_told() {
    let network = Memory::new();
    let frames = LengthDelimitedCodec::new;
    let listening = Node::builder()
        .transport(network.clone())
        .listen(any_port());
    let (server, _served) = listening.start(move |_| frames()).await.unwrap();
    let judge = |_: Passage, _| Verdict::Deliver(bytes::Bytes::from(vec![0; 9 << 20]));
    let target = server.local_addr().unwrap();
    let interceptor = Interceptor::start_over(network.clone(), any_port(), target, frames, judge)
        .await
        .unwrap();
    let mut raw = network.connect(interceptor.addr()).await.unwrap();
    raw.write_all(b"\0\0\0\x01x").await.unwrap();
    assert_eq!(until_reset(&mut raw).await, "");
    let failures = interceptor.failures();
    assert!(
        failures[0].error.contains("frame size too big"),
        "{failures:?}"
    );
    shut_down::<bytes::Bytes>(&server).await;
}

#[tokio::test(start_paused = true)]
async fn a_target_that_does_not_listen_ends_the_link_and_is_told() {
    let network = Memory::new();
    let nobody = SocketAddr::from(([127, 0, 0, 1], 9));
    let interceptor: Lines =
        Interceptor::start_over(network.clone(), any_port(), nobody, codec, deliver)
            .await
            .unwrap();
    let mut raw = network.connect(interceptor.addr()).await.unwrap();
    assert_eq!(read_text(&mut raw).await, "");
    let failures = interceptor.failures();
    assert_eq!(failures[0].passage.from, Side::Listener);
    assert_eq!(&*failures[0].error, "connection refused");
}

#[tokio::test(start_paused = true)]
async fn links_are_numbered_and_one_that_is_cut_is_the_only_one() {
    let judge = |passage: Passage, line: String| match &*line {
        "cut" => Verdict::CutBefore,
        _ => Verdict::Deliver(format!("{} {line}", passage.link)),
    };
    let scene = Scene::new(judge).await;
    let mut served = scene.served;
    let mut raw = Vec::new();
    for _ in 0..3 {
        raw.push(
            scene
                .network
                .connect(scene.interceptor.addr())
                .await
                .unwrap(),
        );
        connected(&mut served).await;
    }
    raw[1].write_all(b"cut\n").await.unwrap();
    assert_eq!(until_reset(&mut raw[1]).await, "");
    let event = next_event(&mut served).await;
    assert!(
        matches!(&event, Event::Disconnected(_, ended) if matches!(ended.reason, Reason::Reset(_))),
        "{event:?}"
    );
    raw[0].write_all(b"x\n").await.unwrap();
    expect(&mut served, &["1 x"]).await;
    raw[2].write_all(b"y\n").await.unwrap();
    expect(&mut served, &["3 y"]).await;
}
