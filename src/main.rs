//! The command line; see [`segue::cli`].

use std::process::ExitCode;

/// A request makes and drops thousands of small lists on several threads: lists take 5 to 8 % less time with it (ADR 0024). Programs that
/// embed the library choose their own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    segue::cli::main(std::env::args_os())
}
