//! A report as a page: one file that needs no network and no script.

use std::{fmt::Write as _, time::Duration};

use wattle::testing::load::{Interval, Latencies, Report};

use super::{
    Args,
    chart::{Axis, Series, Tick, figure},
};

const STYLE: &str = include_str!("report.css");

/// Where the percentile curve is drawn: this many points per power of ten.
const CURVE_POINTS: u32 = 20;

pub(crate) fn page(args: &Args, report: &Report) -> String {
    let title = format!("Load on {}", escape(&report.addr.to_string()));
    let mode = escape(&report.mode.to_string());
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n\
         <header><h1>{title}</h1><p>{mode}, {} connections, {}</p></header>\n",
        report.connected,
        time(report.duration),
    );
    page.push_str(&key_figures(report));
    if !report.timeline.is_empty() {
        page.push_str(&throughput(report));
    }
    if report.received > 0 {
        page.push_str(&latency_over_time(report));
        page.push_str(&percentile_curve(report));
        page.push_str(&latency_table(report));
    }
    page.push_str(&run_table(args, report));
    page.push_str("</main>\n</body>\n</html>\n");
    page
}

fn key_figures(report: &Report) -> String {
    let latency = &report.latency;
    let lost = report.lost + report.unsent;
    let mut figures = vec![
        ("replies per second", count(report.rate)),
        ("median latency", time(latency.p50)),
        ("99 % within", time(latency.p99)),
        ("99.9 % within", time(latency.p99_9)),
        ("longest", time(latency.max)),
        ("lost or unsent", grouped(lost)),
    ];
    if report.received == 0 {
        figures.drain(1..5);
    }
    let figures = figures
        .into_iter()
        .fold(String::new(), |mut text, (what, value)| {
            let _ = write!(text, "<div><dt>{what}</dt><dd>{value}</dd></div>");
            text
        });
    format!("<dl class=\"key\">{figures}</dl>\n")
}

/// The middle of an interval, in seconds.
fn middle(interval: &Interval) -> f64 {
    (interval.start + interval.duration / 2).as_secs_f64()
}

fn time_axis(report: &Report) -> Axis {
    Axis::until("time in seconds", report.duration.as_secs_f64(), |s| {
        trim(s, 2)
    })
}

fn throughput(report: &Report) -> String {
    // The rate of the few milliseconds behind the end says nothing.
    let usual = report.timeline[0].duration;
    let intervals = || {
        report
            .timeline
            .iter()
            .filter(|interval| interval.duration >= usual / 2)
    };
    let rate = |n: u64, of: &Interval| n as f64 / of.duration.as_secs_f64();
    let sent: Vec<_> = intervals().map(|i| (middle(i), rate(i.sent, i))).collect();
    let received: Vec<_> = intervals().map(|i| (middle(i), i.rate)).collect();
    let most = sent
        .iter()
        .chain(&received)
        .map(|point| point.1)
        .fold(0.0, f64::max);
    let series = [
        Series {
            name: "sent",
            color: 4,
            points: sent,
        },
        Series {
            name: "received",
            color: 1,
            points: received,
        },
    ];
    let y = Axis::linear("messages per second", most, count);
    let note = format!("Messages per second, in intervals of {}.", time(usual));
    figure("Throughput", &note, &time_axis(report), &y, &series)
}

fn latency_axis(values: impl Iterator<Item = f64> + Clone) -> Axis {
    let least = values.clone().fold(f64::INFINITY, f64::min).max(1e-7);
    let most = values.fold(least, f64::max);
    Axis::log("latency", (least, most), |seconds| {
        time(Duration::from_secs_f64(seconds))
    })
}

fn latency_over_time(report: &Report) -> String {
    let points = |of: fn(&Interval) -> Duration| -> Vec<(f64, f64)> {
        let intervals = report
            .timeline
            .iter()
            .filter(|interval| interval.received > 0);
        intervals
            .map(|i| (middle(i), of(i).as_secs_f64()))
            .collect()
    };
    let series = [
        Series {
            name: "longest",
            color: 3,
            points: points(|i| i.max),
        },
        Series {
            name: "99 %",
            color: 2,
            points: points(|i| i.p99),
        },
        Series {
            name: "90 %",
            color: 0,
            points: points(|i| i.p90),
        },
        Series {
            name: "median",
            color: 1,
            points: points(|i| i.p50),
        },
    ];
    let values = series
        .iter()
        .flat_map(|series| series.points.iter().map(|point| point.1));
    let y = latency_axis(values);
    let note = format!("{} Logarithmic.", measured_from(report));
    figure("Latency over time", &note, &time_axis(report), &y, &series)
}

fn measured_from(report: &Report) -> &'static str {
    match report.mode {
        wattle::testing::load::Mode::Open { .. } => {
            "From when a message was to be sent to its reply."
        }
        _ => "From when a message was sent to its reply.",
    }
}

