//! Where a delimiter is: [`find`], [`contains`].

/// Where `needle`, which isn't empty, begins for the first time.
#[inline]
pub(super) fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    if let [byte] = *needle {
        return find_byte(haystack, byte);
    }
    find_more(haystack, needle)
}

/// The same for a needle of several bytes.
fn find_more(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + find_byte(&haystack[from..], needle[0])?;
        if haystack[at..].starts_with(needle) {
            return Some(at);
        }
        from = at + 1;
    }
}

/// So many bytes are looked at word by word, and all behind them in blocks of as many.
const NEAR: usize = 64;

#[inline]
fn find_byte(haystack: &[u8], byte: u8) -> Option<usize> {
    let (near, far) = haystack.split_at(haystack.len().min(NEAR));
    let found = find_near(near, byte);
    if found.is_some() || far.is_empty() {
        return found;
    }
    Some(NEAR + find_far(far, byte)?)
}

/// Eight bytes at a time, the last eight overlapping those before.
#[inline]
fn find_near(near: &[u8], byte: u8) -> Option<usize> {
    let (words, rest) = near.as_chunks();
    for (i, &word) in words.iter().enumerate() {
        if let Some(at) = find_in_word(word, byte) {
            return Some(8 * i + at);
        }
    }
    match near.last_chunk() {
        Some(&last) => find_in_word(last, byte).map(|at| near.len() - 8 + at),
        None => rest.iter().position(|&other| other == byte),
    }
}

/// The bytes that are `byte` become zero, and the lowest zero byte is the lowest one that borrows when 1
/// is taken from each.
#[inline]
fn find_in_word(word: [u8; 8], byte: u8) -> Option<usize> {
    const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
    const TOPS: u64 = u64::from_ne_bytes([0x80; 8]);
    let other = u64::from_le_bytes(word) ^ (ONES * u64::from(byte));
    let found = other.wrapping_sub(ONES) & !other & TOPS;
    (found != 0).then(|| found.trailing_zeros() as usize / 8)
}

#[inline(never)]
fn find_far(far: &[u8], byte: u8) -> Option<usize> {
    let (blocks, rest) = far.as_chunks::<NEAR>();
    let (before, within) = match blocks.iter().position(|block| has(block, byte)) {
        Some(at) => (at, &blocks[at][..]),
        None => (blocks.len(), rest),
    };
    Some(NEAR * before + find_near(within, byte)?)
}

/// The same as `find_byte` for those who don't ask where, which takes less.
#[inline]
pub(super) fn contains(haystack: &[u8], byte: u8) -> bool {
    match (haystack.first_chunk::<16>(), haystack.last_chunk::<16>()) {
        (Some(first), Some(last)) if haystack.len() <= 32 => has(first, byte) | has(last, byte),
        (Some(_), Some(last)) => {
            let (large, rest) = haystack.as_chunks::<NEAR>();
            let (small, _) = rest.as_chunks::<16>();
            large.iter().any(|block| has(block, byte))
                || small.iter().any(|block| has(block, byte))
                || has(last, byte)
        }
        _ => find_near(haystack, byte).is_some(),
    }
}

/// A block is looked at as a whole, for which there are vector instructions.
#[inline]
fn has<const N: usize>(block: &[u8; N], byte: u8) -> bool {
    block
        .iter()
        .fold(false, |has, &other| has | (other == byte))
}

#[cfg(test)]
mod tests {
    use super::{contains, find_byte};

    #[test]
    fn a_byte_is_found_wherever_it_is_and_the_first_one() {
        for len in 0..200 {
            // Around the one that is looked for, in the value and in the word.
            let mut haystack: Vec<u8> = (0..len).map(|i| [0x0b, 0x09, 0x8a, 0x00][i % 4]).collect();
            assert_eq!(find_byte(&haystack, b'\n'), None);
            assert!(!contains(&haystack, b'\n'), "of {len}");
            for at in (0..len).rev() {
                let other = std::mem::replace(&mut haystack[at], b'\n');
                assert!(contains(&haystack, b'\n'), "{at} of {len}");
                haystack[at] = other;
            }
            for at in (0..len).rev() {
                haystack[at] = b'\n';
                assert_eq!(find_byte(&haystack, b'\n'), Some(at), "of {len}");
            }
        }
    }
}
