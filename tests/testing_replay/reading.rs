//! What is no capture, and what is found in one.

use wattle::testing::capture::CaptureReadError;

use super::*;

fn parse(text: &str) -> CaptureReadError {
    match Recording::parse(text.as_bytes()) {
        Ok(recording) => panic!("{recording:?}"),
        Err(error) => error,
    }
}

#[test]
fn what_is_not_a_capture_is_told() {
    use CaptureReadError::{NotACapture, UnknownVersion};
    let missing = Recording::read("/there/is/no/such/file").unwrap_err();
    assert!(matches!(missing, CaptureReadError::Io(_)), "{missing}");
    for text in [
        "",
        "\n",
        "hello\n",
        "{}\n",
        "[1]\n",
        "{\"wattle-capture\":1}\n",
        "{\"wattle-cap",
    ] {
        let error = parse(text);
        assert!(matches!(error, NotACapture { .. }), "{text:?}: {error}");
    }
    assert_eq!(
        parse("").to_string(),
        "not a capture of wattle: the file is empty"
    );
    let error = parse("{\"wattle-capture\":2,\"began\":0}\n");
    assert!(matches!(error, UnknownVersion { found: 2 }), "{error}");
    assert_eq!(error.to_string(), "a capture of version 2, expected 1");
}

#[test]
fn a_bad_line_is_told_with_its_number() {
    let header = "{\"wattle-capture\":1,\"began\":0}\n";
    let open = "{\"us\":0,\"connection\":0,\"peer\":1,\"addr\":\"[::1]:7\",\"side\":\"dialer\",\"what\":\"open\"}\n";
    for (line, problem) in [
        (
            "{\"us\":0,\"connection\":0,\"what\":\"fr",
            "line 3 is cut off in the middle",
        ),
        (
            "{\"us\":0\n",
            "line 3: EOF while parsing an object at line 1 column 7",
        ),
        (
            "{\"us\":0,\"what\":\"close\"}\n",
            "line 3: there is no number `connection`",
        ),
        (
            "{\"connection\":0,\"what\":\"close\"}\n",
            "line 3: there is no number `us`",
        ),
        (
            "{\"us\":0,\"connection\":1,\"what\":\"close\"}\n",
            "line 3: connection 1 has not been opened",
        ),
        (open, "line 3: connection 0 is open already"),
        (
            "{\"us\":0,\"connection\":0,\"what\":\"sing\"}\n",
            "line 3: `what` is \"sing\", which this version has not",
        ),
        (
            "{\"us\":0,\"connection\":0,\"what\":\"bytes\",\"dir\":\"up\",\"bytes\":\"\"}\n",
            "line 3: `dir` is \"up\", which is none",
        ),
        (
            "{\"us\":0,\"connection\":0,\"what\":\"bytes\",\"dir\":\"in\",\"bytes\":\"abc\"}\n",
            "line 3: `bytes` is not hexadecimal",
        ),
        (
            "{\"us\":0,\"connection\":0,\"what\":\"bytes\",\"dir\":\"in\",\"bytes\":\"zz\"}\n",
            "line 3: `bytes` is not hexadecimal",
        ),
    ] {
        assert_eq!(parse(&format!("{header}{open}{line}")).to_string(), problem);
    }
    // Unknown fields are left to later versions.
    let more = "{\"us\":5,\"connection\":0,\"what\":\"close\",\"mood\":\"good\"}\n";
    Recording::parse(format!("{header}{open}{more}").as_bytes()).unwrap();
}

#[test]
fn a_connection_is_picked_by_its_peer_or_is_the_only_one() {
    let header = "{\"wattle-capture\":1,\"began\":0}\n";
    let open = |connection: u64, peer: u64| {
        let addr = format!("127.0.0.1:{peer}");
        let document = json!({
            "us": 0, "connection": connection, "peer": peer, "addr": addr, "side": "listener",
            "what": "open", "node": "pea"
        });
        format!("{document}\n")
    };
    let none = Recording::parse(header.as_bytes()).unwrap();
    assert_eq!(
        none.only().unwrap_err().to_string(),
        "no connection in the capture"
    );
    let two = Recording::parse(format!("{header}{}{}", open(0, 3), open(1, 4)).as_bytes()).unwrap();
    assert_eq!(two.peer(4).unwrap().number, 1);
    assert_eq!(
        two.peer(5).unwrap_err().to_string(),
        "no such connection, only #3 127.0.0.1:3 of pea, #4 127.0.0.1:4 of pea"
    );
    assert_eq!(
        two.only().unwrap_err().to_string(),
        "one connection expected, got #3 127.0.0.1:3 of pea, #4 127.0.0.1:4 of pea"
    );
}
