//! The `roost` binary.

mod cli;

use std::io::Write as _;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    match cli::main(std::env::args_os()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where nobody reads that, the status says it.
            let _ = writeln!(std::io::stderr(), "roost: {}", described(&error));
            ExitCode::FAILURE
        }
    }
}

/// An error with its causes, but for those that it tells itself.
fn described(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text += &format!(": {cause}");
        }
    }
    text
}
