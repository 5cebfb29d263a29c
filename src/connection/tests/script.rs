//! A stream that does what it is told, and remembers what was done to it.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, Waker},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What the test holds; it goes on writing while the stream is played.
#[derive(Clone, Default)]
pub(super) struct Script(Arc<Mutex<State>>);

/// What the connection holds.
pub(super) struct Scripted(Script);

#[derive(Default)]
struct State {
    /// When none is left, reading is pending.
    reads: VecDeque<Read>,
    /// What comes when no reads are left, over and over.
    flood: Option<Vec<u8>>,
    reader: Option<Waker>,
    reads_called: usize,
    read_sizes: Vec<usize>,

    writing: Writing,
    /// What a single write takes at most.
    most_per_write: Option<usize>,
    flush_blocked: bool,
    writer: Option<Waker>,
    writes: Vec<Vec<u8>>,
    flushed: usize,
    shut: bool,
    dropped: bool,
}

enum Read {
    Data(Vec<u8>),
    Eof,
    Error(io::ErrorKind),
}

#[derive(Default)]
enum Writing {
    #[default]
    TakesAll,
    /// This many bytes, and is pending then.
    Takes(usize),
    Fails(io::ErrorKind),
}

impl Script {
    pub(super) fn stream(&self) -> Scripted {
        Scripted(self.clone())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no test has panicked under this lock")
    }

    fn read(&self, read: Read) {
        let mut state = self.state();
        state.reads.push_back(read);
        let waker = state.reader.take();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }

    pub(super) fn data(&self, data: impl AsRef<[u8]>) {
        self.read(Read::Data(data.as_ref().to_vec()));
    }

    pub(super) fn eof(&self) {
        self.read(Read::Eof);
    }

    pub(super) fn read_error(&self, kind: io::ErrorKind) {
        self.read(Read::Error(kind));
    }

    /// From now on there is always something to read.
    pub(super) fn flood(&self, data: impl AsRef<[u8]>) {
        self.state().flood = Some(data.as_ref().to_vec());
    }

    pub(super) fn ebb(&self) {
        self.state().flood = None;
    }

    fn write(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state();
        change(&mut state);
        let waker = state.writer.take();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }

    /// Takes this many bytes, and is pending then.
    pub(super) fn takes(&self, bytes: usize) {
        self.write(|state| state.writing = Writing::Takes(bytes));
    }

    pub(super) fn takes_all(&self) {
        self.write(|state| state.writing = Writing::TakesAll);
    }

    pub(super) fn takes_at_once(&self, bytes: usize) {
        self.write(|state| state.most_per_write = Some(bytes));
    }

    pub(super) fn fails_writes(&self, kind: io::ErrorKind) {
        self.write(|state| state.writing = Writing::Fails(kind));
    }

    /// Whether flushing is pending, as it is of a stream with a buffer of its own.
    pub(super) fn block_flush(&self, blocked: bool) {
        self.write(|state| state.flush_blocked = blocked);
    }

    pub(super) fn reads_called(&self) -> usize {
        self.state().reads_called
    }

    /// The sizes of the reads so far that had something.
    pub(super) fn read_sizes(&self) -> Vec<usize> {
        self.state().read_sizes.clone()
    }

    /// Whether something is left to be read.
    pub(super) fn has_more(&self) -> bool {
        !self.state().reads.is_empty()
    }

    /// The sizes of the writes so far.
    pub(super) fn write_sizes(&self) -> Vec<usize> {
        self.state().writes.iter().map(Vec::len).collect()
    }

    /// All that was written so far.
    pub(super) fn written(&self) -> String {
        String::from_utf8_lossy(&self.state().writes.concat()).into_owned()
    }

    /// How many bytes had been written when the stream was last flushed.
    pub(super) fn flushed(&self) -> usize {
        self.state().flushed
    }

    pub(super) fn is_shut(&self) -> bool {
        self.state().shut
    }

    pub(super) fn is_dropped(&self) -> bool {
        self.state().dropped
    }
}

impl AsyncRead for Scripted {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut state = self.0.state();
        state.reads_called += 1;
        let next = match (state.reads.pop_front(), &state.flood) {
            (Some(read), _) => read,
            (None, Some(flood)) => Read::Data(flood.clone()),
            (None, None) => {
                state.reader = Some(cx.waker().clone());
                return Poll::Pending;
            }
        };
        Poll::Ready(match next {
            Read::Data(mut data) => {
                let rest = data.split_off(data.len().min(buf.remaining()));
                buf.put_slice(&data);
                state.read_sizes.push(data.len());
                if !rest.is_empty() && state.flood.is_none() {
                    state.reads.push_front(Read::Data(rest));
                }
                Ok(())
            }
            Read::Eof => Ok(()),
            Read::Error(kind) => Err(kind.into()),
        })
    }
}

impl AsyncWrite for Scripted {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.0.state();
        let room = match state.writing {
            Writing::TakesAll => usize::MAX,
            Writing::Takes(0) => {
                state.writer = Some(cx.waker().clone());
                return Poll::Pending;
            }
            Writing::Takes(room) => room,
            Writing::Fails(kind) => return Poll::Ready(Err(kind.into())),
        };
        let n = buf.len().min(room);
        let n = state.most_per_write.map_or(n, |most| n.min(most));
        if let Writing::Takes(room) = &mut state.writing {
            *room -= n;
        }
        state.writes.push(buf[..n].to_vec());
        Poll::Ready(Ok(n))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.0.state();
        if state.flush_blocked {
            state.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        state.flushed = state.writes.iter().map(Vec::len).sum();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.state().shut = true;
        Poll::Ready(Ok(()))
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.0.state().dropped = true;
    }
}
