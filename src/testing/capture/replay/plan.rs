//! Who says what, and when, in a play.

use std::time::Duration;

use super::{Part, ReplayError, ReplayReport, hearing::Heard};
use crate::testing::capture::{
    CapturedConnection, CapturedFrame, Direction,
    recording::{Step, StepKind},
};

#[derive(Debug, Clone)]
pub(super) struct Plan {
    /// When the connection was opened.
    pub(super) opened: Duration,
    /// What we say.
    pub(super) lines: Vec<Line>,
    /// How we end our side, after all lines.
    pub(super) end: Option<End>,
    /// What we hear.
    pub(super) hears: Vec<CapturedFrame>,
    pub(super) bytes_heard: u64,
    /// Whether the peer ends its side.
    pub(super) awaits_end: bool,
}

/// A frame that we say.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) frame: CapturedFrame,
    /// How many bytes have to come before.
    pub(super) after: u64,
}

#[derive(Debug, Clone)]
pub(super) struct End {
    pub(super) at: Duration,
    /// How many bytes have to come before.
    pub(super) after: u64,
    /// Whether the peer has to end its side before.
    pub(super) after_end: bool,
}

impl Plan {
    pub(super) fn of(connection: &CapturedConnection, part: Part) -> Self {
        let mut plan = Self {
            opened: Duration::ZERO,
            lines: Vec::new(),
            end: None,
            hears: Vec::new(),
            bytes_heard: 0,
            awaits_end: false,
        };
        for step in &connection.steps {
            plan.take(step, part);
        }
        plan
    }

    fn take(&mut self, step: &Step, part: Part) {
        match (&step.what, part) {
            (StepKind::Open, _) => self.opened = step.at,
            (StepKind::Frame(frame), _) => self.take_frame(frame, part),
            // A codec that fails ends the connection.
            (StepKind::Error, Part::Remote) => self.awaits_end = true,
            (StepKind::End, Part::Remote) | (StepKind::Close, Part::Node) => {
                self.end.get_or_insert(End {
                    at: step.at,
                    after: self.bytes_heard,
                    after_end: self.awaits_end,
                });
            }
            (StepKind::End, Part::Node) => self.awaits_end = true,
            // Unless we have ended our side, it was the program that ended it, and may not again.
            (StepKind::Close, Part::Remote) => self.awaits_end |= self.end.is_some(),
            (StepKind::Error, Part::Node) => {}
        }
    }

    fn take_frame(&mut self, frame: &CapturedFrame, part: Part) {
        let ours = match part {
            Part::Node => Direction::Out,
            Part::Remote => Direction::In,
        };
        if frame.direction == ours {
            // What is decoded after the end had come before it.
            let before_end = self.end.as_ref().map(|end| end.after);
            self.lines.push(Line {
                frame: frame.clone(),
                after: before_end.unwrap_or(self.bytes_heard),
            });
        } else {
            self.bytes_heard += frame.bytes.len() as u64;
            self.hears.push(frame.clone());
        }
    }

    /// The frame that should come next wasn't there in time; without one, it's the end.
    pub(super) fn timed_out(&self, heard: &Heard, patience: Duration) -> ReplayError {
        ReplayError::TimedOut {
            patience,
            number: heard.frame,
            came: heard.of_frame,
            missing: self.hears.get(heard.frame).cloned().map(Box::new),
        }
    }

    pub(super) fn report(&self, elapsed: Duration) -> ReplayReport {
        let said = self.lines.iter().map(|line| line.frame.bytes.len() as u64);
        ReplayReport {
            frames_said: self.lines.len(),
            bytes_said: said.sum(),
            frames_heard: self.hears.len(),
            bytes_heard: self.bytes_heard,
            elapsed,
        }
    }
}
