//! wrk: as many requests as a web server answers, and what it says of them.

use std::{
    io::Read as _,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::Context as _;

use crate::process::cpu_at_end;

/// What wrk says of a run.
#[derive(Clone, Copy, Debug)]
pub struct Said {
    /// Requests that were answered.
    pub answered: u64,
    /// Requests answered in a second.
    pub rate: f64,
    /// Median, 90th and 99th percentile of the time to the whole answer.
    pub latency: [Duration; 3],
    /// CPU time that it took.
    pub cpu: Duration,
}

/// Asks for `url` with these options of wrk.
///
/// # Errors
/// If it fails, or does not say what it did.
pub fn wrk(options: &[&str], url: &str) -> anyhow::Result<Said> {
    let mut child = Command::new("wrk")
        .arg("--latency")
        .args(options)
        .arg(url)
        .stdout(Stdio::piped())
        .spawn()
        .context("failed to start wrk")?;
    let mut said = String::new();
    if let Some(stdout) = &mut child.stdout {
        stdout.read_to_string(&mut said)?;
    }
    let cpu = cpu_at_end(child.id())?;
    let status = child.wait()?;
    anyhow::ensure!(status.success(), "wrk ended with {status}: {said}");
    read(&said, cpu).with_context(|| format!("wrk said {said}"))
}

fn read(said: &str, cpu: Duration) -> Option<Said> {
    let after = |start: &str| {
        let lines = said.lines().map(str::trim);
        lines
            .filter_map(|line| line.strip_prefix(start))
            .next_back()
            .map(str::trim)
    };
    let answered = said
        .lines()
        .find_map(|line| line.split_once(" requests in ")?.0.trim().parse().ok());
    let percentile = |which| time(after(which)?);
    Some(Said {
        answered: answered?,
        rate: after("Requests/sec:")?.parse().ok()?,
        latency: [percentile("50%")?, percentile("90%")?, percentile("99%")?],
        cpu,
    })
}

/// As wrk prints it: `1.20ms`.
fn time(text: &str) -> Option<Duration> {
    let unit = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(unit);
    let seconds = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()
}
