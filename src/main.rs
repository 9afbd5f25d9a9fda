//! The command line; see [`segue::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    segue::cli::main(std::env::args_os())
}
