//! Tests of the made-up catalogue: that it is the same every time, believable, and that what is planted can be found.
#![expect(clippy::unwrap_used, reason = "tests")]

mod catalogue;
mod planted;
mod vectors;

use super::*;
use crate::types::*;

fn small() -> GenerateParams {
    GenerateParams { tracks: 4_000, listeners: 400, plays: 60_000, ..GenerateParams::default() }
}