/// Up to the share that one message in all is beyond.
fn percentile_curve(report: &Report) -> String {
    let nines = (report.latency.count as f64).log10().clamp(1.0, 6.0);
    let curve = |of: &Latencies| -> Vec<(f64, f64)> {
        let steps = (nines * f64::from(CURVE_POINTS)).ceil() as u32;
        (0..=steps)
            .map(|step| 10f64.powf(nines * f64::from(step) / f64::from(steps)))
            .map(|one_in| (one_in, of.at(1.0 - 1.0 / one_in).as_secs_f64()))
            .collect()
    };
    let (open, mut series) = (curve(&report.latency), Vec::new());
    if let wattle::testing::load::Mode::Open { .. } = report.mode {
        let name = "from the sending";
        series.push(Series {
            name,
            color: 4,
            points: curve(&report.service),
        });
    }
    series.push(Series {
        name: "latency",
        color: 1,
        points: open,
    });
    let ticks: [(f64, &str); 8] = [
        (1.0, "0 %"),
        (2.0, "50 %"),
        (10.0, "90 %"),
        (100.0, "99 %"),
        (1e3, "99.9 %"),
        (1e4, "99.99 %"),
        (1e5, "99.999 %"),
        (1e6, "99.9999 %"),
    ];
    let ticks: Vec<Tick> = ticks
        .into_iter()
        .filter(|(one_in, _)| one_in.log10() <= nines + 1e-9)
        .map(|(one_in, text)| (one_in, text.to_owned()))
        .collect();
    let x = Axis {
        label: "share of messages",
        range: (1.0, 10f64.powf(nines)),
        ticks,
        log: true,
    };
    let values = series
        .iter()
        .flat_map(|series| series.points.iter().map(|point| point.1));
    let y = latency_axis(values);
    let note = "How large a share of the messages had their reply within which time.";
    figure("Latency by percentile", note, &x, &y, &series)
}

fn latency_table(report: &Report) -> String {
    let row = |what: &str, of: &Latencies| {
        let times = [of.min, of.mean, of.p50, of.p90, of.p99, of.p99_9, of.max];
        let cells: String = times.map(|t| format!("<td>{}</td>", time(t))).concat();
        format!("<tr><th>{what}</th>{cells}</tr>")
    };
    let heads = [
        "", "least", "mean", "50 %", "90 %", "99 %", "99.9 %", "longest",
    ];
    let heads = heads.map(|head| format!("<th>{head}</th>")).concat();
    format!(
        "<h2>Latencies</h2>\n<div class=\"wide\"><table class=\"numbers\"><thead><tr>{heads}</tr></thead>\
         <tbody>{}{}</tbody></table></div>\n",
        row("from the planned time", &report.latency),
        row("from the sending", &report.service),
    )
}

fn run_table(args: &Args, report: &Report) -> String {
    let message = match &args.message {
        Some(message) => format!("{message:?}"),
        None => format!("{} bytes", grouped(args.size as u64)),
    };
    let codec = format!("{:?}", args.codec).to_lowercase();
    let mut rows = vec![
        ("server", report.addr.to_string()),
        ("load", report.mode.to_string()),
        ("codec", codec),
        ("message", message),
        (
            "connections",
            format!("{} of {}", report.connected, report.connections),
        ),
        ("source addresses", args.sources.to_string()),
        ("warm-up", time(report.warm_up)),
        ("measured", time(report.duration)),
        ("sent", grouped(report.sent)),
        ("received", grouped(report.received)),
        ("lost: no reply in time", grouped(report.lost)),
        ("unsent", grouped(report.unsent)),
        ("bytes sent", grouped(report.bytes_sent)),
        ("bytes received", grouped(report.bytes_received)),
    ];
    if report.unmatched > 0 {
        rows.push(("unasked messages", grouped(report.unmatched)));
    }
    rows.extend(
        report
            .failures
            .iter()
            .map(|failure| ("failed connections", failure.to_string())),
    );
    let rows = rows
        .into_iter()
        .fold(String::new(), |mut text, (what, value)| {
            let _ = writeln!(text, "<tr><th>{what}</th><td>{}</td></tr>", escape(&value));
            text
        });
    format!("<h2>The run</h2>\n<table class=\"run\"><tbody>\n{rows}</tbody></table>\n")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// A number without zeros at its end.
fn trim(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// Three digits or so.
fn significant(value: f64) -> String {
    let digits = match value {
        v if v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        _ => 2,
    };
    trim(value, digits)
}

fn count(value: f64) -> String {
    match value {
        v if v >= 1e6 => format!("{} M", significant(v / 1e6)),
        v if v >= 1e5 => format!("{} k", significant(v / 1e3)),
        v if v >= 1e3 => grouped(v.round() as u64),
        v => significant(v),
    }
}

/// With a comma behind the thousands.
fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn time(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    match time.as_nanos() {
        0 => "0".to_owned(),
        1..1_000 => format!("{} ns", time.as_nanos()),
        1_000..1_000_000 => format!("{} µs", significant(seconds * 1e6)),
        1_000_000..1_000_000_000 => format!("{} ms", significant(seconds * 1e3)),
        _ => format!("{} s", significant(seconds)),
    }
}
