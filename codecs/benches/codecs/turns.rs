//! Two that take turns: [`Bench`], a [`Contender`] each.

use std::{
    hint::black_box,
    io::{self, Write as _},
    time::Instant,
};

use bytes::BytesMut;
use tokio_util::codec::{Decoder, Encoder};

use super::MOST;

/// What a batch comes to, roughly, and the fewest frames in one.
const BATCH_BYTES: usize = 256 * 1024;
const BATCH_LEAST: usize = 16;
const ROUNDS: usize = 41;
const ROUNDS_QUICK: usize = 7;

/// One of two that take turns: an encoder, a decoder for what it writes, and the message to send.
pub(crate) struct Contender<E, D, M> {
    pub(crate) encoder: E,
    pub(crate) decoder: D,
    pub(crate) message: M,
}

impl<C: Clone, M> Contender<C, C, M> {
    pub(crate) fn new(codec: C, message: M) -> Self {
        Self {
            encoder: codec.clone(),
            decoder: codec,
            message,
        }
    }
}

/// What a frame took, in nanoseconds.
#[derive(Clone, Copy)]
pub(crate) struct Took {
    encode: f64,
    decode: f64,
}

pub(crate) trait Batch {
    /// Encodes a batch of frames and decodes it again.
    fn run(&mut self, frames: usize) -> Took;
}

impl<E, D, M> Batch for Contender<E, D, M>
where
    E: Encoder<M>,
    D: Decoder,
    M: Clone,
{
    fn run(&mut self, frames: usize) -> Took {
        let messages = vec![self.message.clone(); frames];
        let mut wire = BytesMut::with_capacity(2 * BATCH_BYTES + BATCH_LEAST * MOST / 8);
        let begun = Instant::now();
        for message in messages {
            let encoded = self.encoder.encode(black_box(message), &mut wire);
            assert!(encoded.is_ok());
        }
        let encode = per_frame(begun, frames);

        let begun = Instant::now();
        let mut decoded = 0;
        while let Ok(Some(item)) = self.decoder.decode(&mut wire) {
            drop(black_box(item));
            decoded += 1;
            if wire.is_empty() {
                break;
            }
        }
        let decode = per_frame(begun, frames);
        assert_eq!(decoded, frames, "each frame is decoded");
        Took { encode, decode }
    }
}

fn per_frame(begun: Instant, frames: usize) -> f64 {
    begun.elapsed().as_nanos() as f64 / frames as f64
}

pub(crate) struct Bench {
    filter: Option<String>,
    rounds: usize,
}

impl Bench {
    pub(crate) fn from_args() -> Self {
        let mut bench = Self {
            filter: None,
            rounds: ROUNDS,
        };
        for arg in std::env::args().skip(1) {
            match arg.as_str() {
                "--bench" => {}
                "--quick" => bench.rounds = ROUNDS_QUICK,
                name => bench.filter = Some(name.to_owned()),
            }
        }
        bench
    }

    pub(crate) fn compare(
        &self,
        name: &str,
        counterpart: &str,
        size: usize,
        mut ours: impl Batch,
        mut bare: impl Batch,
    ) {
        if self
            .filter
            .as_ref()
            .is_some_and(|filter| !name.contains(filter.as_str()))
        {
            return;
        }
        let frames = (BATCH_BYTES / size).max(BATCH_LEAST);
        let (mut of_ours, mut of_bare) = (Vec::new(), Vec::new());
        // The first of each warms the caches up.
        ours.run(frames);
        bare.run(frames);
        for round in 0..self.rounds {
            // Whoever goes second finds the allocator as the first left it.
            if round % 2 == 0 {
                of_ours.push(ours.run(frames));
                of_bare.push(bare.run(frames));
            } else {
                of_bare.push(bare.run(frames));
                of_ours.push(ours.run(frames));
            }
        }
        report(name, counterpart, size, &of_ours, &of_bare);
    }
}

fn report(name: &str, counterpart: &str, size: usize, ours: &[Took], bare: &[Took]) {
    let label = if size >= 1024 {
        format!("{}KiB", size / 1024)
    } else {
        format!("{size}B")
    };
    for (what, of) in [
        ("encode", (|took| took.encode) as fn(&Took) -> f64),
        ("decode", |took| took.decode),
        ("both", |took| took.encode + took.decode),
    ] {
        let (ours, bare) = (median(ours.iter().map(of)), median(bare.iter().map(of)));
        let rate = |ns: f64| size as f64 * 1e3 / ns;
        println!(
            "{name:<22} {label:>6} {what}  {ours:>9.1} ns {:>8.0} MB/s   {bare:>9.1} ns {:>8.0} MB/s   {counterpart}",
            rate(ours),
            rate(bare),
        );
        println!("ratio codecs/{name}/{label}/{what} {:.2}", ours / bare);
    }
    io::stdout().flush().ok();
}

fn median(times: impl Iterator<Item = f64>) -> f64 {
    let mut times: Vec<_> = times.collect();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
