//! What is sent when, and what is measured.

use super::*;

#[tokio::test(start_paused = true)]
async fn an_open_loop_sends_rate_times_duration_and_measures_exactly() {
    let load = load_on(echo_after(ms(5)))
        .connections(4)
        .rate(100)
        .duration(SECOND);
    let report = load.run().await.unwrap();
    assert_counts(&report, [100, 100, 0, 0]);
    assert_eq!(report.connected, 4);
    assert!(report.is_clean());
    assert_eq!(report.duration, SECOND);
    assert_eq!(report.rate, 100.0);
    let latency = &report.latency;
    assert_eq!([latency.min, latency.mean, latency.max], [ms(5); 3]);
    assert_eq!([latency.p50, latency.p99_9], [ms(5); 2]);
    assert_eq!(report.service.max, ms(5));
}

/// When each server got which number.
type Arrivals = Arc<Mutex<Vec<(usize, u64, Duration)>>>;

#[tokio::test(start_paused = true)]
async fn connections_take_turns_at_times_that_are_evenly_spaced() {
    let begin = Instant::now();
    let arrivals = Arrivals::default();
    let seen = arrivals.clone();
    let server = Served::by_lines(move |connection, mut lines| {
        let seen = seen.clone();
        async move {
            while let Some(Ok(line)) = lines.next().await {
                let arrival = (connection, line.parse().unwrap(), begin.elapsed());
                seen.lock().unwrap().push(arrival);
                lines.send(line).await.unwrap();
            }
        }
    });
    let load = load_on(server).connections(3).rate(100).duration(ms(90));
    assert_counts(&load.run().await.unwrap(), [9, 9, 0, 0]);
    let wanted: Vec<_> = (0..9).map(|n| (n as usize % 3, n, ms(10 * n))).collect();
    assert_eq!(*arrivals.lock().unwrap(), wanted);
}

