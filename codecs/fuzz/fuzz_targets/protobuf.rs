#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use wattle_codecs::Protobuf;
use wattle_codecs_fuzz::{MOST, messages};

#[derive(Clone, PartialEq, prost::Message)]
struct Message {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(string, tag = "2")]
    text: String,
    #[prost(sint32, repeated, tag = "3")]
    numbers: Vec<i32>,
    #[prost(message, repeated, tag = "4")]
    inner: Vec<Message>,
    #[prost(btree_map = "bool, double", tag = "5")]
    map: BTreeMap<bool, f64>,
}

fuzz_target!(|data: &[u8]| messages(|| Protobuf::delimited::<Message>(MOST), data));
