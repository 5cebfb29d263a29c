//! New keys within a Noise session, in step and out of step.

mod noise_common;

use noise_common::{MOST, codecs, decoded, encoded, pattern, refused};
use wattle_codecs::noise::{Noise, NoiseCodec, NoiseError};

/// Both sides rekey after so many messages, if they do.
async fn rekeying(pea: Option<u64>, bean: Option<u64>) -> (NoiseCodec, NoiseCodec) {
    let noise = |every: Option<u64>| match every {
        Some(every) => Noise::nn(MOST).rekey_every(every),
        None => Noise::nn(MOST),
    };
    codecs(&noise(pea), &noise(bean)).await
}

#[tokio::test]
async fn both_sides_rekey_in_step_in_each_direction_by_its_own_count() {
    let (mut pea, mut bean) = rekeying(Some(3), Some(3)).await;
    for i in 0..20_u8 {
        let wire = encoded(&mut pea, vec![i]);
        assert_eq!(
            decoded(&mut bean, wire).expect("decoded").expect("whole"),
            vec![i]
        );
        if i % 4 == 0 {
            let wire = encoded(&mut bean, vec![i]);
            assert_eq!(
                decoded(&mut pea, wire).expect("decoded").expect("whole"),
                vec![i]
            );
        }
    }
}

#[tokio::test]
async fn a_new_key_is_taken_after_exactly_so_many_messages() {
    for every in [1, 2, 5] {
        let (mut pea, mut bean) = rekeying(Some(every), None).await;
        for _ in 0..2 {
            for _ in 0..every {
                let wire = encoded(&mut pea, "same key");
                assert!(decoded(&mut bean, wire).expect("decoded").is_some());
            }
            bean.rekey_incoming();
        }
        let (mut pea, mut bean) = rekeying(None, Some(every)).await;
        for _ in 0..2 {
            for _ in 0..every {
                let wire = encoded(&mut pea, "same key");
                assert!(decoded(&mut bean, wire).expect("decoded").is_some());
            }
            pea.rekey_outgoing();
        }
    }
}

#[tokio::test]
async fn sides_that_do_not_rekey_alike_fail_at_the_first_message_with_another_key() {
    for (pea, bean, fails) in [
        (Some(2), None, 2),
        (None, Some(3), 3),
        (Some(4), Some(2), 2),
    ] {
        let (mut pea, mut bean) = rekeying(pea, bean).await;
        for _ in 0..fails {
            decoded(&mut bean, encoded(&mut pea, "hello")).expect("decoded");
        }
        let error = refused(&mut bean, encoded(&mut pea, "hello"));
        assert!(
            matches!(error, NoiseError::Tampered { expected, .. } if expected == fails),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn a_message_from_before_the_rekeying_cannot_be_told_from_one_that_was_altered() {
    let (mut pea, mut bean) = rekeying(Some(2), Some(2)).await;
    let wires: Vec<_> = (0..4).map(|_| encoded(&mut pea, "hello")).collect();
    for wire in &wires[..3] {
        decoded(&mut bean, wire).expect("decoded");
    }
    assert!(matches!(
        refused(&mut bean, &wires[1]),
        NoiseError::Tampered { .. }
    ));
    assert!(matches!(
        refused(&mut bean, &wires[2]),
        NoiseError::Replayed { came: 2, .. }
    ));
}

#[tokio::test]
async fn the_parts_of_one_message_are_counted_each() {
    let (mut pea, mut bean) = rekeying(Some(1), Some(1)).await;
    for len in [200_000, 5] {
        let wire = encoded(&mut pea, pattern(len));
        assert!(decoded(&mut bean, wire).expect("decoded").expect("whole") == pattern(len));
    }
}
