//! Dialling: from an address to a stream.

use std::{
    future::Future,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
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

/// Whether the system says that an address is one of this host. It is asked only for who listens on a
/// wildcard. A transport with addresses of its own has none: it says on which of them it listens
/// (`testing::Memory` does), as nobody else could resolve it.
fn is_local(ip: IpAddr) -> bool {
    let nobodys: IpAddr = match ip {
        IpAddr::V4(_) => NOBODYS_V4.into(),
        IpAddr::V6(_) => NOBODYS_V6.into(),
    };
    // Where even that can be bound (`net.ipv4.ip_nonlocal_bind`), it means nothing. Better to dial
    // oneself than not to dial anybody who has the same port.
    ip.is_loopback() || ip.is_unspecified() || (can_be_bound(ip) && !can_be_bound(nobodys))
}

/// From the ranges for documentation (RFC 5737, RFC 3849).
const NOBODYS_V4: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
const NOBODYS_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);

fn can_be_bound(ip: IpAddr) -> bool {
    UdpSocket::bind((ip, 0)).is_ok()
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

    /// Of a network namespace of its own, in which every address can be bound.
    #[cfg(target_os = "linux")]
    #[test]
    fn nobody_else_is_self_where_any_address_can_be_bound() {
        const INSIDE: &str = "WATTLE_TEST_ANY_BIND";
        if std::env::var_os(INSIDE).is_some() {
            assert!(can_be_bound(addr("192.0.2.1:0").ip()));
            let wildcard = [addr("0.0.0.0:4000")];
            assert!(!is_self(addr("192.0.2.1:4000"), &wildcard));
            assert!(is_self(addr("127.0.0.2:4000"), &wildcard));
            return;
        }
        let prepared = |then: &str| {
            let set = "echo 1 > /proc/sys/net/ipv4/ip_nonlocal_bind 2> /dev/null";
            let mut command = std::process::Command::new("unshare");
            command.args(["-rn", "sh", "-c", &format!("{set} && {then}")]);
            command.stderr(std::process::Stdio::null());
            command
        };
        if !prepared("true")
            .status()
            .is_ok_and(|status| status.success())
        {
            return eprintln!("skipped: no network namespace of one's own here");
        }
        let name = "nobody_else_is_self_where_any_address_can_be_bound";
        let again = prepared("exec \"$0\" --exact \"dialer::tests::$1\"")
            .arg(std::env::current_exe().unwrap())
            .arg(name)
            .env(INSIDE, "1")
            .output()
            .unwrap();
        let output = String::from_utf8_lossy(&again.stdout);
        assert!(again.status.success(), "{output}");
        assert!(output.contains("1 passed"), "{output}");
    }
}
