//! Judging lists: the measures that `segue eval` and the reference tests share.

pub mod metrics;
