//! The laws with messages drawn from a strategy: [`proptest`].

use std::{cell::RefCell, fmt::Debug};

use proptest::{
    collection::vec,
    strategy::Strategy,
    test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner},
};

use super::{Checkable, Laws, Violation};

/// How many lists of messages are drawn.
const LISTS: u32 = 48;
/// The most messages in a list.
const MESSAGES: usize = 6;
/// Random cases of a law with each list: there are many lists.
const CASES: usize = 16;

/// Checks a codec against all laws with messages drawn from `strategy`, and shrinks what fails.
///
/// # Errors
///
/// The violation with the smallest messages that were found to show it.
///
/// # Examples
///
/// ```
/// use bytes::Bytes;
/// use proptest::{collection::vec, prelude::{Strategy, any}};
/// use wattle_codecs::{Length, Prefixed, laws};
///
/// let messages = vec(any::<u8>(), 0..64).prop_map(Bytes::from);
/// laws::proptest(|| Prefixed::new(Length::Varint, 64), messages).unwrap();
/// ```
pub fn proptest<'a, C, S>(factory: impl Fn() -> C + 'a, strategy: S) -> Result<(), Violation>
where
    C: Checkable<S::Value> + 'a,
    S: Strategy<Value: Clone + Debug>,
{
    proptest_with(strategy, |messages| {
        Laws::new(&factory, messages).cases(CASES).check()
    })
}

/// The same, where `check` says what to check with the messages: [`Laws`] with options.
///
/// # Errors
///
/// The violation with the smallest messages that were found to show it.
pub fn proptest_with<S>(
    strategy: S,
    check: impl Fn(Vec<S::Value>) -> Result<(), Violation>,
) -> Result<(), Violation>
where
    S: Strategy<Value: Clone + Debug>,
{
    let config = Config {
        cases: LISTS,
        failure_persistence: None,
        ..Config::default()
    };
    let mut runner = TestRunner::new_with_rng(config, rng());
    let last = RefCell::new(None);
    let result = runner.run(&vec(strategy, 1..=MESSAGES), |messages| {
        check(messages).map_err(|violation| {
            let text = violation.to_string();
            last.replace(Some(violation));
            TestCaseError::fail(text)
        })
    });
    match (result, last.take()) {
        (Ok(()), _) => Ok(()),
        // Shrinking may have ended with a try that didn't fail: the smallest is what it returns.
        (Err(TestError::Fail(_, messages)), Some(last)) => {
            Err(check(messages).err().unwrap_or(last))
        }
        (Err(error), _) => panic!("no messages of the strategy: {error}"),
    }
}

fn rng() -> TestRng {
    let seed = super::kit::seed().to_le_bytes();
    TestRng::from_seed(RngAlgorithm::ChaCha, &seed.repeat(4))
}
