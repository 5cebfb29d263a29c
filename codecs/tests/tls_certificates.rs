//! TLS: who is let in, and how who isn't learns why.

mod tls_common;

use std::sync::Arc;

use rcgen::{SanType, date_time_ymd};
use tls_common::{
    accept, authority,
    certificates::{Authority, NAME, V12, V13},
    end_of, lines, meet, refused, talk,
};
use tokio::io::duplex;
use wattle_codecs::tls::{
    self, TlsError,
    rustls::{
        AlertDescription, CertificateError, ClientConfig, ProtocolVersion, ServerConfig,
        pki_types::ServerName,
    },
};

#[tokio::test]
async fn the_client_knows_the_server_and_both_talk() {
    for (versions, version) in [
        (V12, ProtocolVersion::TLSv1_2),
        (V13, ProtocolVersion::TLSv1_3),
    ] {
        let (ca, identity) = authority();
        let client = ca.client(versions, None);
        let (client, server) = meet(client, ca.server(versions, &identity)).await;
        let (mut client, mut server) = (client.unwrap(), server.unwrap());
        assert_eq!(tls::peer_certificates(&client), [identity.certificate]);
        assert!(tls::peer_certificates(&server).is_empty());
        assert_eq!(
            client.get_ref().get_ref().1.protocol_version(),
            Some(version)
        );
        talk(&mut client, &mut server, "ping").await;
        talk(&mut server, &mut client, "pong").await;
    }
}

#[tokio::test]
async fn both_know_each_other() {
    for versions in [V12, V13] {
        let (ca, server_identity) = authority();
        let client_identity = ca.issue();
        let (client, server) = meet(
            ca.client(versions, Some(&client_identity)),
            ca.mutual_server(versions, &server_identity),
        )
        .await;
        let (mut client, mut server) = (client.unwrap(), server.unwrap());
        assert_eq!(
            tls::peer_certificates(&client),
            [server_identity.certificate]
        );
        assert_eq!(
            tls::peer_certificates(&server),
            [client_identity.certificate]
        );
        talk(&mut client, &mut server, "ping").await;
        talk(&mut server, &mut client, "pong").await;
    }
}

#[tokio::test]
async fn a_name_may_be_an_address() {
    let (ca, identity) = authority();
    let (a, b) = duplex(4096);
    let address = ServerName::from(std::net::IpAddr::from([127, 0, 0, 1]));
    let (client, server) = tokio::join!(
        tls::connect(a, Arc::new(ca.client(V13, None)), address, lines),
        accept(b, ca.server(V13, &identity))
    );
    assert!(client.is_ok() && server.is_ok());
}

