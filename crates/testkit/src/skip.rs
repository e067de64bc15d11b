//! Tests that need something of the machine say so aloud when they do not run, so that a green run cannot hide them.

use std::{env, io::Write};

/// Whether the long form of a test is asked for: `WEIR_FULL=1`.
#[must_use]
pub fn full() -> bool {
    env::var_os("WEIR_FULL").is_some_and(|value| value != "0" && !value.is_empty())
}

/// Prints `SKIPPED name: reason` on standard error, past the test harness's capture, and returns true when it is not `present`.
///
/// # Panics
/// When it is not there although everything is to run: [`full`].
///
/// ```
/// if weir_testkit::skip::unless(cfg!(target_os = "linux"), "reads_proc", "no /proc here") {
///     return;
/// }
/// ```
#[must_use]
pub fn unless(present: bool, name: &str, reason: &str) -> bool {
    assert!(
        present || !full(),
        "{name}: {reason}, and nothing may be skipped (WEIR_FULL)"
    );
    if !present {
        // Not `eprintln!`: the harness would swallow it together with the output of every test that passed.
        let _ = writeln!(std::io::stderr(), "SKIPPED {name}: {reason}");
    }
    !present
}
