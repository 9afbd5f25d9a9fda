//! Reading what a start has left before many lists are made in this process.

use std::time::{Duration, Instant};

use super::backend::Backend;
use super::progress::Progress;
use crate::error::Result;
use crate::types::Part;

/// As many lists of one thread lose by files that are not in memory yet what reading a gibibyte of them takes. Reading gives way to lists,
/// so it does not get far beside them. Measured with 5.3 GiB on one core: 10,000 lists took as long with and without (benches/RESULTS.md).
const LISTS_A_GIB: u64 = 2_000;
/// How often it is looked how far reading is.
const LOOK: Duration = Duration::from_millis(20);

/// Waits until the files of a database in this process are read, if lists for this part of its listeners are worth it; how long that took,
/// in seconds.
///
/// # Errors
/// Damage that was found.
pub fn read_first(backend: &Backend, part: Part) -> Result<f64> {
    let Backend::Local(engine) = backend else { return Ok(0.0) };
    let bytes = engine.warm_up_left();
    let lists = engine.user_count()? / u64::from(part.of());
    let worth = LISTS_A_GIB.saturating_mul(bytes >> 30).saturating_mul(rayon::current_num_threads() as u64);
    if bytes == 0 || lists < worth {
        return Ok(0.0);
    }
    let (start, progress) = (Instant::now(), Progress::reading("batch"));
    loop {
        let left = engine.warm_up_left();
        if let Some(damage) = engine.damage() {
            return Err(damage);
        }
        if left == 0 {
            return Ok(start.elapsed().as_secs_f64());
        }
        progress.at_read(1.0 - left.min(bytes) as f64 / bytes as f64);
        std::thread::sleep(LOOK);
    }
}
