//! Whole features of the format through its public interface.
#![expect(clippy::unwrap_used, reason = "tests")]

mod roundtrip;
mod samples;
