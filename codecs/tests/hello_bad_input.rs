//! What isn't a hello: strangers, wrong lengths, noise, streams that end or fail, and arguments that
//! no hello can be made of.

mod hello;

use std::io;

use hello::{
    ACCEPTED, Script, exchange, fail, our_hello, ours, play, their_hello, their_hello_with,
    with_verdict,
};
use tokio::io::{AsyncWriteExt, duplex};
use tokio_test::io::Builder;
use wattle_codecs::hello::{Hello, HelloError, MAX_IDENTITY, MAX_MAGIC, Part};

#[test]
fn every_truncation_is_told() {
    let input = with_verdict(their_hello(), &ACCEPTED);
    let hello = their_hello().len();
    for end in 0..input.len() {
        let HelloError::Ended { inside, came, at } = fail(input[..end].to_vec()) else {
            panic!("truncated after {end}");
        };
        if end < hello {
            assert_eq!((inside, came, at), (Part::Hello, end, 0));
        } else {
            assert_eq!(
                (inside, came, at),
                (Part::Verdict, end - hello, hello as u64)
            );
        }
    }
    assert_eq!(
        fail(input[..29].to_vec()).to_string(),
        "verdict at byte 28: the stream ended after 1 bytes of it"
    );
    assert_eq!(
        fail("").to_string(),
        "hello at byte 0: the stream ended after 0 bytes of it"
    );
}

#[tokio::test]
async fn a_stranger_is_turned_away_at_the_first_wrong_byte() {
    for wrong in 0..4 {
        let mut came = b"test"[..=wrong].to_vec();
        came[wrong] = b'!';
        let (io, mut remote) = duplex(1024);
        remote.write_all(&came).await.unwrap();
        // The stranger says nothing more, and doesn't close.
        let error = exchange(&ours(), io).await.unwrap_err();
        let HelloError::Magic {
            expected,
            came: told,
            at,
        } = error
        else {
            panic!("{error}");
        };
        assert_eq!((&expected[..], at), (&b"test"[..], wrong as u64));
        assert_eq!(told, came);
        drop(remote);
    }
    let error = fail("\x16\x03\x01 a TLS client");
    assert_eq!(
        error.to_string(),
        r#"another protocol: expected "test", came "\x16\x03\x01 ", wrong from byte 0"#
    );
}

/// It is turned away even if it reads nothing: our hello doesn't have to be written first.
#[tokio::test]
async fn a_stranger_that_doesnt_read_is_turned_away() {
    let (io, mut remote) = duplex(3);
    remote.write_all(b"GET").await.unwrap();
    let error = exchange(&ours(), io).await.unwrap_err();
    assert!(matches!(error, HelloError::Magic { at: 0, .. }), "{error}");
}

#[tokio::test]
async fn an_announced_length_is_judged_before_anything_else_comes() {
    for announced in [0, 17, 4097, u16::MAX] {
        let (io, mut remote) = duplex(1024);
        let mut came = b"test".to_vec();
        came.extend(announced.to_be_bytes());
        remote.write_all(&came).await.unwrap();
        let error = exchange(&ours(), io).await.unwrap_err();
        let HelloError::Length {
            announced: told,
            least,
            most,
            at,
        } = error
        else {
            panic!("{error}");
        };
        assert_eq!((told, least, most, at), (announced, 18, 4096, 4));
        assert_eq!(
            error.to_string(),
            format!("hello with length {announced} at byte 4, expected 18 to 4096")
        );
    }
}

#[test]
fn the_shortest_and_the_longest_hello_are_fine() {
    let mut body = their_hello()[6..24].to_vec();
    body[16..].fill(0);
    for length in [18, 4096] {
        body.resize(length, 0xaa);
        let input = with_verdict(their_hello_with(&body), &ACCEPTED);
        let (_, agreed) = play(&ours(), Script::new(input)).unwrap();
        assert_eq!(agreed.remote.identity, "", "{length}");
    }
}

