//! Generates code from the proto files.
fn main() {}
