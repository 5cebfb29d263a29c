//! What one connection has for the consumer.

use std::{
    collections::VecDeque,
    mem,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::Waker,
};

use crate::{
    admission::Permit,
    budget::{Budget, Share},
    config::Bounds,
    disconnect::Disconnect,
    peer::Peer,
    sync::{AtomicBool, Mutex},
    waiters::wake,
};

/// Between the task of a connection and the reader.
pub(super) struct Inbox<In> {
    pub(super) peer: Peer,
    pub(super) content: Mutex<Content<In>>,
    /// Nothing is in it, and nothing will be.
    forgotten: AtomicBool,
}

pub(super) struct Content<In> {
    pub(super) batch: Batch<In>,
    pub(super) bytes: usize,
    /// The part of the node's memory budget that this is.
    pub(super) share: Share,
    /// The producer, when it waits for room.
    pub(super) blocked: Option<Waker>,
    /// The room of a connection that has ended, and whose messages still wait. Boxed, as few have it.
    permit: Option<Box<Permit>>,
    listed: bool,
}

/// The content of an inbox.
pub(super) struct Batch<In> {
    pub(super) connected: bool,
    pub(super) messages: VecDeque<In>,
    pub(super) read_closed: bool,
    /// Outbound messages that were dropped.
    pub(super) dropped: u64,
    /// Boxed, as every idle connection has room for it.
    pub(super) ended: Option<Box<Disconnect>>,
}

impl<In> Default for Batch<In> {
    fn default() -> Self {
        Self {
            connected: false,
            messages: VecDeque::new(),
            read_closed: false,
            dropped: 0,
            ended: None,
        }
    }
}

impl<In> Batch<In> {
    /// Whether it is all that there ever was of a connection, from beginning to end, and no message.
    fn is_bare_story(&self) -> bool {
        self.connected && self.ended.is_some() && self.messages.is_empty()
    }
}

impl<In> Content<In> {
    /// When it is empty, there is room in any case.
    pub(super) fn has_room(&self, bounds: Bounds) -> bool {
        let messages = self.batch.messages.len();
        bounds.admit(messages, self.bytes) && (messages == 0 || self.share.has_room())
    }
}

impl<In> Inbox<In> {
    pub(super) fn new(peer: Peer, budget: Option<Arc<Budget>>) -> Self {
        Self {
            peer,
            content: Mutex::new(Content {
                batch: Batch::default(),
                bytes: 0,
                share: Share::of(budget),
                blocked: None,
                permit: None,
                listed: false,
            }),
            forgotten: AtomicBool::new(false),
        }
    }

    /// Changes the content, and says whether the inbox has to be listed now.
    pub(super) fn change<R>(&self, change: impl FnOnce(&mut Content<In>) -> R) -> (R, bool) {
        let mut content = self.content.lock();
        let result = change(&mut content);
        (result, !mem::replace(&mut content.listed, true))
    }

    /// Takes the whole content, and lets the producer go on, and the room be used again.
    pub(super) fn take(&self) -> Batch<In> {
        let mut content = self.content.lock();
        let batch = mem::take(&mut content.batch);
        let bytes = mem::take(&mut content.bytes);
        content.share.give_back(bytes);
        content.listed = false;
        let (producer, permit) = (content.blocked.take(), content.permit.take());
        drop(content);
        drop(permit);
        wake(producer);
        batch
    }

    /// What happens to content that nobody reads.
    pub(super) fn discard(&self) {
        drop(self.take());
    }

    /// Keeps the room of a connection as long as messages of it wait; gives it back if none does.
    pub(super) fn keep(&self, permit: Permit) -> Option<Permit> {
        let mut content = self.content.lock();
        match content.batch.messages.is_empty() {
            true => Some(permit),
            false => content
                .permit
                .replace(Box::new(permit))
                .map(|earlier| *earlier),
        }
    }

    /// Whether all that there ever was of a connection waits here, and that is no message.
    pub(super) fn has_bare_story(&self) -> bool {
        self.content.lock().batch.is_bare_story()
    }

    /// Takes the story of a connection that nobody has heard the beginning of, if it is without
    /// messages. The inbox stays listed until it is taken or removed.
    pub(super) fn forget(&self) -> Option<Batch<In>> {
        let mut content = self.content.lock();
        let story = content
            .batch
            .is_bare_story()
            .then(|| mem::take(&mut content.batch))?;
        self.forgotten.store(true, Relaxed);
        Some(story)
    }

    pub(super) fn is_forgotten(&self) -> bool {
        self.forgotten.load(Relaxed)
    }
}