#[test]
fn an_identity_beyond_the_cap_or_the_hello_is_an_error() {
    let most = MAX_IDENTITY as u16;
    let hello = |announced: u16, there: usize| {
        let mut body = their_hello()[6..24].to_vec();
        body[16..].copy_from_slice(&announced.to_be_bytes());
        body.resize(18 + there, b'x');
        with_verdict(their_hello_with(&body), &ACCEPTED)
    };
    for (announced, there, room) in [
        (most + 1, usize::from(most) + 1, MAX_IDENTITY),
        (u16::MAX, 4000, MAX_IDENTITY),
        (5, 4, 4),
        (1, 0, 0),
    ] {
        let error = fail(hello(announced, there));
        let HelloError::IdentityTooLong {
            announced: told,
            most,
            at,
        } = error
        else {
            panic!("{error}");
        };
        assert_eq!((told, most, at), (announced, room, 22));
        assert_eq!(
            error.to_string(),
            format!(
                "hello with an identity of {announced} bytes at byte 22, expected at most {room}"
            )
        );
    }
    let (_, agreed) = play(&ours(), Script::new(hello(most, MAX_IDENTITY))).unwrap();
    assert_eq!(agreed.remote.identity.len(), MAX_IDENTITY);
}

#[test]
fn versions_in_the_wrong_order_are_an_error() {
    let mut input = with_verdict(their_hello(), &ACCEPTED);
    input[9] = 4;
    let error = fail(input);
    let HelloError::Versions { oldest, newest, at } = error else {
        panic!("{error}");
    };
    assert_eq!((oldest, newest, at), (4, 3, 6));
    let text = "hello with versions 4 to 3 at byte 6, expected the oldest first";
    assert_eq!(error.to_string(), text);
}

#[test]
fn flipped_bits_and_noise_never_panic_and_never_wait() {
    let mut input = with_verdict(their_hello(), &[1, 44, 6]);
    input.extend(b"banned");
    for bit in 0..input.len() * 8 {
        let mut flipped = input.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        for block in [1, usize::MAX] {
            let _ = play(&ours(), Script::new(flipped.clone()).in_blocks(block));
        }
    }
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..2000 {
        let mut noise = if state & 1 == 0 {
            b"test".to_vec()
        } else {
            their_hello()
        };
        for _ in 0..state % 64 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            noise.push((state >> 56) as u8);
        }
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(7);
        let _ = play(&ours(), Script::new(noise));
    }
}

#[tokio::test]
async fn an_error_of_the_transport_is_told_with_its_kind() {
    let script = Builder::new()
        .write(&our_hello())
        .read_error(io::ErrorKind::ConnectionReset.into())
        .build();
    let error = exchange(&ours(), script).await.unwrap_err();
    assert!(
        matches!(&error, HelloError::Io(error) if error.kind() == io::ErrorKind::ConnectionReset),
        "{error}"
    );
}

#[test]
#[should_panic(expected = "a magic of 17 bytes, expected 1 to 16")]
fn a_magic_that_is_too_long_is_a_bug() {
    let _ = Hello::new(&[0; MAX_MAGIC + 1], 1..=1);
}

#[test]
#[should_panic(expected = "a magic of 0 bytes")]
fn an_empty_magic_is_a_bug() {
    let _ = Hello::new(b"", 1..=1);
}

#[test]
#[should_panic(expected = "no version in 2..=1")]
#[expect(clippy::reversed_empty_ranges, reason = "that is the bug")]
fn no_version_is_a_bug() {
    let _ = Hello::new(b"m", 2..=1);
}

#[test]
#[should_panic(expected = "an identity of 1025 bytes, expected at most 1024")]
fn an_identity_that_is_too_long_is_a_bug() {
    let _ = Hello::new(b"m", 1..=1).identity(vec![0; 1025]);
}
