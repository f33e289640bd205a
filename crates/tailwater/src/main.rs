//! The tailwater binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    tailwater::cli::main()
}
