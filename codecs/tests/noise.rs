//! Handshakes of Noise: who is authenticated, what is refused and how, and what a setup lacks.

mod noise_common;

use std::error::Error;

use bytes::Bytes;
use futures::StreamExt;
use noise_common::{MOST, Script, keypair, run, sessions, talk};
use wattle_codecs::{
    Recoverable,
    noise::{
        Keypair, Noise, NoiseError, PublicKey, SetupProblem,
        snow::params::SUPPORTED_HANDSHAKE_PATTERNS,
    },
};

fn xx(seed: u8) -> Noise {
    Noise::xx(keypair(seed), MOST)
}

fn ik(seed: u8) -> Noise {
    Noise::ik(keypair(seed), MOST)
}

fn public(seed: u8) -> Option<PublicKey> {
    Some(keypair(seed).public())
}

/// What one side says, for those that say something.
async fn refusals(
    initiator: &Noise,
    responder: &Noise,
) -> (Option<NoiseError>, Option<NoiseError>) {
    let (pea, bean) = run(initiator, responder).await;
    (pea.err(), bean.err())
}

#[tokio::test]
async fn each_side_of_xx_and_ik_is_handed_the_others_key_and_of_nn_none() {
    let (pea, bean) = sessions(&xx(1), &xx(2)).await;
    assert_eq!(
        (pea.remote_static, bean.remote_static),
        (public(2), public(1))
    );

    let (pea, bean) = sessions(&ik(1).remote(keypair(2).public()), &ik(2)).await;
    assert_eq!(
        (pea.remote_static, bean.remote_static),
        (public(2), public(1))
    );

    let (pea, bean) = sessions(&Noise::nn(MOST), &Noise::nn(MOST)).await;
    assert_eq!((pea.remote_static, bean.remote_static), (None, None));
}

#[tokio::test]
async fn pre_shared_keys_go_to_each_position_of_each_pattern() {
    for position in 0..=3 {
        let psk = |noise: Noise| noise.psk(position, [position; 32]);
        sessions(&psk(xx(1)), &psk(xx(2))).await;
        if position <= 2 {
            let remote = keypair(2).public();
            sessions(&psk(ik(1).remote(remote)), &psk(ik(2))).await;
            sessions(&psk(Noise::nn(MOST)), &psk(Noise::nn(MOST))).await;
        }
    }
    let both = |noise: Noise| noise.psk(2, [2; 32]).psk(0, [0; 32]);
    sessions(&both(Noise::nn(MOST)), &both(Noise::nn(MOST))).await;
}

#[tokio::test]
async fn messages_go_both_ways_behind_each_pattern_that_there_is_and_payloads_with_its_handshake() {
    for pattern in SUPPORTED_HANDSHAKE_PATTERNS {
        let name = format!("Noise_{}_25519_AESGCM_SHA512", pattern.as_str());
        let noise = |ours: u8, theirs: u8| {
            let noise = Noise::named(&name, MOST).expect("a name");
            noise
                .keypair(keypair(ours))
                .remote(keypair(theirs).public())
        };
        // A key that is expected of a side that shows none is an error: tested elsewhere.
        let bare = |ours: u8, initiator: bool| {
            let bare = Noise::named(&name, MOST)
                .expect("a name")
                .keypair(keypair(ours));
            let known = pattern.need_known_remote_pubkey(initiator);
            if known { noise(ours, 3 - ours) } else { bare }
        };
        let initiator = bare(1, true).payload("from pea");
        let mut responder = bare(2, false);
        if !pattern.is_oneway() {
            responder = responder.payload("from bean");
        }
        let (mut pea, mut bean) = sessions(&initiator, &responder).await;
        assert_eq!(pea.handshake_hash, bean.handshake_hash, "{name}");
        assert_eq!(pea.handshake_hash.len(), 64);
        assert_eq!(
            bean.payloads.pop().expect("a payload"),
            "from pea",
            "{name}"
        );
        assert!(bean.payloads.iter().all(Bytes::is_empty), "{name}");
        assert_eq!(
            talk(&mut pea.framed, &mut bean.framed, "hello").await,
            "hello"
        );
        if !pattern.is_oneway() {
            assert_eq!(
                pea.payloads.pop().expect("a payload"),
                "from bean",
                "{name}"
            );
            assert_eq!(talk(&mut bean.framed, &mut pea.framed, "oh").await, "oh");
        }
    }
}

#[tokio::test]
async fn two_sessions_of_the_same_two_have_hashes_of_their_own() {
    let (one, _) = sessions(&xx(1), &xx(2)).await;
    let (other, _) = sessions(&xx(1), &xx(2)).await;
    assert_ne!(one.handshake_hash, other.handshake_hash);
}

#[test]
fn the_name_says_pattern_pre_shared_keys_and_suite() {
    assert_eq!(xx(1).name(), "Noise_XX_25519_ChaChaPoly_BLAKE2s");
    let keyed = ik(1).psk(2, [0; 32]).psk(0, [0; 32]).psk(2, [1; 32]);
    assert_eq!(keyed.name(), "Noise_IKpsk0+psk2_25519_ChaChaPoly_BLAKE2s");
    let name = "Noise_X1X1psk2+psk1_25519_AESGCM_SHA512";
    assert_eq!(Noise::named(name, MOST).expect("a name").name(), name);
}

