//! The one binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    sunshine_server::cli::main()
}
