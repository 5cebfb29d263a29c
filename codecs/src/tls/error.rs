//! What keeps a TLS handshake from a session: [`TlsError`].

use std::{
    error::Error,
    fmt::{self, Write},
    io,
};

use super::rustls::{self, AlertDescription, CertificateError, InvalidMessage};

/// What keeps a TLS handshake from a session, or ends a session.
///
/// The session itself fails with `io::Error`, wrapped by its codec; [`TlsError::from`] tells those
/// apart as well. At which byte of the stream it went wrong is something that TLS doesn't tell.
#[derive(Debug)]
#[non_exhaustive]
pub enum TlsError {
    /// We refuse the remote's certificate.
    Certificate {
        /// Why.
        error: CertificateError,
    },
    /// The remote has no certificate, and has to have one.
    NoCertificate,
    /// The remote refuses our certificate, or that we have none. (For a signature that is wrong, or
    /// when a server with TLS 1.2 demands a certificate, many send an alert that can mean other
    /// things too: those are an [`Alert`](Self::Alert).)
    RemoteRefused {
        /// What the remote says why.
        alert: AlertDescription,
    },
    /// There is no protocol that both speak (ALPN).
    NoCommonAlpn {
        /// The protocols that this side speaks.
        ours: Vec<Vec<u8>>,
        /// The protocols that the client offers, 16 at most; empty if the remote is the server,
        /// which doesn't say what it speaks.
        theirs: Vec<Vec<u8>>,
    },
    /// What comes from the remote isn't TLS: it speaks another protocol, perhaps in the clear.
    NotTls {
        /// What is wrong with the first bytes that can't be a record of TLS.
        error: InvalidMessage,
    },
    /// The remote ends it with an alert that isn't about our certificate or the protocol.
    Alert {
        /// What the remote says why.
        alert: AlertDescription,
    },
    /// The stream ended in the middle of the handshake, or during the session without
    /// `close_notify`.
    Ended,
    /// Whatever else is against the rules of TLS, or is nothing that both sides support.
    Tls(rustls::Error),
    /// The transport's error.
    Io(io::Error),
}

impl TlsError {
    /// An error of the handshake, with the protocols if it is about those.
    pub(super) fn about_alpn(self, ours: &[Vec<u8>], theirs: Vec<Vec<u8>>) -> Self {
        match self {
            Self::Tls(rustls::Error::NoApplicationProtocol)
            | Self::Alert {
                alert: AlertDescription::NoApplicationProtocol,
            } => Self::NoCommonAlpn {
                ours: ours.to_vec(),
                theirs,
            },
            other => other,
        }
    }
}

/// Whether an alert is about the certificate of the side that receives it: [RFC 8446, section 6.2].
///
/// [RFC 8446, section 6.2]: https://www.rfc-editor.org/rfc/rfc8446#section-6.2
fn is_about_certificate(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::NoCertificate
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
            | AlertDescription::BadCertificateStatusResponse
            | AlertDescription::CertificateRequired
    )
}

/// Whether it is what a record begins with that is wrong: its type, its version or its length.
fn is_no_record(error: InvalidMessage) -> bool {
    matches!(
        error,
        InvalidMessage::InvalidContentType
            | InvalidMessage::UnknownProtocolVersion
            | InvalidMessage::MessageTooLarge
            | InvalidMessage::InvalidEmptyPayload
    )
}

impl From<rustls::Error> for TlsError {
    fn from(error: rustls::Error) -> Self {
        match error {
            rustls::Error::InvalidCertificate(error) => Self::Certificate { error },
            rustls::Error::NoCertificatesPresented => Self::NoCertificate,
            rustls::Error::AlertReceived(alert) if is_about_certificate(alert) => {
                Self::RemoteRefused { alert }
            }
            rustls::Error::AlertReceived(alert) => Self::Alert { alert },
            rustls::Error::InvalidMessage(error) if is_no_record(error) => Self::NotTls { error },
            other => Self::Tls(other),
        }
    }
}

/// Tells what rustls puts into an `io::Error` from what the transport does.
impl From<io::Error> for TlsError {
    fn from(error: io::Error) -> Self {
        match error.downcast::<rustls::Error>() {
            Ok(error) => error.into(),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Self::Ended,
            Err(error) => Self::Io(error),
        }
    }
}

/// The same for an error that somebody else has too, as `wattle`'s `Reason::Io`. One of the
/// transport's is made again, with its kind and its text.
impl From<&io::Error> for TlsError {
    fn from(error: &io::Error) -> Self {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
        match inner.cloned() {
            Some::<rustls::Error>(inner) => inner.into(),
            None => io::Error::new(error.kind(), error.to_string()).into(),
        }
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate { error } => {
                write!(f, "we refuse the remote's certificate: {}", Escaped(error))
            }
            Self::NoCertificate => f.write_str("expected a certificate of the remote, it has none"),
            Self::RemoteRefused { alert } => {
                write!(f, "the remote refuses our certificate: alert {alert:?}")
            }
            Self::NoCommonAlpn { ours, theirs } if theirs.is_empty() => {
                write!(f, "no common protocol: we offer {}", Names(ours))
            }
            Self::NoCommonAlpn { ours, theirs } => write!(
                f,
                "no common protocol: we speak {}, the remote offers {}",
                Names(ours),
                Names(theirs)
            ),
            Self::NotTls { error } => {
                write!(
                    f,
                    "expected TLS, the remote speaks something else: {error:?}"
                )
            }
            Self::Alert { alert } => write!(f, "the remote ends it: alert {alert:?}"),
            Self::Ended => f.write_str("the stream ended, expected more or a close_notify"),
            Self::Tls(error) => Escaped(error).fmt(f),
            Self::Io(error) => error.fmt(f),
        }
    }
}

/// Names of protocols, which are bytes of any kind.
struct Names<'a>(&'a [Vec<u8>]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, name) in self.0.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}\"{}\"", name.escape_ascii())?;
        }
        Ok(())
    }
}

/// What rustls says. It quotes the names in a certificate as they are, and a remote may have one with
/// characters of any kind.
struct Escaped<T>(T);

impl<T: fmt::Display> fmt::Display for Escaped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping(f), "{}", self.0)
    }
}

/// Passes text on, with what can't be printed escaped. The quotation marks are mostly rustls' own.
struct Escaping<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|char| match char {
            '"' | '\'' => self.0.write_char(char),
            _ => char
                .escape_debug()
                .try_for_each(|char| self.0.write_char(char)),
        })
    }
}

impl Error for TlsError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Tls(error) => error.source(),
            Self::Io(error) => error.source(),
            _ => None,
        }
    }
}
