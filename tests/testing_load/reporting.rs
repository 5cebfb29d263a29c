//! The report, and options that make no sense.

use super::*;

#[tokio::test(start_paused = true)]
async fn the_timeline_says_what_happened_when() {
    let now = Instant::now();
    let server = echo_but_for(now + ms(250), now + ms(350));
    let load = load_on(server)
        .rate(100)
        .duration(ms(550))
        .interval(ms(100));
    let report = load.run().await.unwrap();
    let starts: Vec<_> = report.timeline.iter().map(|i| i.start).collect();
    assert_eq!(starts, [0, 100, 200, 300, 400, 500].map(ms));
    let durations: Vec<_> = report.timeline.iter().map(|i| i.duration).collect();
    assert_eq!(durations, [100, 100, 100, 100, 100, 50].map(ms));
    let longest: Vec<_> = report.timeline.iter().map(|i| i.max).collect();
    assert_eq!(longest, [0, 0, 0, 100, 0, 0].map(ms));
    let sum = |of: fn(&wattle::testing::load::Interval) -> u64| {
        report.timeline.iter().map(of).sum::<u64>()
    };
    assert_eq!([sum(|i| i.sent), sum(|i| i.received)], [55, 55]);
    assert!(report.timeline[2].received < report.timeline[3].received);
    let first = &report.timeline[0];
    assert_eq!(first.rate, first.received as f64 * 10.0);
}

#[tokio::test(start_paused = true)]
async fn an_idle_end_is_not_in_the_timeline() {
    let load = load_on(silent())
        .rate(10)
        .duration(SECOND)
        .interval(ms(500));
    let report = load.linger(10 * SECOND).run().await.unwrap();
    assert_eq!(report.timeline.len(), 2);
    assert_eq!(report.timeline[1].sent, 5);
}

#[tokio::test(start_paused = true)]
async fn progress_is_told() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let seen = told.clone();
    let load = load_on(echo_after(ms(5)))
        .connections(2)
        .rate(100)
        .duration(2 * SECOND);
    let load = load.on_progress(move |progress| seen.lock().unwrap().push(progress.clone()));
    load.run().await.unwrap();
    let told = told.lock().unwrap();
    let connecting: Vec<_> = told.iter().take_while(|p| p.elapsed.is_none()).collect();
    assert_eq!(connecting.len(), 2);
    assert_eq!([connecting[1].connected, connecting[1].connections], [2; 2]);
    let running: Vec<_> = told[2..].iter().map(|p| (p.elapsed, p.sent)).collect();
    let sent = running[0].1;
    assert!((100..=101).contains(&sent), "{sent}");
    assert_eq!(running, [(Some(SECOND), sent), (Some(2 * SECOND), 200)]);
}

#[tokio::test(start_paused = true)]
async fn the_report_is_a_table_and_json() {
    let load = load_on(answers(3, |stream| async { drop(stream) }))
        .rate(10)
        .duration(SECOND);
    let report = load.run().await.unwrap();
    let table = format!("{report:#}");
    for wanted in [
        "10.0.0.1:7: open loop, 10 messages/s, 1 of 1 connections",
        "sent 4, received 3 (10.0/s), lost 1, unsent 6",
        "bytes sent 8, received 6",
        "failed: 1 × end_of_stream: end of stream",
        "p99.9",
        "replies/s",
    ] {
        assert!(table.contains(wanted), "no {wanted:?} in\n{table}");
    }
    let json = report.to_json();
    assert_eq!(json["mode"]["loop"], "open");
    assert_eq!(json["mode"]["rate"], 10.0);
    assert_eq!([&json["sent"], &json["received"]], [4, 3]);
    assert_eq!(json["duration"], 300_000_000);
    assert_eq!(json["failures"][0]["kind"], "end_of_stream");
    assert_eq!(json["latency"]["count"], 3);
    assert_eq!(json["timeline"][0]["received"], 3);
}

#[tokio::test(start_paused = true)]
async fn options_that_make_no_sense_are_named() {
    let load = || load_on(silent());
    let year = Duration::from_secs(366 * 24 * 60 * 60);
    for (option, load) in [
        ("connections", load().connections(0)),
        ("rate", load().rate(0)),
        ("rate", load().rate(-1)),
        ("rate", load().rate(f64::NAN)),
        ("rate", load().rate(f64::INFINITY)),
        ("in_flight", load().in_flight(0)),
        ("max_outstanding", load().max_outstanding(0)),
        ("duration", load().duration(Duration::ZERO)),
        ("duration", load().duration(year)),
        ("warm_up", load().warm_up(year)),
        ("linger", load().linger(Duration::MAX)),
        ("interval", load().interval(Duration::ZERO)),
        ("interval", load().interval(Duration::from_nanos(1))),
        ("connect_timeout", load().connect_timeout(Duration::ZERO)),
        ("transports", load().transports([])),
    ] {
        match load.run().await {
            Err(LoadError::InvalidOption(error)) => {
                assert_eq!(error.option, option);
                assert!(!error.reason.is_empty() && !error.value.is_empty());
            }
            other => panic!("{option}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn options_of_tcp_that_make_no_sense_are_named() {
    for (addr, sources) in [
        ("127.0.0.1:1", 0),
        ("127.0.0.1:1", 70_000),
        ("192.0.2.1:1", 2),
    ] {
        let load = Load::new(addr, lines, number).sources(sources);
        let error = load.run().await.unwrap_err().to_string();
        let wanted = format!("option `sources` can't be {sources}: ");
        assert!(error.starts_with(&wanted), "{error}");
    }
    let error = Load::new("no port", lines, number).run().await.unwrap_err();
    assert!(matches!(&error, LoadError::Resolve { addr, .. } if addr == "no port"));
}
