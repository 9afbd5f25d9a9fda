//! The commands.

pub mod bench_ann;
