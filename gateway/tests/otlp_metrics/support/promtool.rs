//! Prometheus' own opinion of a page.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Clean,
    /// It reads well, but breaks a habit of naming.
    Habit(String),
    Unreadable(String),
}

/// `promtool check metrics`; it comes with Debian's package `prometheus`.
pub(crate) fn promtool(text: &str) -> Verdict {
    let mut child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is needed: apt-get install prometheus");
    let mut input = child.stdin.take().expect("a pipe");
    input.write_all(text.as_bytes()).expect("promtool reads");
    drop(input);
    let output = child.wait_with_output().expect("promtool ends");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    match output.status.code() {
        Some(0) => Verdict::Clean,
        Some(3) => Verdict::Habit(said),
        _ => Verdict::Unreadable(said),
    }
}
