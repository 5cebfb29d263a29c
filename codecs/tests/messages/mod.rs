//! What every format is tested with: messages of every kind, recursive ones, and the tests
//! themselves.
#![allow(dead_code, unreachable_pub, reason = "not each file uses all of it")]

use std::{cell::Cell, collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{MapAccess, SeqAccess, Visitor},
};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    pub id: u32,
    pub name: String,
}

pub fn ann() -> Hello {
    Hello {
        id: 1,
        name: "Ann".to_owned(),
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Shape {
    Unit,
    Newtype(u32),
    Tuple(u8, bool),
    Struct { hello: Hello, more: Option<Vec<u8>> },
}

pub fn shapes() -> Vec<Shape> {
    let full = Shape::Struct {
        hello: ann(),
        more: Some(vec![1, 255]),
    };
    let empty = Shape::Struct {
        hello: ann(),
        more: None,
    };
    vec![
        Shape::Unit,
        Shape::Newtype(300),
        Shape::Tuple(7, true),
        full,
        empty,
    ]
}

/// One of each kind that serde has a method for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Everything {
    pub signed: (i8, i16, i32, i64, i128),
    pub unsigned: (u8, u16, u32, u64, u128),
    pub floats: (f32, f64),
    pub texts: (char, String),
    pub unit: (),
    pub nothing: Nothing,
    pub wrapped: Wrapped,
    pub pair: Pair,
    pub map: BTreeMap<String, Vec<Option<bool>>>,
    pub shapes: Vec<Shape>,
    pub array: [u8; 3],
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Nothing;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Wrapped(Option<Box<Wrapped>>, u8);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pair(String, #[serde(with = "bytes_of")] Vec<u8>);

/// Bytes as bytes instead of as a sequence of numbers.
mod bytes_of {
    use std::fmt;

    use serde::{Deserializer, Serializer, de};

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(bytes)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Vec<u8>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
                Ok(bytes.to_vec())
            }
            fn visit_byte_buf<E: de::Error>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
                Ok(bytes)
            }
        }
        from.deserialize_byte_buf(Visitor)
    }
}

pub fn everything() -> Everything {
    Everything {
        signed: (i8::MIN, i16::MIN, i32::MIN, i64::MIN, i128::MIN),
        unsigned: (u8::MAX, u16::MAX, u32::MAX, u64::MAX, u128::MAX),
        floats: (0.5, -1.25),
        texts: ('ß', "text".repeat(2000)),
        unit: (),
        nothing: Nothing,
        wrapped: Wrapped(Some(Box::new(Wrapped(None, 1))), 2),
        pair: Pair("bytes".to_owned(), vec![0, 1, 2]),
        map: [
            ("a".to_owned(), vec![None, Some(true)]),
            ("b".to_owned(), vec![]),
        ]
        .into(),
        shapes: shapes(),
        array: [1, 2, 3],
    }
}

/// Recursive in each way that a type can be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Tree {
    Leaf,
    One(Box<Tree>),
    Many(Vec<Tree>),
    Pair(u8, Box<Tree>),
    Node { next: Option<Box<Tree>> },
    Map(BTreeMap<u8, Tree>),
}

pub type Step = fn(Tree) -> Tree;

pub const STEPS: [Step; 5] = [
    |tree| Tree::One(Box::new(tree)),
    |tree| Tree::Many(vec![tree]),
    |tree| Tree::Pair(7, Box::new(tree)),
    |tree| Tree::Node {
        next: Some(Box::new(tree)),
    },
    |tree| Tree::Map([(7, tree)].into()),
];

pub fn tree(depth: usize, step: Step) -> Tree {
    (0..depth).fold(Tree::Leaf, |tree, _| step(tree))
}

/// Recursive without anything between one and the next: what isn't nil never ends in a format that
/// marks no `Some`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Endless(pub Option<Box<Endless>>);

/// Tells the hint that it gets of its length, and takes all elements.
#[derive(Debug)]
pub struct Hint(Option<usize>);

impl<'de> Deserialize<'de> for Hint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Elements;
        impl<'de> Visitor<'de> for Elements {
            type Value = Hint;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("elements")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Hint, A::Error> {
                let hint = Hint(seq.size_hint());
                HINT.set(hint.0);
                while seq.next_element::<u8>()?.is_some() {}
                Ok(hint)
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Hint, A::Error> {
                let hint = Hint(map.size_hint());
                HINT.set(hint.0);
                while map.next_entry::<u8, u8>()?.is_some() {}
                Ok(hint)
            }
        }
        if AS_MAP.get() {
            deserializer.deserialize_map(Elements)
        } else {
            deserializer.deserialize_seq(Elements)
        }
    }
}

thread_local! {
    pub static HINT: Cell<Option<usize>> = const { Cell::new(None) };
    pub static AS_MAP: Cell<bool> = const { Cell::new(false) };
}

