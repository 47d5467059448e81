//! Support for stories across processes: namespaces, programs with known traffic, and the weir processes themselves.

pub mod cases;
pub mod flows;
pub mod name_servers;
pub mod netns;
pub mod nginx;
pub mod packages;
pub mod process;
pub mod traffic;
pub mod watched;
pub mod weir;
pub mod wrk;

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};

/// How long a story waits for something that must happen. Generous: machines under load are slow, and a
/// condition that comes true ends the wait at once.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// [`PATIENCE`], or the seconds that the environment variable `WEIR_TEST_PATIENCE` says.
fn patience() -> Duration {
    let seconds = std::env::var("WEIR_TEST_PATIENCE").ok();
    seconds
        .and_then(|text| text.parse().ok())
        .map_or(PATIENCE, Duration::from_secs)
}

/// Waits until `condition` gives a value.
///
/// # Errors
/// After [`PATIENCE`], with the last thing that `condition` said was missing.
pub fn eventually<T>(
    what: &str,
    mut condition: impl FnMut() -> Result<T, String>,
) -> anyhow::Result<T> {
    let (began, patience) = (Instant::now(), patience());
    loop {
        match condition() {
            Ok(value) => return Ok(value),
            Err(missing) if began.elapsed() > patience => bail!("{what}: {missing}"),
            Err(_) => std::thread::sleep(LOOK_EVERY),
        }
    }
}

/// A program of this workspace, built beside the running one.
///
/// # Errors
/// If it is not built.
pub fn program(name: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("failed to find the running program")?;
    // A test runs from `deps/` below the folder of the programs.
    let found = own
        .ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join(name))
        .find(|path| path.exists());
    found.with_context(|| {
        format!("{name} is not built; `make test` builds every program that the stories need")
    })
}
