//! What is left at the end; and loads over TCP.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_load_that_is_dropped_leaves_nothing_behind() {
    let server = Served::by(|_, mut stream| async move {
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.unwrap();
    });
    let load = load_on(server)
        .connections(10)
        .rate(100)
        .duration(100 * SECOND);
    let before = Handle::current().metrics().num_alive_tasks();
    assert!(timeout(SECOND, load.run()).await.is_err());
    quiet().await;
    assert_eq!(Handle::current().metrics().num_alive_tasks(), before);
}

#[tokio::test(start_paused = true)]
async fn connections_are_closed_cleanly_when_all_is_answered() {
    let ends = Arc::new(Mutex::new(0));
    let seen = ends.clone();
    let server = Served::by(move |_, stream| {
        let seen = seen.clone();
        async move {
            let (mut reader, mut writer) = tokio::io::split(stream);
            tokio::io::copy(&mut reader, &mut writer).await.unwrap();
            *seen.lock().unwrap() += 1;
        }
    });
    let load = load_on(server).connections(3).rate(10).duration(SECOND);
    assert!(load.run().await.unwrap().is_clean());
    quiet().await;
    assert_eq!(*ends.lock().unwrap(), 3);
    assert_eq!(Handle::current().metrics().num_alive_tasks(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_load_can_run_in_a_task_of_its_own() {
    let load = load_on(echo_after(ms(1)))
        .connections(2)
        .rate(10)
        .duration(SECOND);
    let report = tokio::spawn(load.run()).await.unwrap().unwrap();
    assert!(report.is_clean(), "{report}");
    drop(tokio::spawn(Load::new("127.0.0.1:1", lines, number).run()));
}

#[tokio::test]
async fn over_tcp_from_several_addresses_every_message_has_its_reply() {
    let (node, inbound) = common::listening(Node::builder()).await;
    let addr = node.local_addr().unwrap();
    let sources = if cfg!(target_os = "linux") { 4 } else { 1 };
    let load = Load::new(addr, lines, number)
        .connections(8)
        .sources(sources);
    let load = load.rate(2000).duration(ms(100));
    let answer = async {
        let mut events = inbound.into_events();
        let mut ips = HashSet::new();
        while let Some(event) = events.next().await {
            match event {
                Event::Connected(peer) => _ = ips.insert(peer.addr().ip()),
                Event::Message(line, peer) => _ = node.send_to(line, peer).await,
                _ => {}
            }
        }
        ips.len()
    };
    let run = async {
        let report = within(load.run()).await.unwrap();
        within(node.shutdown()).await;
        report
    };
    let (report, ips) = tokio::join!(run, answer);
    assert_counts(&report, [200, 200, 0, 0]);
    assert_eq!(ips, sources as usize);
    assert!(report.latency.max > Duration::ZERO);
    assert!(report.latency.mean >= report.service.mean);
}

#[tokio::test]
async fn over_tcp_a_server_that_resets_is_told_from_one_that_closes() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut byte = [0];
        stream.read_exact(&mut byte).await.unwrap();
        // What is left unread makes it a reset.
        drop(stream);
    };
    let load = Load::new(addr, lines, |n| format!("message {n}")).in_flight(4);
    let (report, ()) = tokio::join!(within(load.run()), server);
    assert_failed(&report.unwrap(), FailureKind::Reset, 1);
}

#[tokio::test]
async fn nobody_listens_is_an_error() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    drop(listener);
    let error = within(Load::new(addr, lines, number).run())
        .await
        .unwrap_err();
    let wanted = format!("no connection to {addr}; 1 × refused: {addr} refused the connection");
    assert_eq!(error.to_string(), wanted);
}
