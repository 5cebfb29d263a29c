//! What `codec_cost` is made of: the paths whose instructions are counted, who counts them, and the table.

pub(crate) mod callgrind;
pub(crate) mod marks;
pub(crate) mod path;
pub(crate) mod stages;
pub(crate) mod table;
pub(crate) mod tape;

/// What is counted: messages of a size, many at a time or one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// Of a message, in bytes.
    pub(crate) size: usize,
    /// Whether nothing else is under way: each is the only one that a read gives, and is flushed.
    pub(crate) alone: bool,
}

pub(crate) const CASES: [Case; 4] = [
    Case::many("16B", 16),
    Case::many("256B", 256),
    Case::many("4KiB", 4096),
    Case {
        name: "alone-16B",
        size: 16,
        alone: true,
    },
];

impl Case {
    const fn many(name: &'static str, size: usize) -> Self {
        Self {
            name,
            size,
            alone: false,
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        CASES.into_iter().find(|case| case.name == name)
    }
}
