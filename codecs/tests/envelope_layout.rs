//! Layouts of envelopes: those that make no sense say why.

mod envelope;

use std::fmt::Debug;

use envelope::bitcoin;
use wattle_codecs::{Checksum, Crc32, Envelope, Layout, LayoutError, Length, NoChecksum};

#[test]
fn a_layout_that_makes_no_sense_says_why() {
    fn why<const N: usize, K: Checksum>(layout: Layout) -> (LayoutError, String) {
        let error = Envelope::<N, K>::new(layout, 9).unwrap_err();
        let text = error.to_string();
        let text = text
            .strip_prefix("layout of an envelope: ")
            .unwrap()
            .to_owned();
        (error, text)
    }
    let length = || Layout::new().length(Length::U8);

    let (error, text) = why::<1, NoChecksum>(Layout::new().opaque(1));
    assert_eq!(error, LayoutError::NoLength);
    assert_eq!(text, "no length, expected one");

    let (error, text) = why::<0, NoChecksum>(length().length(Length::U16));
    assert_eq!(error, LayoutError::TwoLengths);
    assert_eq!(text, "more than one length, expected one");

    for layout in [
        length().checksum().checksum(),
        length().checksum().trailer(),
    ] {
        let (error, text) = why::<0, Crc32>(layout);
        assert_eq!(error, LayoutError::TwoChecksums);
        assert_eq!(text, "more than one checksum, expected one at most");
    }
    for layout in [length().checksum(), length().trailer()] {
        let (error, text) = why::<0, NoChecksum>(layout);
        assert_eq!(error, LayoutError::NoChecksumType);
        assert_eq!(text, "a checksum, but the codec's type names none");
    }
    let (error, text) = why::<0, Crc32>(length());
    assert_eq!(error, LayoutError::NoChecksumField);
    assert_eq!(text, "no checksum, but the codec's type names one");

    for layout in [
        length().trailer().opaque(1),
        length().opaque(1).trailer().trailer(),
    ] {
        let (error, text) = why::<1, Crc32>(layout);
        assert_eq!(error, LayoutError::BehindTrailer);
        assert_eq!(text, "a field behind the trailer, expected none");
    }
    let (error, text) = why::<4, NoChecksum>(length().opaque(2).opaque(3));
    assert_eq!(
        error,
        LayoutError::WrongOpaque {
            expected: 4,
            came: 5
        }
    );
    assert_eq!(
        text,
        "opaque fields of 5 bytes in all, but the codec's type says 4"
    );

    let (error, _) = why::<4, NoChecksum>(length().opaque(usize::MAX).opaque(5));
    assert_eq!(
        error,
        LayoutError::WrongOpaque {
            expected: 4,
            came: usize::MAX
        }
    );

    let (error, text) = why::<300, NoChecksum>(length().opaque(300).inclusive());
    assert_eq!(
        error,
        LayoutError::CountsTooMuch {
            counted: 301,
            most: 255
        }
    );
    assert_eq!(
        text,
        "the length counts 301 bytes beside the payload, expected at most 255, which is what it can say"
    );
    let (error, _) = why::<0, NoChecksum>(length().counting(256));
    assert_eq!(
        error,
        LayoutError::CountsTooMuch {
            counted: 256,
            most: 255
        }
    );
}

#[test]
fn layouts_can_be_compared_and_codecs_shown() {
    let layout = || Layout::new().magic("m").length(Length::U8);
    assert_eq!(layout(), layout());
    assert_ne!(layout(), layout().inclusive());
    fn is_debug(_: &impl Debug) {}
    is_debug(&bitcoin());
    assert!(format!("{:?}", bitcoin()).starts_with("Envelope"));
}
