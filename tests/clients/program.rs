//! Waiting for programs that have no other interface than what they show.

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

/// How long a program may take for one thing.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Waits until `condition` gives something; fails with what `shown` says when it never does.
#[track_caller]
pub fn wait_until<T>(what: &str, mut condition: impl FnMut() -> Option<T>, shown: impl Fn() -> String) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < deadline, "{what} did not happen within {DEADLINE:?}; shown is:\n{}", shown());
        // A screen and a log file cannot be awaited, only looked at; this is how often.
        thread::sleep(Duration::from_millis(25));
    }
}

/// Fails with what to do where a program is not installed.
pub fn need(program: &str) {
    let found = Command::new("which").arg(program).output().is_ok_and(|output| output.status.success());
    assert!(found, "{program} is not installed: tests/run installs what the tests need");
}
