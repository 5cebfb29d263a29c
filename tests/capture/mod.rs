//! What the tests of captures and of replays have in common.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use serde_json::Value;

/// A file that is gone after the test.
pub(crate) struct TempFile(PathBuf);

impl TempFile {
    pub(crate) fn new(extension: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("capture-{}-{number}.{extension}", std::process::id());
        Self(Path::new(env!("CARGO_TARGET_TMPDIR")).join(name))
    }

    /// Its documents, the header first; whole lines only.
    pub(crate) fn documents(&self) -> Vec<Value> {
        let text = fs::read_to_string(&self.0).unwrap();
        assert!(text.ends_with('\n'), "cut off");
        let documents = text.lines().map(serde_json::from_str);
        documents.collect::<Result<_, _>>().unwrap()
    }

    /// What happened, a line each: `open`, `in "6f6b0a" "ok"`, `in "6f"`, `error in TEXT`.
    pub(crate) fn story(&self) -> Vec<String> {
        self.documents()[1..].iter().map(told).collect()
    }
}

/// One document in short.
pub(crate) fn told(document: &Value) -> String {
    let text = |name: &str| document[name].as_str().unwrap_or_default().to_owned();
    match document["what"].as_str().unwrap() {
        "frame" => format!("{} {} {}", text("dir"), text("bytes"), text("message")),
        "bytes" => format!("{} {}", text("dir"), text("bytes")),
        "error" => format!("error {} {}", text("dir"), text("error")),
        other => other.to_owned(),
    }
}

pub(crate) fn hex(bytes: impl AsRef<[u8]>) -> String {
    let digits = bytes.as_ref().iter().map(|byte| format!("{byte:02x}"));
    digits.collect()
}

impl AsRef<Path> for TempFile {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