#[test]
fn a_name_that_is_not_supported_is_told_with_the_reason() {
    for (name, reason) in [
        (
            "Noise_YY_25519_ChaChaPoly_BLAKE2s",
            "UnsupportedHandshakeType",
        ),
        ("Noise_XX_25519_ChaChaPoly", "TooFewParameters"),
        ("Noise_XX_25519_ChaChaPoly_BLAKE2s_", "TooManyParameters"),
        ("Noise_XX_25519_Salsa20_BLAKE2s", "UnsupportedCipherType"),
        ("Noise_XX_448_ChaChaPoly_BLAKE2s", "UnsupportedDhType"),
        (
            "Noise_XXfallback_25519_ChaChaPoly_BLAKE2s",
            "UnsupportedModifier",
        ),
        ("", "UnsupportedBaseType"),
    ] {
        let error = Noise::named(name, MOST).expect_err("no name");
        let expected =
            format!("Noise can't be set up: {name} isn't supported: pattern error: {reason}");
        assert_eq!(error.to_string(), expected);
        assert!(error.source().is_some());
    }
}

#[tokio::test]
async fn another_pre_shared_key_is_told_from_no_answer() {
    let psk = |noise: Noise, position, key| noise.psk(position, [key; 32]);
    let (pea, bean) = refusals(&psk(xx(1), 3, 1), &psk(xx(2), 3, 2)).await;
    assert!(pea.is_none(), "it has sent the last message: {pea:?}");
    assert!(matches!(
        bean,
        Some(NoiseError::HandshakeDecrypt { message: 3 })
    ));

    let nn = |key| psk(Noise::nn(MOST), 0, key);
    let (pea, bean) = refusals(&nn(1), &nn(2)).await;
    assert!(
        matches!(pea, Some(NoiseError::Closed { message: 2 })),
        "{pea:?}"
    );
    let bean = bean.expect("refused");
    assert!(matches!(bean, NoiseError::HandshakeDecrypt { message: 1 }));
    assert_eq!(
        bean.to_string(),
        "message 1 of the handshake doesn't decrypt: another static key, pre-shared key, prologue \
         or protocol name than expected, or it was altered"
    );
}

#[tokio::test]
async fn another_prologue_is_refused_by_who_reads_the_first_encrypted_message() {
    let (pea, bean) = refusals(&xx(1).prologue("v1"), &xx(2).prologue("v2")).await;
    assert!(matches!(
        pea,
        Some(NoiseError::HandshakeDecrypt { message: 2 })
    ));
    assert!(matches!(bean, Some(NoiseError::Closed { message: 3 })));
}

#[tokio::test]
async fn another_suite_is_refused() {
    let named = |suite| {
        let noise = Noise::named(&format!("Noise_XX_25519_{suite}"), MOST).expect("a name");
        noise.keypair(keypair(1))
    };
    let (pea, bean) = refusals(&named("AESGCM_SHA256"), &named("ChaChaPoly_SHA256")).await;
    assert!(matches!(
        pea,
        Some(NoiseError::HandshakeDecrypt { message: 2 })
    ));
    assert!(matches!(bean, Some(NoiseError::Closed { message: 3 })));
}

#[tokio::test]
async fn an_initiator_of_ik_with_an_outdated_key_is_refused() {
    let (pea, bean) = refusals(&ik(1).remote(keypair(3).public()), &ik(2)).await;
    assert!(matches!(
        bean,
        Some(NoiseError::HandshakeDecrypt { message: 1 })
    ));
    let pea = pea.expect("closed");
    assert_eq!(
        pea.to_string(),
        "message 2 of the handshake: expected, but the remote closed"
    );
}

#[tokio::test]
async fn an_initiator_does_not_show_its_key_to_somebody_who_was_not_expected() {
    let (pea, bean) = refusals(&xx(1).remote(keypair(3).public()), &xx(2)).await;
    let (two, three) = (keypair(2).public(), keypair(3).public());
    let pea = pea.expect("refused");
    assert!(
        matches!(&pea, NoiseError::WrongRemote { expected, came: Some(came) }
            if **expected == three && **came == two)
    );
    assert_eq!(
        pea.to_string(),
        format!("the remote's static key: expected {three}, got {two}")
    );
    assert!(matches!(bean, Some(NoiseError::Closed { message: 3 })));
}

#[tokio::test]
async fn a_responder_refuses_somebody_who_was_not_expected() {
    let (pea, bean) = run(&xx(1), &xx(2).remote(keypair(3).public())).await;
    assert!(matches!(bean, Err(NoiseError::WrongRemote { .. })));
    let mut pea = pea.expect("it can't know yet");
    assert!(pea.framed.next().await.is_none(), "the session ends");

    let initiator = ik(1).remote(keypair(2).public());
    let (pea, bean) = refusals(&initiator, &ik(2).remote(keypair(3).public())).await;
    assert!(matches!(bean, Some(NoiseError::WrongRemote { .. })));
    assert!(
        matches!(pea, Some(NoiseError::Closed { message: 2 })),
        "not answered"
    );
}