/// The client refuses the server's certificate: its error, and the alert that the server gets.
async fn refused_by_client(
    name: &'static str,
    client: ClientConfig,
    server: ServerConfig,
) -> (CertificateError, AlertDescription, TlsError) {
    let (a, b) = duplex(16 * 1024);
    let name = ServerName::try_from(name).unwrap();
    let (client, server) = tokio::join!(
        tls::connect(a, Arc::new(client), name, lines),
        accept(b, server)
    );
    let client = refused(client);
    let TlsError::Certificate { error } = &client else {
        panic!("{client}");
    };
    let error = error.clone();
    let TlsError::RemoteRefused { alert } = refused(server) else {
        panic!("expected an alert");
    };
    (error, alert, client)
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused() {
    for versions in [V12, V13] {
        let (ca, identity) = authority();
        let other = Authority::new("another authority");
        let (error, alert, shown) = refused_by_client(
            NAME,
            other.client(versions, None),
            ca.server(versions, &identity),
        )
        .await;
        assert_eq!(error, CertificateError::UnknownIssuer);
        assert_eq!(alert, AlertDescription::UnknownCA);
        assert_eq!(
            shown.to_string(),
            "we refuse the remote's certificate: UnknownIssuer"
        );
    }
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    for versions in [V12, V13] {
        let (ca, identity) = authority();
        let client = ca.client(versions, None);
        let server = ca.server(versions, &identity);
        let (error, alert, shown) = refused_by_client("other.example", client, server).await;
        assert!(
            matches!(error, CertificateError::NotValidForNameContext { .. }),
            "{error}"
        );
        assert_eq!(alert, AlertDescription::BadCertificate);
        let shown = shown.to_string();
        assert!(
            shown.contains("other.example") && shown.contains(NAME),
            "{shown}"
        );
    }
}

/// Whoever reads the log must not take a name for a line of it.
#[tokio::test]
async fn names_in_a_certificate_are_escaped_where_they_are_shown() {
    let ca = Authority::new("an authority");
    let identity = ca.issue_with(|params| {
        let name = "a\r\nbanned\x1b[31m\\".try_into().unwrap();
        params.subject_alt_names = vec![SanType::DnsName(name)];
    });
    let (client, _) = meet(ca.client(V13, None), ca.server(V13, &identity)).await;
    let error = refused(client);
    assert!(matches!(&error, TlsError::Certificate { .. }), "{error}");
    assert_eq!(
        error.to_string(),
        "we refuse the remote's certificate: certificate not valid for name \"peer.example\"; \
         certificate is only valid for DnsName(\"a\\r\\nbanned\\u{1b}[31m\\\\\")"
    );
}

#[tokio::test]
async fn a_certificate_out_of_its_time_is_refused() {
    for versions in [V12, V13] {
        let ca = Authority::new("an authority");
        let old = ca.issue_with(|params| params.not_after = date_time_ymd(2001, 2, 3));
        let (error, alert, _) =
            refused_by_client(NAME, ca.client(versions, None), ca.server(versions, &old)).await;
        assert!(
            matches!(error, CertificateError::ExpiredContext { .. }),
            "{error}"
        );
        assert_eq!(alert, AlertDescription::CertificateExpired);

        let early = ca.issue_with(|params| params.not_before = date_time_ymd(3001, 2, 3));
        let (error, _, _) =
            refused_by_client(NAME, ca.client(versions, None), ca.server(versions, &early)).await;
        assert!(
            matches!(error, CertificateError::NotValidYetContext { .. }),
            "{error}"
        );
    }
}

#[tokio::test]
async fn in_tls_1_2_a_client_learns_in_the_handshake_that_it_needs_a_certificate() {
    let (ca, identity) = authority();
    let (client, server) = meet(ca.client(V12, None), ca.mutual_server(V12, &identity)).await;
    let (client, server) = (refused(client), refused(server));
    assert!(matches!(server, TlsError::NoCertificate), "{server}");
    assert_eq!(
        server.to_string(),
        "expected a certificate of the remote, it has none"
    );
    let TlsError::RemoteRefused { alert } = client else {
        panic!("{client}");
    };
    assert_eq!(alert, AlertDescription::CertificateRequired);
    assert_eq!(
        client.to_string(),
        "the remote refuses our certificate: alert CertificateRequired"
    );
}

#[tokio::test]
async fn in_tls_1_3_a_client_learns_in_its_first_read_that_it_is_refused() {
    let other = Authority::new("another authority").issue();
    for (identity, expected) in [
        (None, AlertDescription::CertificateRequired),
        (Some(&other), AlertDescription::UnknownCA),
    ] {
        let (ca, server_identity) = authority();
        let (client, server) = meet(
            ca.client(V13, identity),
            ca.mutual_server(V13, &server_identity),
        )
        .await;
        match refused(server) {
            TlsError::NoCertificate => assert!(identity.is_none()),
            TlsError::Certificate { error } => assert_eq!(error, CertificateError::UnknownIssuer),
            error => panic!("{error}"),
        }
        let mut client = client.expect("the client is done before");
        let error = end_of(&mut client).await;
        for error in [TlsError::from(&error), TlsError::from(error)] {
            let TlsError::RemoteRefused { alert } = error else {
                panic!("{error}");
            };
            assert_eq!(alert, expected);
        }
    }
}
