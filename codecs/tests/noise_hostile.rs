//! Messages of a Noise session that aren't the expected ones: altered, replayed, left out, made up.

mod noise_common;

use noise_common::{EXTRA, FULL, decoded, encoded, pair, pattern, refused};
use tokio_util::codec::Decoder;
use wattle_codecs::noise::NoiseError;

#[tokio::test]
async fn a_flipped_bit_in_any_byte_of_a_message_is_found() {
    let (mut pea, mut bean) = pair().await;
    let wire = encoded(&mut pea, "hello");
    for at in 2..wire.len() {
        let mut flipped = wire.clone();
        flipped[at] ^= 1 << (at % 8);
        let error = refused(&mut bean, &flipped);
        assert!(
            matches!(error, NoiseError::Tampered { expected: 0, at: 0 }),
            "{at}: {error:?}"
        );
        assert_eq!(
            error.to_string(),
            "frame at byte 0: message 0 doesn't decrypt; it was altered, or the sides don't rekey \
             alike"
        );
    }
    // The length isn't authenticated by itself, but another number of bytes is another message.
    for at in 0..2 {
        for bit in 0..8 {
            let mut flipped = wire.clone();
            flipped[at] ^= 1 << bit;
            let end = bean.decode_eof(&mut flipped).expect_err("not that long");
            assert!(
                matches!(
                    end,
                    NoiseError::Tampered { .. }
                        | NoiseError::Truncated { .. }
                        | NoiseError::TooShort { .. }
                ),
                "{end:?}"
            );
        }
    }
    assert_eq!(
        decoded(&mut bean, wire).expect("decoded").expect("whole"),
        "hello"
    );
}

#[tokio::test]
async fn a_frame_that_cannot_hold_a_tag_is_refused_by_its_length() {
    let (_, mut bean) = pair().await;
    for len in 0..16 {
        let error = refused(&mut bean, [0, len]);
        assert_eq!(
            error.to_string(),
            format!("frame at byte 0: length {len}, expected at least the 16 bytes of a tag")
        );
    }
    assert!(decoded(&mut bean, [0, 16]).expect("begun").is_none());
}

/// A stranger's large message that is none shouldn't cost more than a few that are.
#[tokio::test]
async fn large_messages_are_compared_with_fewer_others() {
    let (mut pea, mut bean) = pair().await;
    let wires: Vec<_> = (0..9_u8)
        .map(|i| encoded(&mut pea, vec![i; 60_000]))
        .collect();
    for wire in &wires[..8] {
        decoded(&mut bean, wire).expect("decoded");
    }
    let error = refused(&mut bean, &wires[0]);
    assert!(
        matches!(error, NoiseError::Replayed { came: 0, .. }),
        "{error:?}"
    );
    decoded(&mut bean, &wires[8]).expect("decoded");
    let error = refused(&mut bean, &wires[0]);
    assert!(matches!(error, NoiseError::Tampered { .. }), "{error:?}");
}

#[tokio::test]
async fn a_message_that_comes_again_is_told_from_one_that_was_altered() {
    let (mut pea, mut bean) = pair().await;
    let wires: Vec<_> = (0..70_u8).map(|i| encoded(&mut pea, vec![i; 3])).collect();
    for wire in &wires[..65] {
        decoded(&mut bean, wire).expect("decoded");
    }
    // As far back as 64 messages, and no further.
    for (again, wire) in (0_u64..65).zip(&wires).skip(1) {
        let error = refused(&mut bean, wire);
        assert!(
            matches!(error, NoiseError::Replayed { expected: 65, came, at: 1365 }
                if came == again),
            "{error:?}"
        );
    }
    assert_eq!(
        refused(&mut bean, &wires[64]).to_string(),
        "frame at byte 1365: expected message 65, got message 64 again"
    );
    assert!(matches!(
        refused(&mut bean, &wires[0]),
        NoiseError::Tampered { .. }
    ));
    // It was looked at only.
    assert_eq!(
        decoded(&mut bean, &wires[65])
            .expect("decoded")
            .expect("whole"),
        vec![65; 3]
    );
}

#[tokio::test]
async fn messages_that_are_missing_or_in_another_order_are_told() {
    let (mut pea, mut bean) = pair().await;
    let wires: Vec<_> = (0..70_u8).map(|i| encoded(&mut pea, vec![i; 3])).collect();
    decoded(&mut bean, &wires[0]).expect("decoded");
    let error = refused(&mut bean, &wires[2]);
    assert!(
        matches!(
            error,
            NoiseError::Skipped {
                expected: 1,
                came: 2,
                at: 21
            }
        ),
        "{error:?}"
    );
    assert_eq!(
        error.to_string(),
        "frame at byte 21: expected message 1, got message 2 ahead of it"
    );
    assert!(matches!(
        refused(&mut bean, &wires[65]),
        NoiseError::Skipped { came: 65, .. }
    ));
    assert!(matches!(
        refused(&mut bean, &wires[66]),
        NoiseError::Tampered { .. }
    ));
}

#[tokio::test]
async fn a_part_of_a_message_that_is_left_out_is_missed() {
    let (mut pea, mut bean) = pair().await;
    let mut wire = encoded(&mut pea, pattern(3 * FULL));
    let first = wire.split_to(FULL + EXTRA);
    assert!(decoded(&mut bean, first.clone()).expect("begun").is_none());
    let _second = wire.split_to(FULL + EXTRA);
    let error = refused(&mut bean, &wire[..FULL + EXTRA]);
    assert!(
        matches!(
            error,
            NoiseError::Skipped {
                expected: 1,
                came: 2,
                ..
            }
        ),
        "{error:?}"
    );
    let error = refused(&mut bean, first);
    assert!(
        matches!(
            error,
            NoiseError::Replayed {
                expected: 1,
                came: 0,
                ..
            }
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn what_one_side_has_sent_does_not_come_back_to_it() {
    let (mut pea, _) = pair().await;
    let wire = encoded(&mut pea, "mine");
    assert!(matches!(
        refused(&mut pea, wire),
        NoiseError::Tampered { .. }
    ));
}

#[tokio::test]
async fn garbage_of_any_length_is_an_error_or_awaits_more() {
    let (_, mut bean) = pair().await;
    let mut garbage = 0x2545_f491_4f6c_dd1d_u64;
    for len in 0..300 {
        let bytes: Vec<u8> = (0..len)
            .map(|_| {
                garbage ^= garbage << 13;
                garbage ^= garbage >> 7;
                garbage ^= garbage << 17;
                garbage as u8
            })
            .collect();
        assert!(!matches!(decoded(&mut bean, bytes), Ok(Some(_))));
    }
}
