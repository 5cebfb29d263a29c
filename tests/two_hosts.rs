//! Two hosts with a cable between them: what a node does when the cable is pulled, when the other
//! host vanishes, and when the way is long and lossy.
//!
//! The hosts are network namespaces, so this takes Linux, the right to make some, and `ip`. The clock is
//! the kernel's own, so these tests can't pause it: the timeouts that they wait for are short, and the
//! upper bounds are there to tell a hang.
#![cfg(target_os = "linux")]

#[path = "two_hosts/cable.rs"]
mod cable;
mod common;
#[path = "two_hosts/dialling.rs"]
mod dialling;
#[path = "two_hosts/far.rs"]
mod far;
#[path = "two_hosts/hosts.rs"]
mod hosts;
#[path = "two_hosts/transfer.rs"]
mod transfer;
#[path = "two_hosts/vanishing.rs"]
mod vanishing;
#[path = "two_hosts/wire.rs"]
mod wire;
