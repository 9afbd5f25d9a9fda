//! Whole features of the format through its public interface.
#![expect(clippy::unwrap_used, reason = "tests")]

mod damage;
mod forged;
mod golden;
mod inspection;
mod manifests;
mod on_use;
mod reseal;
mod roundtrip;
mod samples;
mod verification;
mod versions;
mod walk;
