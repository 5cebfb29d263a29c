//! The law of the end of the stream.

use std::{fmt::Debug, iter};

use tokio_util::codec::{Decoder, Encoder};

use super::{
    Law, Laws, Violation, reader::Event, splits::everywhere, stream::Case, violation::hex,
};

impl<E, D, Out> Laws<'_, E, D, Out>
where
    E: Encoder<Out, Error: Debug>,
    D: Decoder<Item: Debug, Error: Debug>,
    Out: Clone + Debug,
{
    /// [`Law::End`], at each point of the stream, whatever came in one read; of large messages, at
    /// some points.
    ///
    /// # Errors
    ///
    /// The violation.
    pub fn end(&self) -> Result<(), Violation> {
        let stream = self.stream(Law::End, &self.messages)?;
        let points = everywhere(&stream.ends, &mut self.random(Law::End));
        let runs = self.runs(stream.wire.len());
        let step = points.len().div_ceil(runs).max(1);
        let mut clean = iter::once(0).chain(stream.ends.iter().copied());
        clean.try_for_each(|end| self.ends_at(end))?;
        points
            .into_iter()
            .step_by(step)
            .filter(|point| !stream.ends.contains(point))
            .try_for_each(|point| self.ends_at(point))
    }

    fn ends_at(&self, point: usize) -> Result<(), Violation> {
        let stream = self.stream(Law::End, &self.messages)?;
        // Another encoder may have made another stream.
        let wire = &stream.wire[..point.min(stream.wire.len())];
        let whole = stream.ends.iter().filter(|&&end| end <= wire.len()).count();
        let inside = wire.len() > stream.begin(whole);
        let begun = whole + usize::from(inside);
        let case = Case {
            law: Law::End,
            messages: &self.messages[..begun],
            wire,
            cuts: &[],
        };
        let mut reader = self.reader(stream.decoder);
        let events = reader.feed(iter::once(wire));
        self.are(case, &events, &self.messages[..whole])?;
        if !inside {
            return self.is_clean_end(case, &mut reader);
        }
        let mut events = Vec::new();
        reader.finish(&mut events);
        let expected = if self.last_may_be_open {
            "decode_eof has an error, or an item of all that is left"
        } else {
            "decode_eof has an error: the stream ends inside a frame"
        };
        match events.first() {
            Some(Event::Error { .. }) => Ok(()),
            Some(Event::Item(_)) if self.last_may_be_open && reader.src.is_empty() => Ok(()),
            Some(event) => Err(self.broken(case, expected, event.describe())),
            None => {
                let came = format!("Ok(None), as at a clean end, with {}", hex(&reader.src));
                Err(self.broken(case, expected, came + " left"))
            }
        }
    }
}
