//! The hand-over between tasks, under every interleaving that `loom` finds: nothing is lost, the order
//! is kept, and whoever waits is woken. (A lost wake-up shows as a deadlock.) Run it with
//! `RUSTFLAGS="--cfg wattle_loom" cargo test --lib --release model`.

use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    sync::Arc,
    task::{Context, Poll, Waker},
};

use loom::{future::block_on, model::Builder, thread};

use crate::{
    Disconnect, Event, Inbound, Limits, Peer, Reason, Side,
    admission::Gate,
    config::{Bounds, WhenFull},
    inbound::{Ender, Hub, Producer},
    outbound::{Done, Offered, Order, Push, Pushed, Queue},
    waiters::WaiterId,
};

/// How often a thread is interrupted where it need not be. Nearly all races show at two; three
/// threads at three would take minutes.
fn check(threads: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(if threads < 3 { 3 } else { 2 });
    builder.max_branches = 10_000;
    builder.check(model);
}

fn peer() -> Peer {
    Peer::next(([127, 0, 0, 1], 1).into(), Side::Dialer)
}

fn room_for(messages: usize) -> Bounds {
    Bounds {
        messages,
        bytes: usize::MAX,
    }
}

fn disconnect() -> Disconnect {
    Disconnect::local(Reason::Disconnected)
}

/// The inbound half of a connection task: waits for room, hands over batch by batch, ends.
fn produce(mut producer: Producer<u32>, ender: Ender<u32>, batches: &[&[u32]]) {
    for batch in batches {
        block_on(poll_fn(|cx| producer.poll_room(cx)));
        batch.iter().for_each(|n| producer.push(*n));
        producer.hand_over(batch.len());
    }
    drop(producer);
    ender.end(disconnect(), None);
}

fn inbound(hub: &Arc<Hub<u32>>) -> Inbound<u32> {
    Inbound::new(hub.clone(), Arc::new(()))
}

/// The events until the end, as the messages and the number of connections that began and ended.
fn consume(inbound: Inbound<u32>) -> (Vec<u32>, usize, usize) {
    let mut events = inbound.into_events();
    let (mut messages, mut began, mut ended) = (Vec::new(), 0, 0);
    while let Some(event) = block_on(events.recv()) {
        match event {
            Event::Connected(_) => began += 1,
            Event::Message(message, _) => messages.push(message),
            Event::Disconnected(..) => ended += 1,
            other => panic!("{other:?}"),
        }
    }
    (messages, began, ended)
}

#[test]
fn all_that_is_handed_over_arrives_in_order() {
    check(2, || {
        let hub = Hub::new();
        let (producer, ender) = hub.open(peer(), room_for(9), None).unwrap();
        hub.stop_accepting();
        let task = thread::spawn(move || {
            producer.announce();
            produce(producer, ender, &[&[1], &[2, 3]]);
        });
        assert_eq!(consume(inbound(&hub)), (vec![1, 2, 3], 1, 1));
        task.join().unwrap();
    });
}

#[test]
fn a_producer_that_waits_for_room_is_woken_by_the_consumer() {
    check(2, || {
        let hub = Hub::new();
        let (producer, ender) = hub.open(peer(), room_for(1), None).unwrap();
        hub.stop_accepting();
        let task = thread::spawn(move || produce(producer, ender, &[&[1], &[2], &[3]]));
        assert_eq!(consume(inbound(&hub)), (vec![1, 2, 3], 0, 1));
        task.join().unwrap();
    });
}

#[test]
fn a_producer_that_waits_for_room_is_woken_when_the_reader_goes() {
    check(2, || {
        let hub = Hub::new();
        let (producer, ender) = hub.open(peer(), room_for(1), None).unwrap();
        let mut inbound = inbound(&hub);
        let task = thread::spawn(move || produce(producer, ender, &[&[1], &[2], &[3]]));
        assert_eq!(block_on(inbound.recv()).map(|(n, _)| n), Some(1));
        drop(inbound);
        task.join().unwrap();
    });
}

#[test]
fn a_reader_that_goes_at_any_time_holds_up_nobody() {
    check(2, || {
        let hub = Hub::new();
        let (producer, ender) = hub.open(peer(), room_for(1), None).unwrap();
        let inbound = inbound(&hub);
        let task = thread::spawn(move || produce(producer, ender, &[&[1], &[2]]));
        drop(inbound);
        task.join().unwrap();
    });
}

