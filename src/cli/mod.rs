//! The command line: one file a command. Each parses its flags, asks a [`backend::Backend`] (a server or a directory
//! opened in-process), and prints a table for people or, with `--json`, exactly one JSON document.
//!
//! Answers go to standard output, everything else (progress, warnings, errors) to standard error. Exit status 0 only
//! on success, 1 for errors, 2 for wrong usage.

mod app;
mod args;
mod backend;
mod batch;
mod bench;
pub mod bench_ann;
mod bench_recall;
mod bench_recommend;
mod cluster;
mod cluster_add;
mod cluster_check;
mod cluster_place;
mod cluster_recover;
mod cluster_split;
mod contents;
mod demo;
pub mod estimate;
mod eval;
mod eval_ope;
mod eval_rules;
mod eval_shadow;
mod experiment;
mod explain;
mod feedback;
mod generate;
mod generation;
mod html;
mod inspect;
mod list;
mod load;
mod load_npy;
mod load_run;
mod output;
mod progress;
mod read_first;
mod recipe;
mod recommend;
mod search;
mod serve;
mod similar;
mod train;
mod user;
mod verify;

pub use app::{App, main};

#[cfg(test)]
mod tests;
