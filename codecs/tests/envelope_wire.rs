//! Frames behind a header of several fields, as real protocols have them: what is on the wire, and
//! what is in the buffer meanwhile.

mod envelope;

use bytes::{Bytes, BytesMut};
use envelope::{Sha256d, VERACK, bitcoin, item, plain, trailed};
use tokio_util::codec::{Decoder, Encoder};
use wattle_codecs::{Checksum, Crc32, Envelope, Enveloped, Layout, Length};

/// These items are these bytes in both directions, however these are split.
#[track_caller]
fn on_the_wire<const N: usize, K: Checksum>(
    codec: &Envelope<N, K>,
    items: &[Enveloped<N>],
    wire: &[u8],
) {
    let mut written = BytesMut::from("before");
    for item in items {
        codec.clone().encode(item.clone(), &mut written).unwrap();
    }
    assert_eq!(Bytes::from(written).slice(6..), wire);
    for step in 1..=wire.len() {
        let mut codec = codec.clone();
        let (mut src, mut decoded) = (BytesMut::new(), Vec::new());
        for piece in wire.chunks(step) {
            src.extend_from_slice(piece);
            while let Some(item) = codec.decode(&mut src).unwrap() {
                decoded.push(item);
            }
        }
        assert_eq!(decoded, items, "{step} bytes at a time");
        assert!(src.is_empty());
        assert!(codec.decode_eof(&mut src).unwrap().is_none());
    }
}

#[test]
fn bitcoins_verack_is_the_well_known_one() {
    on_the_wire(&bitcoin(), &[item(b"verack\0\0\0\0\0\0", "")], VERACK);
}

#[test]
fn bitcoins_ping_and_verack_in_one_stream() {
    let nonce = [1, 2, 3, 4, 5, 6, 7, 8];
    let mut wire = b"\xf9\xbe\xb4\xd9ping\0\0\0\0\0\0\0\0\x08\0\0\0".to_vec();
    wire.extend(Sha256d::of(&nonce));
    wire.extend(nonce);
    wire.extend(VERACK);
    let ping = item(b"ping\0\0\0\0\0\0\0\0", nonce.to_vec());
    on_the_wire(&bitcoin(), &[ping, item(b"verack\0\0\0\0\0\0", "")], &wire);
}

#[test]
fn http2s_length_is_of_the_payload_alone() {
    // RFC 9113, section 6.5 and 6.7: SETTINGS, empty; PING of eight bytes.
    let http2 = Layout::new().length(Length::U24).opaque(6);
    let items = [
        item(&[4, 0, 0, 0, 0, 0], ""),
        item(&[6, 0, 0, 0, 0, 0], "12345678"),
    ];
    let wire = b"\0\0\0\x04\0\0\0\0\0\0\0\x08\x06\0\0\0\0\x0012345678";
    on_the_wire(&plain(http2, 16_384), &items, wire);
}

#[test]
fn kafkas_length_counts_the_header_behind_it() {
    // ApiVersions (18), version 0, correlation 7; the client's name is null.
    let kafka = Layout::new().length(Length::U32).opaque(8).counting(8);
    let items = [item(&[0, 18, 0, 0, 0, 0, 0, 7], &b"\xff\xff"[..])];
    on_the_wire(
        &plain(kafka, 100),
        &items,
        b"\0\0\0\x0a\0\x12\0\0\0\0\0\x07\xff\xff",
    );
}

#[test]
fn dns_over_tcp_has_the_length_first_and_counts_the_id_behind_it() {
    let dns = Layout::new().length(Length::U16).opaque(2).counting(2);
    on_the_wire(
        &plain(dns, 100),
        &[item(&[0xab, 0xcd], "question")],
        b"\0\x0a\xab\xcdquestion",
    );
}

#[test]
fn postgresqls_length_counts_itself_but_not_the_type() {
    let postgres = Layout::new().opaque(1).length(Length::U32).counting(4);
    let items = [item(b"Q", &b"SELECT 1\0"[..]), item(b"X", "")];
    on_the_wire(
        &plain(postgres, 100),
        &items,
        b"Q\0\0\0\x0dSELECT 1\0X\0\0\0\x04",
    );
}

#[test]
fn tpkts_length_counts_all_of_the_frame() {
    let tpkt = Layout::new().magic([3, 0]).length(Length::U16).inclusive();
    on_the_wire(&plain(tpkt, 100), &[item(&[], "abc")], b"\x03\0\0\x07abc");
}

#[test]
fn the_length_may_stand_between_two_opaque_fields() {
    // RTMP, section 5.3.1.2.2, a chunk of type 1: stream, timestamp, length, type.
    let rtmp = Layout::new()
        .magic([0x43])
        .opaque(3)
        .length(Length::U24)
        .opaque(1);
    let items = [item(&[0, 0, 9, 20], "abc"), item(&[0, 1, 0, 8], "")];
    on_the_wire(
        &plain(rtmp, 100),
        &items,
        b"C\0\0\x09\0\0\x03\x14abcC\0\x01\0\0\0\0\x08",
    );
}

