//! What each codec costs.
fn main() {}