#[test]
fn two_producers_share_the_ready_list() {
    check(3, || {
        let hub = Hub::new();
        let tasks = [[1, 2], [11, 12]].map(|batch| {
            let (producer, ender) = hub.open(peer(), room_for(1), None).unwrap();
            thread::spawn(move || produce(producer, ender, &[&batch]))
        });
        hub.stop_accepting();
        let (messages, _, ended) = consume(inbound(&hub));
        let of = |first: u32| {
            let of = messages.iter().copied();
            of.filter(move |n| n / 10 == first).collect::<Vec<_>>()
        };
        assert_eq!((of(0), of(1), ended), (vec![1, 2], vec![11, 12], 2));
        for task in tasks {
            task.join().unwrap();
        }
    });
}

#[test]
fn the_consumer_sees_the_end_whoever_comes_last() {
    check(3, || {
        let hub = Hub::new();
        let (producer, ender) = hub.open(peer(), room_for(1), None).unwrap();
        let (_, never_announced) = hub.open(peer(), room_for(1), None).unwrap();
        let inbound = inbound(&hub);
        let task = thread::spawn(move || produce(producer, ender, &[&[1]]));
        let stopper = thread::spawn(move || {
            drop(never_announced);
            hub.stop_accepting();
        });
        assert_eq!(consume(inbound), (vec![1], 0, 1));
        task.join().unwrap();
        stopper.join().unwrap();
    });
}

fn room_for_one() -> Gate {
    let mut limits = Limits::default();
    limits.max_connections = 1;
    Gate::new(limits)
}

#[test]
fn who_is_told_of_the_end_finds_the_room_that_messages_kept() {
    check(2, || {
        let (hub, gate) = (Hub::new(), room_for_one());
        let permit = gate.admit_own().unwrap();
        let (mut producer, ender) = hub.open(peer(), room_for(9), None).unwrap();
        hub.stop_accepting();
        let task = thread::spawn(move || {
            producer.announce();
            producer.push(1);
            drop(producer);
            ender.end(disconnect(), Some(permit));
        });
        let mut events = inbound(&hub).into_events();
        let mut ended = 0;
        while let Some(event) = block_on(events.recv()) {
            if matches!(event, Event::Disconnected(..)) {
                assert!(gate.admit_own().is_ok(), "told of the end, and no room");
                ended += 1;
            }
        }
        assert_eq!(ended, 1);
        task.join().unwrap();
    });
}

#[test]
fn a_reader_that_goes_at_any_time_takes_no_room_with_it() {
    check(2, || {
        let (hub, gate) = (Hub::new(), room_for_one());
        let permit = gate.admit_own().unwrap();
        let (mut producer, ender) = hub.open(peer(), room_for(9), None).unwrap();
        let inbound = inbound(&hub);
        let task = thread::spawn(move || {
            producer.push(1);
            drop(producer);
            ender.end(disconnect(), Some(permit));
        });
        drop(inbound);
        task.join().unwrap();
        assert!(gate.admit_own().is_ok());
    });
}

/// In a model, the second story makes the first one forgotten.
#[test]
fn a_story_is_told_as_a_whole_or_not_at_all() {
    check(2, || {
        let hub = Hub::new();
        let connections = [(); 2].map(|()| hub.open(peer(), room_for(1), None).unwrap());
        hub.stop_accepting();
        let task = thread::spawn(move || {
            for (producer, ender) in connections {
                producer.announce();
                produce(producer, ender, &[]);
            }
        });
        let (_, began, ended) = consume(inbound(&hub));
        assert_eq!(began, ended);
        assert!((1..=2).contains(&ended), "{ended} of 2");
        task.join().unwrap();
    });
}

#[test]
fn a_notice_wakes_the_consumer() {
    check(2, || {
        let hub = Hub::new();
        let mut events = Inbound::<u32>::new(hub.clone(), Arc::new(())).into_events();
        let notifier = thread::spawn(move || hub.notify(Event::Undelivered(peer(), 1)));
        let event = block_on(events.recv());
        assert!(matches!(event, Some(Event::Undelivered(_, 1))));
        notifier.join().unwrap();
    });
}

/// The outbound half of a connection task.
struct Task {
    queue: Arc<Queue<u32>>,
    batch: VecDeque<u32>,
    taken: Vec<u32>,
    skipped: u64,
}

