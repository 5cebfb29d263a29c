//! Messages that can panic when they are cloned or dropped.

/// A line; what it does depends on its words.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Text(String);

impl Text {
    pub(crate) fn words(&self) -> &str {
        &self.0
    }
}

impl Clone for Text {
    fn clone(&self) -> Self {
        assert_ne!(self.0, "no clones");
        Self(self.0.clone())
    }
}

impl Drop for Text {
    fn drop(&mut self) {
        // While another panic unwinds, this one would abort the process, as the language has it.
        if self.0 == "bomb" && !std::thread::panicking() {
            panic!("message dropped");
        }
    }
}

pub(crate) fn text(words: &str) -> Text {
    Text(words.to_owned())
}
