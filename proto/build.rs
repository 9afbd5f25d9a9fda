//! Compiles the public services.
fn main() {}
