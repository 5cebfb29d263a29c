//! From the bytes of a frame to a message of a type, and back.
//!
//! A frame codec says where a message begins and ends, a [`Format`] says what its bytes mean, and
//! [`Serde`] is the codec that is both. Formats trust their input: some reserve what a frame
//! announces, some recurse as deep as it says, most pass over what stands behind the message. Here
//! none does.

mod encoded;
#[cfg(any(
    feature = "cbor",
    feature = "messagepack",
    feature = "postcard",
    feature = "prost"
))]
mod error;
mod format;
mod serde;

#[cfg(any(feature = "cbor", feature = "messagepack", feature = "postcard"))]
mod guard;

#[cfg(feature = "cbor")]
mod cbor;
#[cfg(feature = "json")]
mod json;
#[cfg(feature = "messagepack")]
mod messagepack;
#[cfg(feature = "postcard")]
mod postcard;
#[cfg(feature = "prost")]
mod protobuf;

#[cfg(feature = "cbor")]
pub use self::cbor::{Cbor, CborError};
#[cfg(any(
    feature = "cbor",
    feature = "messagepack",
    feature = "postcard",
    feature = "prost"
))]
pub use self::error::FormatError;
#[cfg(feature = "json")]
pub use self::json::{Json, JsonError};
#[cfg(feature = "messagepack")]
pub use self::messagepack::{MessagePack, MessagePackError};
#[cfg(feature = "postcard")]
pub use self::postcard::{Postcard, PostcardError};
#[cfg(feature = "prost")]
pub use self::protobuf::{Protobuf, ProtobufError};
pub use self::{
    encoded::Encoded,
    format::{Format, ParseMessage, WriteMessage},
    serde::{Serde, SerdeError},
};
