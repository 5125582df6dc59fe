//! The `podling` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    podling::cli::main()
}
