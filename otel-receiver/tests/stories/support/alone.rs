//! Figures of a whole process, for a test that has one for itself.

use std::{
    env, fs,
    process::{Command, Stdio},
};

/// Says which test runs alone.
const ALONE: &str = "WEIR_TEST_ALONE";

/// Runs the test of this name in a process of its own, and fails if it fails there. In that process, does nothing and
/// returns true.
pub(crate) fn alone(test: &str) -> bool {
    if env::var_os(ALONE).is_some_and(|running| running == test) {
        return true;
    }
    let program = env::current_exe().expect("this program");
    let run = Command::new(program)
        .args(["--exact", test, "--nocapture"])
        .env(ALONE, test)
        .stdin(Stdio::null())
        .output()
        .expect("another process");
    let text = String::from_utf8_lossy(&run.stdout);
    let errors = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{text}{errors}");
    assert!(text.contains("1 passed"), "no test of this name: {text}");
    false
}

/// The most memory that this process had in use since the last reset, in bytes.
pub(crate) fn peak_memory() -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmHWM"));
    let size = line.and_then(|line| line.split_whitespace().nth(1));
    size.expect("a figure").parse::<usize>().expect("KiB") * 1024
}

/// From now on the peak is what is in use from now on; returns what is in use.
pub(crate) fn reset_peak_memory() -> usize {
    fs::write("/proc/self/clear_refs", "5").expect("Linux");
    peak_memory()
}
