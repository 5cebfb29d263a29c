//! The written promises name code and tests that exist.

use std::{collections::BTreeSet, fs, path::Path};

const PROMISES: &str = include_str!("../src/promises.rs");

/// What stands between backquotes in the lines of this kind, of all promises.
fn named(kind: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut inside = false;
    for line in PROMISES.lines() {
        let line = line.trim_start_matches("//!").trim();
        if line.starts_with("- ") || line.is_empty() || line.starts_with(|c: char| c.is_numeric()) {
            inside = line.starts_with(&format!("- {kind}: "));
        }
        if inside {
            names.extend(line.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    names
}

/// The names of all tests below a folder.
fn tests_in(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            tests_in(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let mut lines = text.lines().map(str::trim);
            while let Some(line) = lines.next() {
                if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
                    let function = lines.by_ref().find_map(|line| line.split_once("fn "));
                    let name = function.and_then(|(_, rest)| rest.split_once('('));
                    found.extend(name.map(|(name, _)| name.to_owned()));
                }
            }
        }
    }
}

#[test]
fn each_promise_names_code_and_tests_and_they_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let promises = (1..)
        .take_while(|n| PROMISES.contains(&format!("\n//! {n}. **")))
        .count();
    assert!(promises >= 20, "only {promises} found");
    for kind in ["code", "test"] {
        let lines = PROMISES.matches(&format!("- {kind}: ")).count();
        assert_eq!(lines, promises, "each has one line for {kind}");
    }
    for file in named("code") {
        assert!(root.join(&file).is_file(), "{file} isn't there");
    }
    let mut tests = BTreeSet::new();
    tests_in(&root.join("tests"), &mut tests);
    tests_in(&root.join("src"), &mut tests);
    let named = named("test");
    assert!(named.len() > promises, "{named:?}");
    let missing: Vec<_> = named.iter().filter(|name| !tests.contains(*name)).collect();
    assert!(missing.is_empty(), "no such tests: {missing:#?}");
}
