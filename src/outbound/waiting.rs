//! What callers of the node wait for: room for a message, the end of a connection.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use super::Queue;
use crate::{disconnect::Disconnect, waiters::WaiterId};

/// Queues one message, waiting for room: the future behind [`Node::send_to`](crate::Node::send_to).
/// It has queued the message when it is ready, and not before.
pub(crate) struct Push<'a, Out> {
    queue: &'a Queue<Out>,
    id: WaiterId,
    message: Option<Out>,
}

impl<'a, Out> Push<'a, Out> {
    pub(crate) fn new(queue: &'a Queue<Out>, message: Out) -> Self {
        Self {
            queue,
            id: WaiterId::next(),
            message: Some(message),
        }
    }
}

impl<Out: 'static> Future for Push<'_, Out> {
    type Output = Result<(), Option<Out>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let pushed = ready!(this.queue.poll_push(cx, this.id, &mut this.message));
        Poll::Ready(match pushed {
            Ok(_) => Ok(()),
            Err(()) => Err(this.message.take()),
        })
    }
}

impl<Out> Drop for Push<'_, Out> {
    fn drop(&mut self) {
        self.queue.forget(self.id);
    }
}

/// Waits for the end of a connection: the future behind
/// [`Node::disconnect`](crate::Node::disconnect).
pub(crate) struct Ending<'a, Out> {
    queue: &'a Queue<Out>,
    id: WaiterId,
}

impl<'a, Out> Ending<'a, Out> {
    pub(crate) fn of(queue: &'a Queue<Out>) -> Self {
        let id = WaiterId::next();
        Self { queue, id }
    }
}

impl<Out> Future for Ending<'_, Out> {
    type Output = Disconnect;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Disconnect> {
        self.queue.poll_ended(cx, self.id)
    }
}

impl<Out> Drop for Ending<'_, Out> {
    fn drop(&mut self) {
        self.queue.forget(self.id);
    }
}

// Nothing in it is pinned, whatever `Out` is.
impl<Out> Unpin for Push<'_, Out> {}