/// The tests that each format has to pass, and what they need: `$levels` is how many of each of
/// [`STEPS`] make a message that is as deep as it may be.
macro_rules! test_format {
    ($format:expr, $error:ty, $levels:expr) => {
        const LEVELS: [usize; 5] = $levels;

        fn written<T: Serialize>(message: &T) -> Vec<u8> {
            let mut to = Vec::new();
            $format.write(message, &mut to).unwrap();
            to
        }

        fn parsed<T: DeserializeOwned>(frame: &[u8]) -> Result<T, $error> {
            $format.parse(&Bytes::copy_from_slice(frame))
        }

        /// What comes before the leaf, for each level, and what comes behind.
        fn around(step: Step) -> (Vec<u8>, Vec<u8>) {
            let (leaf, one) = (written(&Tree::Leaf), written(&step(Tree::Leaf)));
            let at = one
                .windows(leaf.len())
                .rposition(|window| window == leaf)
                .unwrap();
            (one[..at].to_vec(), one[at + leaf.len()..].to_vec())
        }

        /// A frame of about a mebibyte that nests as deep as that goes.
        fn deep(step: Step) -> Bytes {
            let (before, after) = around(step);
            let times = (1 << 20) / (before.len() + after.len());
            let leaf = written(&Tree::Leaf);
            Bytes::from([before.repeat(times), leaf.to_vec(), after.repeat(times)].concat())
        }

        /// The hint that a type gets from a frame which announces more elements than it holds.
        fn hint_of(frame: &[u8], as_map: bool) -> Option<usize> {
            AS_MAP.set(as_map);
            HINT.set(None);
            parsed::<Hint>(frame).unwrap_err();
            HINT.get()
        }

        #[test]
        fn it_appends() {
            let mut to = b"before".to_vec();
            $format.write(&1_u8, &mut to).unwrap();
            assert_eq!(to, b"before\x01");
        }

        #[test]
        fn whatever_serde_has_comes_back() {
            let everything = everything();
            assert_eq!(
                parsed::<Everything>(&written(&everything)).unwrap(),
                everything
            );
        }

        #[test]
        fn a_truncated_message_is_an_error_wherever_it_ends() {
            let mut small = everything();
            small.texts.1 = "text".to_owned();
            let frame = written(&small);
            for end in 0..frame.len() {
                let result = parsed::<Everything>(&frame[..end]);
                assert!(matches!(result, Err(FormatError::Parse(_))), "{end}");
            }
        }

        #[test]
        fn bytes_behind_the_message_are_an_error() {
            let frame = [&written(&ann())[..], b"\x00\xff"].concat();
            let error = parsed::<Hello>(&frame).unwrap_err();
            let (parsed, len) = (frame.len() - 2, frame.len());
            assert_eq!(
                error.to_string(),
                format!("the message ends after {parsed} bytes, expected it to take all {len}")
            );
            assert!(matches!(
                error,
                FormatError::Trailing { parsed: p, len: l } if (p, l) == (parsed, len)
            ));
            for byte in 0..=255 {
                let frame = [&written(&ann())[..], &[byte]].concat();
                let error = self::parsed::<Hello>(&frame).unwrap_err();
                assert!(
                    matches!(error, FormatError::Trailing { .. }),
                    "{byte}: {error}"
                );
            }
        }

        #[test]
        fn a_message_nests_as_deep_as_documented_and_no_deeper() {
            for (i, step) in STEPS.into_iter().enumerate() {
                let frame = |depth| written(&tree(depth, step));
                let allowed = (0..300)
                    .take_while(|&depth| parsed::<Tree>(&frame(depth)).is_ok())
                    .last();
                assert_eq!(allowed, Some(LEVELS[i]), "{:?}", tree(1, step));
                let error = parsed::<Tree>(&frame(LEVELS[i] + 1)).unwrap_err();
                assert_eq!(
                    error.to_string(),
                    "the message nests deeper than 128 levels"
                );
                assert!(matches!(error, FormatError::TooDeep { most: 128 }));
            }
        }

        #[test]
        fn a_type_that_is_nothing_but_itself_ends_all_the_same() {
            assert!(parsed::<Endless>(&written(&Endless(None))).is_ok());
            assert!(parsed::<Endless>(&[1; 1 << 16]).is_err());
        }

        #[test]
        fn a_hostile_frame_is_an_error_however_deep_it_nests() {
            for step in STEPS {
                let (frame, shallow) = (deep(step), written(&tree(3, step)));
                let (before, after) = around(step);
                let leaf = written(&Tree::Leaf);
                assert_eq!(
                    shallow,
                    [before.repeat(3), leaf.to_vec(), after.repeat(3)].concat()
                );
                // A thread as tokio's, with a stack of 2 MiB.
                let result = std::thread::spawn(move || parsed::<Tree>(&frame).map(drop)).join();
                assert!(matches!(
                    result.unwrap(),
                    Err(FormatError::TooDeep { most: 128 })
                ));
            }
        }
    };
}
