//! Sessions of Noise, through the laws.
//!
//! Each try takes a session of its own, so thousands of handshakes. Their Diffie-Hellman function is a
//! toy here (the laws are about frames and state, not about secrets), which makes them a hundred
//! times as fast; ciphers and hashes are real.

use bytes::Bytes;
use tokio::runtime;
use wattle_codecs::{
    laws::{Law, Laws, Violation},
    noise::{
        Handshake, NoiseCodec,
        snow::{
            Builder, Error, HandshakeState,
            params::{CipherChoice, DHChoice, HashChoice},
            resolvers::{CryptoResolver, DefaultResolver, FallbackResolver},
            types::{Cipher, Dh, Hash, Random},
        },
    },
};

/// Its public keys are its private keys, and the shared secret is both at once.
#[derive(Default)]
struct Toy([u8; 32]);

impl Dh for Toy {
    fn name(&self) -> &'static str {
        "25519"
    }

    fn pub_len(&self) -> usize {
        self.0.len()
    }

    fn priv_len(&self) -> usize {
        self.0.len()
    }

    fn set(&mut self, key: &[u8]) {
        self.0.copy_from_slice(key);
    }

    fn generate(&mut self, random: &mut dyn Random) -> Result<(), Error> {
        random.try_fill_bytes(&mut self.0)
    }

    fn pubkey(&self) -> &[u8] {
        &self.0
    }

    fn privkey(&self) -> &[u8] {
        &self.0
    }

    fn dh(&self, theirs: &[u8], out: &mut [u8]) -> Result<(), Error> {
        let both = self.0.iter().zip(theirs);
        both.zip(out).for_each(|((a, b), out)| *out = a ^ b);
        Ok(())
    }
}

struct ToyResolver;

impl CryptoResolver for ToyResolver {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        None
    }

    fn resolve_dh(&self, _: &DHChoice) -> Option<Box<dyn Dh>> {
        Some(Box::new(Toy::default()))
    }

    fn resolve_hash(&self, _: &HashChoice) -> Option<Box<dyn Hash>> {
        None
    }

    fn resolve_cipher(&self, _: &CipherChoice) -> Option<Box<dyn Cipher>> {
        None
    }
}

fn state(
    build: fn(Builder<'static>) -> Result<HandshakeState, Error>,
) -> Result<HandshakeState, Error> {
    let resolver = FallbackResolver::new(Box::new(ToyResolver), Box::new(DefaultResolver));
    let name = "Noise_NN_25519_ChaChaPoly_BLAKE2s".parse()?;
    build(Builder::with_resolver(name, Box::new(resolver)))
}

/// The two codecs of a session, whose handshake happens in memory.
fn session(most: usize, rekey_every: Option<u64>) -> (NoiseCodec, NoiseCodec) {
    let handshake = |state| match rekey_every {
        Some(messages) => Handshake::new(state, most).rekey_every(messages),
        None => Handshake::new(state, most),
    };
    let pea = handshake(state(Builder::build_initiator).unwrap());
    let bean = handshake(state(Builder::build_responder).unwrap());
    let (ours, theirs) = tokio::io::duplex(1024);
    let both = async { tokio::try_join!(pea.run(ours), bean.run(theirs)) };
    let runtime = runtime::Builder::new_current_thread().build().unwrap();
    let (pea, bean) = runtime.block_on(both).unwrap();
    (
        pea.framed.into_parts().codec,
        bean.framed.into_parts().codec,
    )
}

fn filled(size: usize) -> Bytes {
    Bytes::from(vec![7; size])
}

fn laws(
    messages: impl IntoIterator<Item = Bytes>,
    most: usize,
    rekey_every: Option<u64>,
) -> Laws<'static, NoiseCodec, NoiseCodec, Bytes> {
    Laws::pair(move || session(most, rekey_every), messages)
        .cases(2)
        .oversized([filled(most + 1), filled(2 * most)])
}

/// A part of a message: what is around it on the wire, and the most that is in it.
const HEADER: usize = 2 + 16;
const PART: usize = 65_519;

#[test]
fn sessions_keep_the_laws() -> Result<(), Violation> {
    let messages = [Bytes::from("abc"), Bytes::new(), filled(100)];
    laws(messages, 100, None).cap(HEADER + 100).check()
}

#[test]
fn sessions_that_rekey_keep_the_laws() -> Result<(), Violation> {
    let messages = ["abc", "", "d", "e", "fgh"].map(Bytes::from);
    laws(messages, 10, Some(2)).cap(HEADER + 10).check()
}

/// Each of these frames is encrypted in each try, so few are tried.
#[test]
fn messages_of_several_parts_keep_the_laws() -> Result<(), Violation> {
    let most = PART + 10;
    let cap = 2 * HEADER + most;
    laws([filled(PART), filled(3)], most, None)
        .cases(1)
        .cap(cap)
        .without(Law::EverySplit)
        .check()?;
    let split = laws([filled(PART + 1)], most, None).cases(1);
    split.every_split()
}
