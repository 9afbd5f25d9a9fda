//! Turning vectors into short codes and estimating scores from them.
//!
//! * [`rotation`]: the random rotation every code starts from.
//! * [`codes`]: one four-bit code a vector, for precise estimates.
//! * [`signs`]: one-bit codes of the nodes a walk may start from, relative to their mean.
//! * [`neighbors`]: one-bit codes of a node's neighbours, relative to the node, estimated 32 at a time.

pub mod codes;
pub mod neighbors;
pub mod rotation;
pub mod signs;