impl Task {
    fn new(queue: &Arc<Queue<u32>>) -> Self {
        Self {
            queue: queue.clone(),
            batch: VecDeque::new(),
            taken: Vec::new(),
            skipped: 0,
        }
    }

    fn done(&self) -> Done {
        Done {
            written: self.taken.len() as u64 + self.skipped,
            skipped: self.skipped,
            weight: None,
        }
    }

    /// Takes all there is, "writes" it, and parks; ready when told to abort or when it has `enough`.
    fn poll(&mut self, cx: &mut Context<'_>, enough: usize) -> Poll<()> {
        self.queue.register(cx.waker());
        loop {
            if self.queue.ordered() == Some(Order::Abort) {
                return Poll::Ready(());
            }
            let done = self.done();
            if let Some(skipped) = self.queue.take(&mut self.batch, done) {
                self.skipped += skipped;
                self.taken.extend(self.batch.drain(..));
            } else if self.taken.len() >= enough {
                return Poll::Ready(());
            } else if self.queue.park(&mut self.batch, done) {
                return Poll::Pending;
            }
        }
    }

    fn run(&mut self, enough: usize) {
        block_on(poll_fn(|cx| self.poll(cx, enough)));
    }
}

fn queue(room: usize) -> Arc<Queue<u32>> {
    Arc::new(Queue::new(peer(), room_for(room), Arc::default()))
}

#[test]
fn a_push_wakes_a_task_that_parks() {
    check(2, || {
        let queue = queue(9);
        let mut task = Task::new(&queue);
        let sender = thread::spawn(move || {
            for n in [1, 2] {
                assert!(matches!(queue.push(n), Pushed::Queued(_)));
            }
        });
        task.run(2);
        assert_eq!(task.taken, [1, 2]);
        sender.join().unwrap();
    });
}

#[test]
fn the_oldest_give_way_while_the_task_takes_and_the_books_are_exact() {
    check(2, || {
        let queue = queue(1);
        let mut task = Task::new(&queue);
        let other = queue.clone();
        let sender = thread::spawn(move || {
            for n in [1, 2, 3] {
                match other.offer(n, WhenFull::DropOldest) {
                    Offered::Queued(seq) => assert_eq!(seq, u64::from(n)),
                    _ => panic!("there is always room"),
                }
            }
        });
        // The last one is never dropped.
        block_on(poll_fn(|cx| match task.poll(cx, usize::MAX) {
            Poll::Pending if task.taken.last() == Some(&3) => Poll::Ready(()),
            poll => poll,
        }));
        sender.join().unwrap();
        let dropped = queue.take_dropped();
        assert_eq!(task.taken.len() as u64 + dropped, 3, "{:?}", task.taken);
        assert!(task.taken.is_sorted());
        assert_eq!(task.skipped, dropped);
        assert!(queue.is_settled(3));
        assert_eq!(queue.abandon().1, 0);
    });
}

#[test]
fn a_task_that_waits_is_woken_to_report_what_was_dropped() {
    check(2, || {
        let queue = queue(1);
        assert!(matches!(queue.push(0), Pushed::Queued(1)));
        let other = queue.clone();
        let sender = thread::spawn(move || {
            for n in [1, 2] {
                let offered = other.offer(n, WhenFull::DropNewest);
                assert!(matches!(offered, Offered::Dropped(_)));
            }
        });
        let mut reported = 0;
        block_on(poll_fn(|cx| {
            queue.register(cx.waker());
            reported += queue.take_dropped();
            match reported {
                2 => Poll::Ready(()),
                _ => Poll::Pending,
            }
        }));
        sender.join().unwrap();
        assert_eq!(queue.take_dropped(), 0);
    });
}

#[test]
fn what_is_dropped_while_the_queue_ends_is_left_for_the_last_report() {
    check(2, || {
        let queue = queue(1);
        assert!(matches!(queue.push(0), Pushed::Queued(1)));
        let other = queue.clone();
        let sender = thread::spawn(move || {
            let offers = [1, 2].map(|n| other.offer(n, WhenFull::DropNewest));
            let dropped = offers.iter().filter(|o| matches!(o, Offered::Dropped(_)));
            dropped.count() as u64
        });
        let mut reported = queue.take_dropped();
        queue.abandon();
        reported += queue.take_dropped();
        assert_eq!(sender.join().unwrap(), reported);
    });
}

