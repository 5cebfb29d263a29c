//! What can be sent, shared, moved and printed: checked at compile time. A codec lives in the task of its
//! connection, so it has to be `Send`; messages stand in nobody's way, as no codec holds one.

use std::{
    cell::Cell,
    error::Error,
    fmt::{Debug, Display},
    marker::{PhantomData, PhantomPinned},
    rc::Rc,
    sync::Arc,
};

use bytes::Bytes;
use tokio::io::DuplexStream;
use tokio_util::codec::{LengthDelimitedCodec, LinesCodec, LinesCodecError};
use wattle_codecs::{
    Capped, CappedError, Cbor, CborError, Checked, CheckedError, Checksum, Compressed,
    CompressedError, Crc32, Delimited, DelimitedError, Either, EitherError, Encoded, Envelope,
    EnvelopeError, Enveloped, Fixed, FixedError, Json, Layout, LayoutError, Length, Lz4, MapIn,
    MapOut, MessagePack, MessagePackError, NoChecksum, Passed, Postcard, PostcardError, Prefixed,
    PrefixedError, Protobuf, ProtobufError, Recoverable, Serde, SerdeError, Tapped, Tolerant,
    TolerantError, TryMap, TryMapError, With, Zstd,
    hello::{Agreed, Hello, HelloError, Part, Refusal, Remote},
    laws::{Law, Laws, Violation},
    noise::{
        Handshake, Keypair, Noise, NoiseCodec, NoiseError, ParseKeyError, PublicKey, Session,
        SetupProblem,
    },
    tls::{self, TlsError, rustls},
};

/// Nothing that a type can be.
struct Nothing(PhantomData<Rc<Cell<u8>>>, PhantomPinned);

impl Checksum for Nothing {
    type Sum = [u8; 1];

    fn of(_: &[u8]) -> [u8; 1] {
        [0]
    }
}

fn sharable<T: Send + Sync + Unpin + Debug + 'static>() {}
fn clonable<T: Send + Sync + Unpin + Debug + Clone + 'static>() {}
fn copyable<T: Send + Sync + Unpin + Debug + Copy + 'static>() {}
fn error<T: Error + Display + Send + Sync + Unpin + 'static>() {}
fn printable<T: Unpin + Debug>() {}
fn is_send<T: Send>(value: T) -> T {
    value
}

/// A function from anything: neither `Debug` nor worth printing.
type Function = fn(u8) -> u8;

#[test]
fn codecs_of_frames_go_everywhere() {
    clonable::<Delimited>();
    clonable::<Fixed>();
    clonable::<Prefixed>();
    clonable::<Envelope<4>>();
    clonable::<Envelope<4, Nothing>>();
    clonable::<Enveloped<4>>();
    clonable::<Layout>();
    copyable::<Length>();
    copyable::<NoChecksum>();
    copyable::<Crc32>();
}

#[test]
fn layers_go_where_what_is_inside_goes() {
    clonable::<Capped<Prefixed>>();
    clonable::<Checked<Prefixed, Crc32>>();
    clonable::<Checked<Prefixed, Nothing>>();
    clonable::<Compressed<Prefixed, Lz4>>();
    clonable::<Compressed<Prefixed, Zstd>>();
    clonable::<Either<Prefixed, LinesCodec>>();
    clonable::<MapIn<Prefixed, Function>>();
    clonable::<MapOut<Prefixed, Function>>();
    clonable::<With<Prefixed, Function, Function>>();
    clonable::<Tapped<Prefixed, Function, Bytes>>();
    clonable::<Tolerant<Prefixed>>();
    clonable::<TryMap<Prefixed, Function>>();
    copyable::<Lz4>();
    copyable::<Zstd>();
    // It never leaves the call that it is made for.
    printable::<Passed<'_, u8, u8>>();
}

#[test]
fn typed_codecs_go_everywhere_whatever_the_messages() {
    clonable::<Serde<Prefixed, Json, Nothing>>();
    clonable::<Serde<LengthDelimitedCodec, Postcard, Nothing, Nothing>>();
    clonable::<Encoded<Nothing, Json>>();
    clonable::<Encoded<Nothing, Nothing>>();
    copyable::<Cbor>();
    copyable::<Json>();
    copyable::<MessagePack>();
    copyable::<Postcard>();
    copyable::<Protobuf>();
}

#[test]
fn handshakes_go_everywhere() {
    clonable::<Hello>();
    clonable::<Agreed>();
    clonable::<Remote>();
    clonable::<Noise>();
    clonable::<Keypair>();
    copyable::<PublicKey>();
    sharable::<NoiseCodec>();
    sharable::<Handshake>();
    sharable::<Session<DuplexStream>>();
}

#[test]
fn the_kit_can_be_printed_and_what_it_finds_goes_everywhere() {
    printable::<Laws<'_, Prefixed, Prefixed, u8>>();
    copyable::<Law>();
    error::<Violation>();
}

#[test]
fn errors_go_everywhere() {
    error::<DelimitedError>();
    error::<FixedError>();
    error::<PrefixedError>();
    error::<EnvelopeError>();
    error::<LayoutError>();
    error::<CappedError<PrefixedError>>();
    error::<CheckedError<PrefixedError>>();
    error::<CompressedError<PrefixedError>>();
    error::<EitherError<PrefixedError, LinesCodecError>>();
    error::<TolerantError<PrefixedError>>();
    error::<TryMapError<PrefixedError, std::num::ParseIntError>>();
    error::<SerdeError<PrefixedError, PostcardError>>();
    error::<CborError>();
    error::<MessagePackError>();
    error::<ProtobufError>();
    error::<HelloError>();
    error::<NoiseError>();
    error::<ParseKeyError>();
    error::<TlsError>();
    sharable::<SetupProblem>();
    clonable::<Refusal>();
    clonable::<Part>();
    clonable::<LayoutError>();
}

/// So that `tolerant` fits on top of any of them.
#[test]
fn errors_of_codecs_say_whether_the_stream_goes_on() {
    fn recoverable<T: Recoverable>() {}
    recoverable::<DelimitedError>();
    recoverable::<FixedError>();
    recoverable::<PrefixedError>();
    recoverable::<EnvelopeError>();
    recoverable::<CappedError<PrefixedError>>();
    recoverable::<CheckedError<PrefixedError>>();
    recoverable::<CompressedError<PrefixedError>>();
    recoverable::<EitherError<PrefixedError, LinesCodecError>>();
    recoverable::<TolerantError<PrefixedError>>();
    recoverable::<TryMapError<PrefixedError, Nothing>>();
    recoverable::<SerdeError<PrefixedError, Nothing>>();
    recoverable::<NoiseError>();
}

/// Only compiled: a handshake runs in the task of its connection.
#[allow(dead_code, reason = "it says what it has to say to the compiler")]
fn futures_of_handshakes_are_send(
    io: impl Fn() -> DuplexStream,
    hello: &Hello,
    noise: &Noise,
    handshake: Handshake,
    client: Arc<rustls::ClientConfig>,
    server: Arc<rustls::ServerConfig>,
    name: rustls::pki_types::ServerName<'static>,
) {
    let lines = || LinesCodec::new_with_max_length(1);
    drop(is_send(hello.exchange(io(), |_| Ok(()), |_| lines())));
    drop(is_send(noise.initiate(io())));
    drop(is_send(noise.respond(io())));
    drop(is_send(handshake.run(io())));
    drop(is_send(tls::connect(io(), client, name, |_| lines())));
    drop(is_send(tls::accept(io(), server, |_| lines())));
}
