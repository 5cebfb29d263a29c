//! A codec of one's own, and what combinators then make of its typed messages.
//!
//! Three weather stations report to one office. The codec turns bytes into `Report`s; from there on
//! the office is a pipeline: until all stations are done, print the notes, keep the temperatures,
//! gather ten of them or what came within 50 ms, and take the mean of each batch.
//!
//! ```text
//! cargo run --example custom_codec
//! ```
//!
//! prints, with the batches as they happen to come,
//!
//! ```text
//! note: station 1 is up
//! note: station 2 is up
//! 10 readings, 7.2 °C on average
//! 10 readings, 12.2 °C on average
//! note: station 3 is up
//! 10 readings, 17.2 °C on average
//! 30 readings in all
//! ```

use std::{error::Error, io, time::Duration};

use tokio_stream::StreamExt;
use tokio_util::bytes::{Buf, BufMut, BytesMut};
use tokio_util::codec::{Decoder, Encoder};
use wattle::{Node, Peer, SendError};

const STATIONS: u16 = 3;
const READINGS: u16 = 10;

/// What stations say.
#[derive(Debug)]
enum Report {
    Temperature { celsius: f32 },
    Note(String),
    Done,
}

/// Reports as bytes: a tag, then what the tag promises. Numbers are big-endian.
///
/// ```text
/// Temperature  0 │ f32
/// Note         1 │ length: u8 │ UTF-8 text
/// Done         2
/// ```
struct Reports;

impl Decoder for Reports {
    type Item = Report;
    type Error = io::Error;

    /// `Ok(None)` means "call again when there is more", and leaves `src` as it is. An error ends
    /// the connection, with this error as the reason.
    fn decode(&mut self, src: &mut BytesMut) -> io::Result<Option<Report>> {
        let (report, length) = match **src {
            [0, a, b, c, d, ..] => {
                let celsius = f32::from_be_bytes([a, b, c, d]);
                (Report::Temperature { celsius }, 5)
            }
            [1, length, ref rest @ ..] if rest.len() >= length.into() => {
                let (text, _) = rest.split_at(length.into());
                let text = str::from_utf8(text).map_err(io::Error::other)?;
                (Report::Note(text.to_owned()), 2 + text.len())
            }
            [2, ..] => (Report::Done, 1),
            [] | [0 | 1, ..] => return Ok(None),
            [tag, ..] => return Err(io::Error::other(format!("unknown tag {tag}"))),
        };
        src.advance(length);
        Ok(Some(report))
    }
}

impl Encoder<Report> for Reports {
    type Error = io::Error;

    fn encode(&mut self, report: Report, dst: &mut BytesMut) -> io::Result<()> {
        match report {
            Report::Temperature { celsius } => {
                dst.put_u8(0);
                dst.put_f32(celsius);
            }
            Report::Note(text) => {
                let length = text.len().try_into().map_err(io::Error::other)?;
                dst.put_u8(1);
                dst.put_u8(length);
                dst.put_slice(text.as_bytes());
            }
            Report::Done => dst.put_u8(2),
        }
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (office, inbound): (Node<Report>, _) = Node::builder().start(|_| Reports).await?;
    let addr = office.listen("127.0.0.1:0").await?;
    for number in 1..=STATIONS {
        let (station, _) = Node::builder().start(|_| Reports).await?;
        let peer = station.connect(addr).await?;
        tokio::spawn(report(station, peer, number));
    }

    let mut busy = STATIONS;
    let batches = inbound
        .take_while(|(report, _)| {
            busy -= u16::from(matches!(report, Report::Done));
            busy > 0
        })
        .filter_map(|(report, _)| match report {
            Report::Temperature { celsius } => Some(celsius),
            Report::Note(text) => {
                println!("note: {text}");
                None
            }
            Report::Done => None,
        })
        .chunks_timeout(READINGS.into(), Duration::from_millis(50));

    let mut batches = std::pin::pin!(batches);
    let mut readings = 0;
    while let Some(batch) = batches.next().await {
        let mean = batch.iter().sum::<f32>() / batch.len() as f32;
        println!("{} readings, {mean:.1} °C on average", batch.len());
        readings += batch.len();
    }
    println!("{readings} readings in all");
    office.shutdown().await;
    Ok(())
}

/// A station's day. When the last handle of its node is dropped, the node closes by itself, after
/// what is queued was sent.
async fn report(station: Node<Report>, office: Peer, number: u16) -> Result<(), SendError<Report>> {
    let note = Report::Note(format!("station {number} is up"));
    station.send_to(note, office).await?;
    for hour in 0..READINGS {
        let celsius = f32::from(10 * number + hour) / 2.0;
        let temperature = Report::Temperature { celsius };
        station.send_to(temperature, office).await?;
    }
    station.send_to(Report::Done, office).await
}
