//! Dialling: from an address to a stream.

use std::{
    future::Future,
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
    time::Duration,
};

use tokio::time::timeout;

use crate::error::ConnectError;

/// Waits for a stream from `addr`, for `limit` at most.
pub(crate) async fn dial<S>(
    addr: SocketAddr,
    limit: Duration,
    connect: impl Future<Output = io::Result<S>>,
) -> Result<S, ConnectError> {
    match timeout(limit, connect).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(source)) if source.kind() == io::ErrorKind::ConnectionRefused => {
            Err(ConnectError::Refused { addr, source })
        }
        Ok(Err(source)) => Err(ConnectError::Io { addr, source }),
        Err(_elapsed) => Err(ConnectError::TimedOut { addr, after: limit }),
    }
}

/// Whether dialling `addr` leads to one of the addresses that we listen on.
pub(crate) fn is_self(addr: SocketAddr, listening: &[SocketAddr]) -> bool {
    let ip = addr.ip().to_canonical();
    listening
        .iter()
        .filter(|own| own.port() == addr.port())
        .any(|own| {
            let own = own.ip().to_canonical();
            own == ip || (own.is_unspecified() && is_local(ip))
        })
}

/// Only an address of this host can be bound.
fn is_local(ip: IpAddr) -> bool {
    ip.is_loopback() || ip.is_unspecified() || UdpSocket::bind((ip, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn self_is_the_same_address_or_any_of_this_host_behind_a_wildcard() {
        let loopback = [addr("127.0.0.1:4000")];
        assert!(is_self(addr("127.0.0.1:4000"), &loopback));
        assert!(is_self(addr("[::ffff:127.0.0.1]:4000"), &loopback));
        assert!(!is_self(addr("127.0.0.1:4001"), &loopback));
        assert!(!is_self(addr("127.0.0.2:4000"), &loopback));

        let wildcard = [addr("0.0.0.0:4000")];
        assert!(is_self(addr("127.0.0.2:4000"), &wildcard));
        // From the range for documentation (RFC 5737), so nobody's own.
        assert!(!is_self(addr("192.0.2.1:4000"), &wildcard));
        assert!(!is_self(addr("127.0.0.1:4000"), &[]));
    }
}