#[test]
fn a_magic_may_stand_behind_the_length_and_there_may_be_two() {
    let layout = Layout::new()
        .magic("<")
        .length(Length::U8)
        .magic(":")
        .opaque(1);
    on_the_wire(
        &plain(layout, 9),
        &[item(b"x", "ab"), item(b"y", "")],
        b"<\x02:xab<\0:y",
    );
}

#[test]
fn a_header_may_be_of_any_size() {
    for size in 0..100 {
        let magic = vec![b'm'; size];
        let layout = Layout::new()
            .opaque(1)
            .magic(&magic)
            .length(Length::U16)
            .opaque(2);
        let mut wire = Vec::new();
        for payload in ["xyz", ""] {
            wire.push(b'a');
            wire.extend(&magic);
            wire.extend([0, payload.len() as u8]);
            wire.extend(b"bc");
            wire.extend(payload.as_bytes());
        }
        on_the_wire(
            &plain(layout, 9),
            &[item(b"abc", "xyz"), item(b"abc", "")],
            &wire,
        );
    }
}

#[test]
fn a_varint_moves_the_fields_behind_it() {
    let layout = Layout::new().opaque(1).length(Length::Varint).checksum();
    let codec = Envelope::<1, Crc32>::new(layout, 1000).unwrap();
    let long = Bytes::from(vec![b'x'; 300]);
    let mut wire = b"s\x01".to_vec();
    wire.extend(Crc32::of(b"a"));
    wire.extend(b"al\xac\x02");
    wire.extend(Crc32::of(&long));
    wire.extend(&long);
    on_the_wire(&codec, &[item(b"s", "a"), item(b"l", long)], &wire);
}

#[test]
fn an_inclusive_varint_counts_itself_and_the_rest() {
    let layout = Layout::new()
        .magic("mm")
        .length(Length::Varint)
        .opaque(1)
        .trailer()
        .inclusive();
    let codec = Envelope::<1, Crc32>::new(layout, 1000).unwrap();
    // 119 + 2 + 1 + 4 + 1 = 127; one more, and the length is of two bytes.
    for (payload, length) in [
        (119, &[127][..]),
        (120, &[0x81, 0x01]),
        (121, &[0x82, 0x01]),
    ] {
        let payload = Bytes::from(vec![b'x'; payload]);
        let mut wire = b"mm".to_vec();
        wire.extend(length);
        wire.push(b'o');
        wire.extend(&payload);
        wire.extend(Crc32::of(&wire));
        on_the_wire(&codec, &[item(b"o", payload)], &wire);
    }
}

#[test]
fn a_trailer_is_the_checksum_of_header_and_payload() {
    let mut wire = b"\xaa\x07\0\x03abc".to_vec();
    wire.extend(Crc32::of(&wire));
    let second = wire.len();
    wire.extend(b"\xaa\x08\0\0");
    wire.extend(Crc32::of(&wire[second..]));
    on_the_wire(&trailed(), &[item(&[7], "abc"), item(&[8], "")], &wire);
}

#[test]
fn an_inclusive_length_counts_the_trailer_too() {
    let layout = Layout::new().length(Length::U8).trailer().inclusive();
    let codec = Envelope::<0, Crc32>::new(layout, 100).unwrap();
    let mut wire = b"\x08abc".to_vec();
    wire.extend(Crc32::of(&wire));
    on_the_wire(&codec, &[item(&[], "abc")], &wire);
}

#[test]
fn room_for_a_large_frame_is_made_as_it_comes() {
    let mut src = BytesMut::from(&b"\xf9\xbe\xb4\xd9block\0\0\0\0\0\0\0\0\x09\x3d\0sum!"[..]);
    assert!(bitcoin().decode(&mut src).unwrap().is_none());
    assert!(
        (64 * 1024..65 * 1024).contains(&src.capacity()),
        "{}",
        src.capacity()
    );
}

#[test]
fn a_begun_frame_and_what_is_behind_it_stay_in_the_buffer() {
    let mut codec = trailed();
    let mut src = BytesMut::from(&b"\xaa\x07\0\x03abc\0\0\0"[..]);
    let before = src.clone();
    assert!(codec.decode(&mut src).unwrap().is_none());
    assert_eq!(src, before);
    src.truncate(7);
    src.extend_from_slice(&Crc32::of(&before[..7]));
    src.extend_from_slice(b"\xaarest");
    assert_eq!(codec.decode(&mut src).unwrap(), Some(item(&[7], "abc")));
    assert_eq!(src, &b"\xaarest"[..]);
}