/// 100 a second for four seconds, of which the server stalls from the second to the third: those that were
/// due then have waited 1000, 990, …, 10 ms.
fn assert_stall_is_in_the_percentiles(report: &Report) {
    assert_counts(report, [400, 400, 0, 0]);
    let latency = &report.latency;
    assert_eq!(latency.max, SECOND);
    assert_eq!(
        latency.mean,
        (10..=1000).step_by(10).map(ms).sum::<Duration>() / 400
    );
    assert_eq!([latency.min, latency.p50, latency.at(0.75)], [ms(0); 3]);
    assert_about(latency.p90, ms(600));
    assert_about(latency.p99, ms(960));
    assert_about(latency.p99_9, SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_stall_is_in_the_latency_of_every_message_that_was_due_in_it() {
    let now = Instant::now();
    let server = echo_but_for(now + SECOND, now + 2 * SECOND);
    let load = load_on(server).rate(100).duration(4 * SECOND);
    let report = load.run().await.unwrap();
    assert_stall_is_in_the_percentiles(&report);
    assert_eq!(report.service.max, SECOND);
    assert_about(report.service.p90, ms(600));
}

#[tokio::test(start_paused = true)]
async fn a_stall_that_keeps_messages_from_being_sent_is_in_their_latency_all_the_same() {
    let now = Instant::now();
    let server = echo_but_for(now + SECOND, now + 2 * SECOND);
    let load = load_on(server)
        .max_outstanding(1)
        .rate(100)
        .duration(4 * SECOND);
    let report = load.run().await.unwrap();
    assert_stall_is_in_the_percentiles(&report);
    // From the sending alone, only one message has seen the stall.
    assert_eq!(report.service.max, SECOND);
    assert_eq!(report.service.at(0.997), ms(0));
    assert_eq!(report.service.mean, SECOND / 400);
}

#[tokio::test(start_paused = true)]
async fn a_stall_is_in_one_sample_of_a_closed_loop() {
    let now = Instant::now();
    let stalling = echo_but_for(now + ms(50), now + ms(1050));
    // A server without the stall takes no time, and the loop would not let time pass.
    let server = Served::by_lines(move |n, lines| {
        let stalling = stalling.clone();
        async move {
            let mut lines = lines;
            let mut upstream =
                server::lines(stalling.connect(ADDR.parse().unwrap()).await.unwrap());
            while let Some(Ok(line)) = lines.next().await {
                sleep(ms(10)).await;
                upstream.send(line).await.unwrap();
                let Some(Ok(line)) = upstream.next().await else {
                    panic!("no answer for {n}")
                };
                lines.send(line).await.unwrap();
            }
        }
    });
    let report = load_on(server).duration(2 * SECOND).run().await.unwrap();
    assert_about(report.latency.at(0.98), ms(10));
    assert_about(report.latency.max, ms(1010));
    assert_eq!(report.lost, 0);
}

#[tokio::test(start_paused = true)]
async fn no_more_than_may_be_is_outstanding_and_the_rest_is_unsent() {
    let began = Instant::now();
    let load = load_on(silent())
        .connections(2)
        .max_outstanding(3)
        .rate(100)
        .duration(SECOND);
    let report = load.linger(2 * SECOND).run().await.unwrap();
    assert_counts(&report, [6, 0, 6, 94]);
    assert_eq!(report.latency.max, Duration::ZERO);
    assert_eq!(report.rate, 0.0);
    assert_eq!(report.duration, SECOND);
    assert_eq!(began.elapsed(), 3 * SECOND, "waited no longer than told");
    assert!(!report.is_clean());
}

#[tokio::test(start_paused = true)]
async fn messages_that_are_behind_at_the_end_are_still_sent_and_waited_for() {
    let now = Instant::now();
    let server = echo_but_for(now, now + 2 * SECOND);
    let load = load_on(server).max_outstanding(1).rate(10).duration(SECOND);
    let report = load.run().await.unwrap();
    assert_counts(&report, [10, 10, 0, 0]);
    assert_eq!(report.latency.max, 2 * SECOND);
    assert_eq!(report.latency.min, ms(1100));
    assert_eq!(report.duration, 2 * SECOND, "until the last reply");
    assert_eq!(report.rate, 5.0);
}

#[tokio::test(start_paused = true)]
async fn replies_that_come_too_late_are_lost() {
    let load = load_on(echo_after(ms(500)))
        .rate(10)
        .duration(SECOND)
        .linger(ms(250));
    let report = load.run().await.unwrap();
    // Those of 0.8 and 0.9 s would come at 1.3 and 1.4 s.
    assert_counts(&report, [10, 8, 2, 0]);
}

#[tokio::test(start_paused = true)]
async fn the_warm_up_is_in_no_number() {
    let began = Instant::now();
    let now = Instant::now();
    let server = echo_but_for(now, now + ms(300));
    let load = load_on(server).rate(100).warm_up(SECOND).duration(SECOND);
    let report = load.run().await.unwrap();
    assert_counts(&report, [100, 100, 0, 0]);
    assert_eq!(report.latency.max, Duration::ZERO);
    assert_eq!(report.warm_up, SECOND);
    assert_eq!(report.duration, SECOND);
    // Three digits and the end of the line.
    assert_eq!([report.bytes_sent, report.bytes_received], [400; 2]);
    assert_eq!(report.timeline.len(), 1);
    assert_eq!(began.elapsed(), 2 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_closed_loop_keeps_its_number_in_flight() {
    let most = Arc::new(Mutex::new(BTreeMap::new()));
    let seen = most.clone();
    // It answers what has come every ten milliseconds, all at once.
    let server = Served::by_lines(move |connection, mut lines| {
        let seen = seen.clone();
        async move {
            loop {
                sleep(ms(10)).await;
                let mut came = Vec::new();
                while let Ok(Some(Ok(line))) = timeout(Duration::ZERO, lines.next()).await {
                    came.push(line);
                }
                if came.is_empty() {
                    return;
                }
                *seen
                    .lock()
                    .unwrap()
                    .entry((connection, came.len()))
                    .or_insert(0) += 1;
                let mut came = stream::iter(came.into_iter().map(Ok));
                lines.send_all(&mut came).await.unwrap();
            }
        }
    });
    let load = load_on(server)
        .connections(2)
        .in_flight(3)
        .duration(ms(100));
    let report = load.run().await.unwrap();
    assert_counts(&report, [60, 60, 0, 0]);
    assert_eq!(report.latency.max, ms(10));
    let rounds: Vec<_> = most.lock().unwrap().clone().into_iter().collect();
    assert_eq!(rounds, [((0, 3), 10), ((1, 3), 10)]);
}

#[tokio::test(start_paused = true)]
async fn a_closed_loop_without_replies_ends_in_time() {
    let began = Instant::now();
    let load = load_on(silent())
        .in_flight(7)
        .duration(SECOND)
        .linger(SECOND);
    let report = load.run().await.unwrap();
    assert_counts(&report, [7, 0, 7, 0]);
    assert_eq!(began.elapsed(), 2 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn messages_larger_than_the_pipe_go_through_both_ways_at_once() {
    let large = |n: u64| format!("{n}{}", "x".repeat(100_000));
    let codec = |_| LinesCodec::new();
    let load = Load::new(ADDR, codec, large).transport(echo_after(ms(1)));
    let report = load.in_flight(4).duration(ms(20)).run().await.unwrap();
    assert!(report.received >= 4, "{report}");
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.bytes_sent, report.bytes_received);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_reply_is_counted_and_not_measured() {
    let server = Served::by_lines(|_, mut lines| async move {
        lines.send("welcome").await.unwrap();
        while let Some(Ok(line)) = lines.next().await {
            lines.send("by the way".to_owned()).await.unwrap();
            sleep(ms(3)).await;
            lines.send(format!("reply {line}")).await.unwrap();
        }
    });
    let load = load_on(server).replies(|line: &String| line.starts_with("reply"));
    let report = load.rate(10).duration(SECOND).run().await.unwrap();
    assert_counts(&report, [10, 10, 0, 0]);
    assert_eq!(report.latency.min, ms(3));
    assert_eq!([report.others, report.unmatched], [11, 0]);
}

#[tokio::test(start_paused = true)]
async fn replies_that_nobody_asked_for_are_counted() {
    let server = Served::by_lines(|_, mut lines| async move {
        while let Some(Ok(line)) = lines.next().await {
            lines.send(line.clone()).await.unwrap();
            lines.send(line).await.unwrap();
        }
    });
    let report = load_on(server)
        .rate(10)
        .duration(SECOND)
        .run()
        .await
        .unwrap();
    // The last echo comes when all is over.
    assert_counts(&report, [10, 10, 0, 0]);
    assert!((9..=10).contains(&report.unmatched), "{report}");
}
