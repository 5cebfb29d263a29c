//! What a key that the handshake hands over is worth, and what it isn't.

mod noise_common;

use noise_common::{MOST, keypair};
use wattle_codecs::noise::{
    Handshake, Noise, NoiseError, PublicKey,
    snow::{
        Builder, Error,
        params::{CipherChoice, DHChoice, HashChoice},
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

            let (ours, theirs) = tokio::io::duplex(1024);
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

            let (ours, theirs) = tokio::io::duplex(1024);
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