#[test]
fn a_message_that_overflows_a_queue_is_counted_unless_the_end_had_begun() {
    check(2, || {
        let queue = queue(1);
        assert!(matches!(queue.push(0), Pushed::Queued(1)));
        let other = queue.clone();
        let sender = thread::spawn(move || match other.offer(1, WhenFull::Disconnect) {
            Offered::Dropped(1) => true,
            Offered::Closed(1) => false,
            _ => panic!("there is no room"),
        });
        let (_, undelivered) = queue.abandon();
        let overflowed = sender.join().unwrap();
        assert_eq!(undelivered, 1 + u64::from(overflowed));
        assert_eq!(queue.ordered(), overflowed.then_some(Order::Overflow));
    });
}

#[test]
fn senders_that_wait_for_room_are_all_woken() {
    check(3, || {
        let queue = queue(1);
        let mut task = Task::new(&queue);
        let senders = [1, 2].map(|n| {
            let queue = queue.clone();
            thread::spawn(move || assert_eq!(block_on(Push::new(&queue, n)), Ok(())))
        });
        task.run(2);
        for sender in senders {
            sender.join().unwrap();
        }
        task.taken.sort_unstable();
        assert_eq!(task.taken, [1, 2]);
    });
}

#[test]
fn a_sender_that_gives_up_takes_nobodys_wake_with_it() {
    check(3, || {
        let queue = queue(1);
        assert!(matches!(queue.push(1), Pushed::Queued(1)));
        let (fickle, steady) = (queue.clone(), queue.clone());
        let fickle = thread::spawn(move || {
            let mut cx = Context::from_waker(Waker::noop());
            let mut push = Box::pin(Push::new(&fickle, 3));
            let queued = usize::from(push.as_mut().poll(&mut cx).is_ready());
            drop(push);
            queued
        });
        let steady = thread::spawn(move || block_on(Push::new(&steady, 2)));
        let mut task = Task::new(&queue);
        task.run(2);
        let queued = 2 + fickle.join().unwrap();
        task.run(queued);
        assert_eq!(steady.join().unwrap(), Ok(()));
        task.taken.sort_unstable();
        assert_eq!(task.taken, [1, 2, 3][..queued]);
    });
}

#[test]
fn a_sender_gets_its_message_back_when_the_queue_closes() {
    check(2, || {
        let queue = queue(1);
        assert!(matches!(queue.push(0), Pushed::Queued(1)));
        let waiting = queue.clone();
        let sender = thread::spawn(move || block_on(Push::new(&waiting, 1)));
        queue.close();
        assert_eq!(sender.join().unwrap(), Err(Some(1)));
        let (unsent, undelivered) = queue.abandon();
        assert_eq!((unsent, undelivered), (VecDeque::from([0]), 1));
    });
}

#[test]
fn an_order_reaches_a_task_that_registers_or_parks() {
    check(2, || {
        let queue = queue(1);
        let mut task = Task::new(&queue);
        let caller = thread::spawn(move || queue.order(Order::Abort));
        task.run(1);
        caller.join().unwrap();
    });
}

#[test]
fn an_order_reaches_a_task_that_moves_to_another_waker() {
    check(2, || {
        let queue = queue(1);
        let mut task = Task::new(&queue);
        let caller = thread::spawn(move || queue.order(Order::Abort));
        // Polled once under a waker that nobody listens to any more.
        let mut cx = Context::from_waker(Waker::noop());
        let _polled = task.poll(&mut cx, 1);
        task.run(1);
        caller.join().unwrap();
    });
}

#[test]
fn a_flush_and_a_wait_for_the_end_are_both_woken() {
    check(3, || {
        let queue = queue(9);
        assert!(matches!(queue.push(1), Pushed::Queued(1)));
        let mut task = Task::new(&queue);
        let flushing = queue.clone();
        let flush = thread::spawn(move || {
            let id = WaiterId::next();
            let written = block_on(poll_fn(|cx| flushing.poll_written(cx, id, 1)));
            let never = block_on(poll_fn(|cx| flushing.poll_written(cx, id, 2)));
            assert_eq!((written, never), (Ok(()), Err(())));
        });
        let end = thread::spawn(move || {
            task.run(1);
            let queue = task.queue.clone();
            queue.publish(task.done());
            assert_eq!(queue.abandon().1, 0);
            queue.end(disconnect());
        });
        let ended = block_on(poll_fn(|cx| queue.poll_ended(cx, WaiterId::next())));
        assert!(matches!(ended.reason, Reason::Disconnected));
        flush.join().unwrap();
        end.join().unwrap();
    });
}