#[tokio::test]
async fn a_key_that_is_expected_where_the_pattern_has_none_is_missed() {
    let expecting = Noise::nn(MOST).remote(keypair(2).public());
    let (pea, _) = refusals(&expecting, &Noise::nn(MOST)).await;
    let pea = pea.expect("missed");
    assert!(matches!(&pea, NoiseError::WrongRemote { came: None, .. }));
    assert!(
        pea.to_string().ends_with("but the pattern has none"),
        "{pea}"
    );
}

#[tokio::test]
async fn two_initiators_notice() {
    let (ours, theirs) = tokio::io::duplex(64);
    let (one, other) = (xx(1), xx(2));
    let (one, _) = tokio::join!(one.initiate(ours), other.initiate(theirs));
    let one = one.expect_err("no responder");
    assert!(
        matches!(
            one,
            NoiseError::HandshakeMalformed {
                message: 2,
                len: 32
            }
        ),
        "{one:?}"
    );
    assert!(one.to_string().contains("be an initiator too"), "{one}");
}

#[tokio::test]
async fn what_is_missing_in_the_setup_is_told_before_anything_is_sent() {
    let named = |name| Noise::named(name, MOST).expect("a name");
    for (noise, expected) in [
        (
            named("Noise_XX_25519_ChaChaPoly_BLAKE2s"),
            SetupProblem::NoKeypair,
        ),
        (ik(1), SetupProblem::NoRemote),
        (
            named("Noise_NNpsk0+psk2_25519_ChaChaPoly_BLAKE2s").psk(0, [0; 32]),
            SetupProblem::NoPsk(2),
        ),
        (xx(1).rekey_every(0), SetupProblem::RekeyEveryZero),
    ] {
        let script = Script::default();
        let error = noise.initiate(script.clone()).await.expect_err("refused");
        assert!(
            matches!(&error, NoiseError::Setup(problem) if *problem == expected),
            "{error:?}"
        );
        assert_eq!(
            error.to_string(),
            format!("Noise can't be set up: {expected}")
        );
        assert!(script.written().is_empty());
        assert!(!error.is_recoverable());
    }
    let error = xx(1)
        .psk(9, [0; 32])
        .initiate(Script::default())
        .await
        .expect_err("refused");
    assert!(error.to_string().contains("XXpsk9"), "{error}");
}

#[tokio::test]
async fn a_payload_without_a_message_to_go_with_is_told() {
    let name = "Noise_N_25519_ChaChaPoly_BLAKE2s";
    let noise = || Noise::named(name, MOST).expect("a name");
    let initiator = noise().remote(keypair(2).public());
    let responder = noise().keypair(keypair(2)).payload("never");
    let (_, bean) = refusals(&initiator, &responder).await;
    let expected = SetupProblem::PayloadLeft { left: 1 };
    assert!(matches!(bean, Some(NoiseError::Setup(problem)) if problem == expected));
}

#[test]
fn no_private_key_is_printed() {
    let secret = [0xa5; 32];
    let keypair = Keypair::from_private(secret).expect("a key");
    let noise = Noise::xx(keypair.clone(), MOST).psk(0, [0x5a; 32]);
    for printed in [format!("{keypair:?}"), format!("{noise:?}")] {
        for secret in ["a5a5", "165, 165", "5a5a", "90, 90"] {
            assert!(!printed.contains(secret), "{printed}");
        }
        assert!(printed.contains(&keypair.public().to_string()), "{printed}");
    }
}

#[test]
fn a_public_key_is_that_of_rfc_7748() {
    let private: PublicKey = "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"
        .parse()
        .expect("digits");
    let private = private.as_bytes().try_into().expect("32 bytes");
    let keypair = Keypair::from_private(private).expect("a key");
    let public = "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a";
    assert_eq!(keypair.public().to_string(), public);
    assert_eq!(public.to_uppercase().parse(), Ok(keypair.public()));
    assert_eq!(keypair.private(), &private);
}

#[test]
fn two_generated_keys_differ() {
    let generate = || Keypair::generate().expect("a key");
    assert_ne!(generate().public(), generate().public());
}

#[test]
fn a_text_that_is_no_key_is_told_with_the_place() {
    let parse = |text: &str| text.parse::<PublicKey>().expect_err("no key").to_string();
    assert_eq!(
        parse("abc"),
        "a key of 64 hexadecimal digits expected, 3 bytes came"
    );
    assert_eq!(
        parse(&"ä".repeat(32)),
        "no hexadecimal digit at byte 0 of the key"
    );
    let mut text = "0".repeat(64);
    text.replace_range(41..42, "+");
    assert_eq!(parse(&text), "no hexadecimal digit at byte 41 of the key");
}
