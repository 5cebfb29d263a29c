//! What a key that the handshake hands over is worth, and what it isn't.

mod noise_common;

use futures::StreamExt;
use noise_common::{MOST, Script, keypair};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, duplex, split};
use wattle_codecs::noise::{
    Handshake, Noise, NoiseError, PublicKey,
    snow::{
        Builder, Error,
        params::{
            CipherChoice, DHChoice, HandshakePattern, HashChoice, SUPPORTED_HANDSHAKE_PATTERNS,
        },
        resolvers::{CryptoResolver, DefaultResolver},
        types::{Cipher, Dh, Hash, Random},
    },
};

/// The points of small order on Curve25519, as they are mostly written: 0,
/// 1, two of order 8, and p - 1, p, p + 1.
const SMALL: [&str; 7] = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
];

/// Somebody without a private key: all secrets that come of this public one are zeroes.
struct Nobody {
    public: [u8; 32],
}

impl Dh for Nobody {
    fn name(&self) -> &'static str {
        "25519"
    }

    fn pub_len(&self) -> usize {
        32
    }

    fn priv_len(&self) -> usize {
        32
    }

    fn set(&mut self, _: &[u8]) {}

    fn generate(&mut self, _: &mut dyn Random) -> Result<(), Error> {
        Ok(())
    }

    fn pubkey(&self) -> &[u8] {
        &self.public
    }

    fn privkey(&self) -> &[u8] {
        &[0; 32]
    }

    fn dh(&self, _: &[u8], secret: &mut [u8]) -> Result<(), Error> {
        secret.fill(0);
        Ok(())
    }
}

impl CryptoResolver for Nobody {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        DefaultResolver.resolve_rng()
    }

    fn resolve_dh(&self, _: &DHChoice) -> Option<Box<dyn Dh>> {
        let public = self.public;
        Some(Box::new(Nobody { public }))
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        DefaultResolver.resolve_hash(choice)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        DefaultResolver.resolve_cipher(choice)
    }
}

fn nobody(public: [u8; 32], name: &str) -> Builder<'_> {
    Builder::with_resolver(name.parse().expect("a name"), Box::new(Nobody { public }))
        .local_private_key(&[0; 32])
        .expect("a key")
}

#[tokio::test]
async fn a_key_that_no_private_key_belongs_to_is_refused() {
    let name = "Noise_XX_25519_ChaChaPoly_BLAKE2s";
    for digits in SMALL {
        let key: PublicKey = digits.parse().expect("a key");
        for high_bit in [0, 0x80] {
            let mut public: [u8; 32] = key.as_bytes().try_into().expect("32 bytes");
            public[31] |= high_bit;
            let somebody = Noise::xx(keypair(1), MOST);

            let (ours, theirs) = duplex(1024);
            let state = nobody(public, name).build_initiator().expect("a state");
            let (_, error) = tokio::join!(
                Handshake::new(state, MOST).run(theirs),
                somebody.respond(ours)
            );
            let error = error.expect_err("refused");
            assert!(
                matches!(
                    error,
                    NoiseError::HandshakeMalformed {
                        message: 3,
                        len: 64
                    }
                ),
                "{digits}: {error:?}"
            );

            let (ours, theirs) = duplex(1024);
            let state = nobody(public, name).build_responder().expect("a state");
            let (_, error) = tokio::join!(
                Handshake::new(state, MOST).run(theirs),
                somebody.initiate(ours)
            );
            let error = error.expect_err("refused");
            assert!(
                matches!(
                    error,
                    NoiseError::HandshakeMalformed {
                        message: 2,
                        len: 96
                    }
                ),
                "{digits}: {error:?}"
            );
        }
    }
}

/// As the docs of IK say: the key that the responder is handed may be that of a recording.
#[tokio::test]
async fn a_replayed_beginning_of_ik_is_a_session_in_which_nothing_decrypts() {
    let pea = Noise::ik(keypair(1), MOST).remote(keypair(2).public());
    let bean = Noise::ik(keypair(2), MOST);
    let recorder = Script::default();
    let error = pea.initiate(recorder.clone()).await.expect_err("no answer");
    assert!(
        matches!(error, NoiseError::Closed { message: 2 }),
        "{error:?}"
    );

    let recorded = recorder.written();
    let mut replay = Script::new([&recorded[..], b"\x00\x10sixteen  letters"]);
    let session = bean.respond(&mut replay).await.expect("a session");
    assert_eq!(session.remote_static, Some(keypair(1).public()));
    let mut framed = session.framed;
    let error = framed.next().await.expect("an item").expect_err("refused");
    assert!(
        matches!(error, NoiseError::Tampered { expected: 0, at: 0 }),
        "{error:?}"
    );
}

/// Which payloads can be read on the way, as the docs of `payload` list them.
#[tokio::test]
async fn payloads_are_in_the_clear_where_the_docs_say_so() {
    let clear = ["NN", "NX", "KN", "KX", "IN", "IX", "NK1", "KK1", "IK1"];
    for &pattern in SUPPORTED_HANDSHAKE_PATTERNS {
        let (initiators, responders) = sent(pattern).await;
        let is_clear = clear.contains(&pattern.as_str());
        assert_eq!(has_payload(&initiators), is_clear, "{pattern:?}");
        assert!(!has_payload(&responders), "{pattern:?}");
    }
}

const PAYLOAD: &[u8] = b"what nobody else is to read";

fn has_payload(sent: &[u8]) -> bool {
    sent.windows(PAYLOAD.len()).any(|bytes| bytes == PAYLOAD)
}

/// What the initiator and the responder write in a handshake with payloads.
async fn sent(pattern: HandshakePattern) -> (Vec<u8>, Vec<u8>) {
    let side = |ours: u8, theirs: u8| {
        let name = format!("Noise_{}_25519_ChaChaPoly_BLAKE2s", pattern.as_str());
        let mut noise = Noise::named(&name, MOST)
            .expect("a name")
            .keypair(keypair(ours));
        if pattern.need_known_remote_pubkey(ours == 1) {
            noise = noise.remote(keypair(theirs).public());
        }
        noise
    };
    let mut responder = side(2, 1);
    if !pattern.is_oneway() {
        responder = responder.payload(PAYLOAD);
    }
    let initiator = side(1, 2).payload(PAYLOAD);
    let ((pea, at_pea), (bean, at_bean)) = (duplex(64), duplex(64));
    let (from_pea, to_pea) = split(at_pea);
    let (from_bean, to_bean) = split(at_bean);
    let handshakes = async {
        let (pea, bean) = tokio::join!(initiator.initiate(pea), responder.respond(bean));
        assert!(pea.is_ok() && bean.is_ok(), "{pea:?} {bean:?}");
    };
    let (_, initiators, responders) = tokio::join!(
        handshakes,
        pass_on(from_pea, to_bean),
        pass_on(from_bean, to_pea)
    );
    (initiators, responders)
}

async fn pass_on(mut from: ReadHalf<DuplexStream>, mut to: WriteHalf<DuplexStream>) -> Vec<u8> {
    let mut passed = Vec::new();
    loop {
        let begin = passed.len();
        if from.read_buf(&mut passed).await.expect("read") == 0 {
            return passed;
        }
        // The other side may be done.
        let _ = to.write_all(&passed[begin..]).await;
    }
}
