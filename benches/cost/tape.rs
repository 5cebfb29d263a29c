//! What stands for a socket, without an operating system: it gives prepared frames, and swallows what is
//! written.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    task::coop,
};
use tokio_util::codec::{Encoder, LengthDelimitedCodec};

use super::{
    Case,
    marks::{marked_read, marked_write},
};

/// How many frames are prepared: more than a read takes of the smallest, so that it copies in one piece.
const PREPARED: usize = 8192;

pub(crate) struct Tape {
    frames: BytesMut,
    /// Of a frame, in bytes.
    length: usize,
    /// Where the next read begins.
    at: usize,
    /// Bytes that are to be read; then there is silence.
    left: usize,
    /// Whether a read gives no more than a frame, and there is nothing more until it was looked for.
    alone: bool,
    /// Whether to say so.
    dry: bool,
}

impl Tape {
    /// Gives so many messages.
    pub(crate) fn giving(case: Case, messages: usize) -> Self {
        let (mut codec, mut frames) = (LengthDelimitedCodec::new(), BytesMut::new());
        let payload = payload(case);
        for _ in 0..PREPARED {
            let encoded = codec.encode(payload.clone(), &mut frames);
            encoded.expect("a frame of a usual size");
        }
        let length = frames.len() / PREPARED;
        Self {
            frames,
            length,
            at: 0,
            left: messages * length,
            alone: case.alone,
            dry: false,
        }
    }

    /// Gives nothing.
    pub(crate) fn silent(case: Case) -> Self {
        Self::giving(case, 0)
    }

    /// As much as there is room for, as a socket does that is never empty.
    pub(crate) fn read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<()> {
        // As tokio's sockets do.
        let turn = ready!(coop::poll_proceed(cx));
        if self.left == 0 {
            return Poll::Pending;
        }
        if self.alone {
            self.dry = !self.dry;
            if !self.dry {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
        let most = if self.alone { self.length } else { usize::MAX };
        let mut wanted = most.min(buf.remaining()).min(self.left);
        self.left -= wanted;
        while wanted > 0 {
            let piece = wanted.min(self.frames.len() - self.at);
            buf.put_slice(&self.frames[self.at..][..piece]);
            self.at = (self.at + piece) % self.frames.len();
            wanted -= piece;
        }
        turn.made_progress();
        Poll::Ready(())
    }

    pub(crate) fn write(&mut self, cx: &mut Context<'_>, bytes: usize) -> Poll<usize> {
        let turn = ready!(coop::poll_proceed(cx));
        turn.made_progress();
        Poll::Ready(bytes)
    }
}

impl AsyncRead for Tape {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        marked_read(&mut self, cx, buf).map(Ok)
    }
}

impl AsyncWrite for Tape {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        marked_write(&mut self, cx, buf.len()).map(Ok)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let bytes = bufs.iter().map(|buf| buf.len()).sum();
        marked_write(&mut self, cx, bytes).map(Ok)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

pub(crate) fn payload(case: Case) -> Bytes {
    Bytes::from(vec![0x5a; case.size])
}
