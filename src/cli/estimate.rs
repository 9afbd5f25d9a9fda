//! `segue estimate`: memory and disk by part, from counts alone. Nothing is opened or measured.

mod model;

use super::args::OutputArgs;
use super::output::{Align, bytes, count, print, print_json, table};
use crate::error::{Error, Result};
pub use model::{Estimate, Part, estimate};

const EXAMPLES: &str = "\
memory: what must be in memory for fast answers. warm: what the process shows (RSS) once everything was touched and there is
room; the difference are mapped files that the system may drop and read again. disk: at rest; sealing and merging
need up to twice a shard's largest segment while they run, and a new generation needs the room of the vectors once more
until the old one is dropped. Titles and names are as long as in an ordinary catalogue.

Examples:
  segue estimate --tracks 100000000 --users 615000000 --dim 256
  segue estimate --tracks 130695 --users 1902 --dim 64 --trained-share 0.31 --plays-per-user 943 --active-share 1 --json";

/// Memory and disk a database of some size needs.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct EstimateArgs {
    #[command(flatten)]
    size: Size,
    #[command(flatten)]
    output: OutputArgs,
}

/// How large a database is.
#[derive(Debug, Clone, PartialEq, clap::Args)]
pub struct Size {
    /// Tracks of the catalogue
    #[arg(long, value_name = "COUNT")]
    pub tracks: u64,
    /// Listeners
    #[arg(long, value_name = "COUNT")]
    pub users: u64,
    /// Dimension of user_cf and track_cf
    #[arg(long, value_name = "N")]
    pub dim: u32,
    /// Dimension of the audio vectors; 0 = none
    #[arg(long, value_name = "N", default_value_t = 128)]
    pub audio_dim: u32,
    /// Share of the tracks that have a track_cf vector
    #[arg(long, value_name = "SHARE", default_value_t = 1.0)]
    pub trained_share: f64,
    /// Plays kept for a listener
    #[arg(long, value_name = "COUNT", default_value_t = 500.0)]
    pub plays_per_user: f64,
    /// Share of the listeners whose state is kept in memory
    #[arg(long, value_name = "SHARE", default_value_t = 0.01)]
    pub active_share: f64,
    /// Generations kept at a time
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    pub generations: u32,
    /// Copies of everything, on different nodes
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    pub replicas: u32,
}

impl Size {
    fn validate(&self) -> Result<()> {
        for (field, share) in [("trained_share", self.trained_share), ("active_share", self.active_share)] {
            if !(0.0..=1.0).contains(&share) {
                return Err(Error::invalid(field, format!("must be 0 to 1. value=`{share}`")));
            }
        }
        if !(0.0..=1e9).contains(&self.plays_per_user) {
            return Err(Error::invalid(
                "plays_per_user",
                format!("must be 0 or above. value=`{}`", self.plays_per_user),
            ));
        }
        Ok(())
    }
}

impl EstimateArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// A share that is none; those of printing.
    pub fn run(self) -> Result<()> {
        self.size.validate()?;
        let estimate = estimate(&self.size);
        if self.output.json { print_json(&estimate) } else { print(&text(&estimate)) }
    }
}

fn text(estimate: &Estimate) -> String {
    let heading = ["part", "rows", "bytes a row", "memory", "warm", "disk"].map(str::to_owned).to_vec();
    let line = |part: &Part| {
        let row_bytes = if part.row_bytes > 0.0 { format!("{:.0}", part.row_bytes) } else { String::new() };
        vec![
            part.part.clone(),
            count(part.rows),
            row_bytes,
            bytes(part.memory_bytes),
            bytes(part.resident_bytes),
            bytes(part.disk_bytes),
        ]
    };
    let total = vec![
        "total".to_owned(),
        String::new(),
        String::new(),
        bytes(estimate.memory_bytes),
        bytes(estimate.resident_bytes),
        bytes(estimate.disk_bytes),
    ];
    let lines = estimate.parts.iter().map(line);
    let rows: Vec<Vec<String>> = std::iter::once(heading).chain(lines).chain([total]).collect();
    table(&[Align::Left, Align::Right, Align::Right, Align::Right, Align::Right, Align::Right], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size() -> Size {
        Size {
            tracks: 1_000,
            users: 100,
            dim: 64,
            audio_dim: 128,
            trained_share: 0.5,
            plays_per_user: 10.0,
            active_share: 0.1,
            generations: 1,
            replicas: 1,
        }
    }

    #[test]
    fn parts_add_up_and_replicas_multiply() {
        let small = estimate(&size());
        let sum = |of: fn(&Part) -> u64| small.parts.iter().map(of).sum::<u64>();
        assert_eq!(small.disk_bytes, sum(|part| part.disk_bytes));
        assert_eq!(small.memory_bytes, sum(|part| part.memory_bytes));
        assert_eq!(small.resident_bytes, sum(|part| part.resident_bytes));
        assert!(small.parts.iter().all(|part| part.resident_bytes >= part.memory_bytes));
        let tripled = estimate(&Size { replicas: 3, ..size() });
        assert_eq!(
            (tripled.memory_bytes, tripled.resident_bytes, tripled.disk_bytes),
            (3 * small.memory_bytes, 3 * small.resident_bytes, 3 * small.disk_bytes)
        );
    }

    #[test]
    fn sizes_follow_the_layouts() {
        let small = estimate(&size());
        let part = |name: &str| small.parts.iter().find(|part| part.part == name).expect("listed");
        // 500 vectors of 64 numbers, each with its owner; a dimension of 40 is stored in 192 bytes.
        assert_eq!(part("track_cf vectors").disk_bytes, 500 * (256 + 4));
        let odd = estimate(&Size { dim: 40, ..size() });
        let vectors = odd.parts.iter().find(|part| part.part == "track_cf vectors").expect("listed");
        assert_eq!(vectors.disk_bytes, 500 * (192 + 4));
        assert_eq!(part("track_cf graph, ip").disk_bytes, part("track_cf graph, cosine").disk_bytes);
        let without = estimate(&Size { audio_dim: 0, ..size() });
        assert!(without.parts.iter().all(|part| !part.part.starts_with("audio")));
    }

    #[test]
    fn the_table_fits_ninety_columns_at_the_largest_size() {
        let large = Size { tracks: 100_000_000, users: 615_000_000, dim: 256, replicas: 3, ..size() };
        assert!(text(&estimate(&large)).lines().all(|line| line.len() <= 90));
    }
}
