//! How fast do connections and nodes come and go?
//!
//! Over loopback, `LengthDelimitedCodec` at both ends, per second. Contenders: `raw` (a hand-written accept loop
//! with a task per connection; it has no nodes, so the last two cases are without it), `pea2pea`, and `wattle`.
//!
//! Cases:
//!
//! - `connect`: a client connects, sends 16 bytes, and disconnects when the program at the server's side has them;
//!   then the next. A client of pea2pea or wattle is one node all the time.
//! - `connect10`: the same by ten clients at once, in total.
//! - `start`: a node is built, started, and listens on a port of the system's choice.
//! - `shutdown`: of a node that listens and has ten open connections to hand-wired remotes, which close when the
//!   node does; until it resolves.
//! - `shutdown-seen`: the same until all remotes have seen the end as well. (pea2pea's shutdown resolves when it has
//!   told its tasks to end, which close the sockets after that.)
//! - `connect-abort`, `connect10-abort`, `shutdown-abort`: the same, except that wattle aborts its connections.
//!
//! A disconnect is what each has by that name. Raw drops the socket, and so does pea2pea: what isn't written is lost
//! (so a client waits until it was heard), and nobody waits for the remote. wattle's is graceful: it resolves when
//! the other side has closed as well, which is another round trip through all tasks. The same holds for the
//! shutdown. Aborting is what compares with the others; clients may then have two connections for a moment.
//!
//! Whoever closes first keeps the port for a minute. Each turn has listeners of its own, so that a client's port
//! can be used again with another of them, and the number of connections of a turn is far below that of ports.

mod suite;

use std::{future::Future, time::Duration};

use suite::{
    Contender, Suite,
    node::{self, Leave},
    pea, raw,
    visits::{Gone, Visits},
};

/// Of a turn: about a tenth of a second.
const CONNECTIONS: usize = 1000;

/// How many clients there are at once.
const CLIENTS: [usize; 2] = [1, 10];

/// That are started in a turn.
const NODES: usize = 1000;

/// That are shut down in a turn, and the connections that each has.
const CONNECTED_NODES: usize = 100;
const OPEN: usize = 10;

fn main() {
    let mut suite = Suite::begin("churn");
    let leaves = [(Leave::Gracefully, ""), (Leave::AtOnce, "-abort")];
    for (leave, suffix) in leaves {
        for (case, clients) in ["connect", "connect10"].into_iter().zip(CLIENTS) {
            connect(&mut suite, format!("{case}{suffix}"), clients, leave);
        }
    }
    let contenders = [
        rate("pea2pea", NODES, || pea::start_many(NODES)),
        rate("wattle", NODES, || node::start_many(NODES)),
    ];
    suite.compare(&["start".to_owned()], &contenders);
    for (case, gone, leave) in [
        ("shutdown", Gone::Told, Leave::Gracefully),
        ("shutdown-seen", Gone::Seen, Leave::Gracefully),
        ("shutdown-abort", Gone::Told, Leave::AtOnce),
    ] {
        shutdown(&mut suite, case, gone, leave);
    }
    suite.end();
}

fn connect(suite: &mut Suite, case: String, clients: usize, leave: Leave) {
    let each = CONNECTIONS / clients;
    let visits = Visits { clients, each };
    let contenders = [
        rate("raw", visits.total(), move || raw::visit(visits)),
        rate("pea2pea", visits.total(), move || pea::visit(visits)),
        rate("wattle", visits.total(), move || node::visit(visits, leave)),
    ];
    suite.compare(&[case], &contenders);
}

fn shutdown(suite: &mut Suite, case: &str, gone: Gone, leave: Leave) {
    let number = CONNECTED_NODES;
    let contenders = [
        rate("pea2pea", number, move || pea::shutdown(number, OPEN, gone)),
        rate("wattle", number, move || {
            node::shutdown(number, OPEN, gone, leave)
        }),
    ];
    suite.compare(&[case.to_owned()], &contenders);
}

/// So many of them per second.
fn rate<F>(name: &'static str, number: usize, run: impl Fn() -> F + Copy + 'static) -> Contender
where
    F: Future<Output = Duration> + 'static,
{
    Contender::new(name, move || async move {
        vec![number as f64 / run().await.as_secs_f64()]
    })
}
