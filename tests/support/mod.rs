//! What the test binaries share: a small made-up catalogue, and settings under which sealing and merging are frequent.
#![allow(dead_code, unused_imports, reason = "every test binary uses its own part")]

pub mod loop_disk;
mod world;

pub use world::{DIM, World, audio_vector, id, random_vector, track};

use segue::config::{Settings, Storage};
use segue::types::{GenerationId, SpaceName, Timestamp};

/// The time of every request in these tests: 2026-11-01T00:00:00Z.
pub const AS_OF: Timestamp = Timestamp(1_793_491_200_000);

/// Settings with the smallest segments there are, so that a test of a few thousand rows seals and merges.
pub fn small_segments() -> Settings {
    let storage = Storage {
        seal_rows: 1_000,
        disk_reserve_bytes: 0,
        user_cache_bytes: 4 << 20,
        background_threads: 1,
        ..Storage::default()
    };
    Settings { storage, ..Settings::default() }
}

/// The seed of a random test: `SEED` (decimal or `0x…`) or `default`. Prints it, so that a failure can be repeated.
pub fn seed(default: u64) -> u64 {
    let given = std::env::var("SEED").ok();
    let parse = |text: &str| match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    };
    let seed = given.map_or(default, |text| parse(&text).expect("SEED must be a number, such as 42 or 0x2a"));
    eprintln!("SEED={seed:#x}");
    seed
}

/// A number from the environment, for the long forms of tests.
pub fn env_number(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} must be a number")))
}

/// A built-in space.
pub fn space(name: &str) -> SpaceName {
    SpaceName::new(name).unwrap()
}

/// The audio space's generation.
pub const STATIC: GenerationId = GenerationId::STATIC;
