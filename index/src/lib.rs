//! The quantized graph index of one sealed segment, and exact scans of growing ones.
//!
//! A search walks a proximity graph by estimates and re-scores the best nodes with full-precision vectors. What
//! makes it fast: vectors are rotated at random and kept as short codes; in the `fast` profile a node's row holds,
//! beside its links, one-bit codes of its neighbours, so one sequential read decides which of them deserve a
//! look at their own eight-bit code (RaBitQ, arXiv:2405.12497; SymphonyQG, arXiv:2411.12229). Reading order:
//!
//! | module | what |
//! |---|---|
//! | [`params`] | profile, build and search parameters |
//! | [`rows`], [`parts`], [`layout`], [`meta`] | vectors going in; the arrays and bytes coming out |
//! | [`quantize`] | rotation, codes of vectors, codes of neighbours |
//! | [`graph`] | building the graph |
//! | [`build`], [`effort`], [`reach`] | all of it: vectors to [`IndexParts`], how hard searches must try, where walks stop |
//! | [`order`] | an order of rows that searches and builds are faster in |
//! | [`head`], [`view`] | opening those arrays again, checked |
//! | [`allowed`], [`plan`] | filters, and which way of searching suits them |
//! | [`sieve`] | one-bit codes of all rows in blocks, and scans that read them first |
//! | [`finer`], [`starts`], [`descent`], [`walk`] | where walks start, the way down, walking the graph |
//! | [`scan`], [`search`] | scanning codes, and putting both together |
//! | [`exact`] | exact scan of plain vectors |
//! | [`sizes`] | what an index will take |
//! | [`kernels`] | the loops, per instruction set |
//!
//! Invariants: the same vectors, parameters and seed give the same bytes at any number of threads; the same index, query
//! and filter give the same hits and the same score bits on every instruction set; fewer than
//! `min(k, allowed)` hits are never returned; damaged arrays are errors at open or
//! harmless wrong hits, never a panic.
//!
//! Absent on purpose: files, threads of its own (builds use the caller's rayon pool), deletion (a tombstone is a filter), clocks.

mod allowed;
mod build;
mod descent;
mod effort;
mod error;
pub mod exact;
mod finer;
mod graph;
mod guard;
mod head;
pub mod kernels;
mod layout;
mod meta;
mod metric;
mod order;
mod params;
mod parts;
mod plan;
mod progress;
mod quantize;
mod query;
mod reach;
mod rng;
mod rows;
mod scan;
mod scratch;
mod search;
mod sieve;
mod sizes;
mod starts;
mod top;
mod view;
mod walk;

#[cfg(test)]
mod tests;

pub use allowed::Allowed;
pub use build::build;
pub use error::IndexError;
pub use guard::Guard;
pub use head::IndexHead;
pub use metric::Metric;
pub use order::locality_order;
pub use params::{BuildParams, K_MAX, Profile, SearchParams};
pub use parts::{Block, IndexParts, IndexSlices};
pub use progress::Progress;
pub use rng::SplitMix64;
pub use rows::{Rows, SegmentOffset};
pub use scratch::{Counts, Scratch};
pub use search::{SearchOutcome, SearchPath};
pub use sizes::IndexRowBytes;
pub use view::IndexView;
