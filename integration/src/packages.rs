//! Packages of other languages, each installed by its own package manager into the target folder.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, PoisonError},
};

use anyhow::{Context as _, bail};

/// Installing twice at once would be a race: one after the other.
static INSTALLING: Mutex<()> = Mutex::new(());

/// Runs a command to its end.
///
/// # Errors
/// If it fails; with all that it said.
pub fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command
        .output()
        .with_context(|| format!("failed to start {command:?}"))?;
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        bail!("{command:?} failed: {}", String::from_utf8_lossy(&said));
    }
    Ok(())
}

/// Where `what` is installed, and whether from these very `files`. If not, `install` is called with the folder.
///
/// # Errors
/// If it cannot be installed.
pub fn installed(
    what: &str,
    files: &[PathBuf],
    install: impl FnOnce(&Path) -> anyhow::Result<()>,
) -> anyhow::Result<PathBuf> {
    let _alone = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../target/sdk")
        .join(what);
    fs::create_dir_all(&folder)?;
    let files = files.iter().map(fs::read);
    let wanted = files.collect::<Result<Vec<_>, _>>()?.concat();
    let note = folder.join("installed-from");
    if !fs::read(&note).is_ok_and(|made_from| made_from == wanted) {
        install(&folder)?;
        fs::write(note, wanted)?;
    }
    Ok(folder)
}

/// A Python of its own, with the packages that the file `list` names.
///
/// # Errors
/// If they cannot be installed.
pub fn python(what: &str, list: &Path) -> anyhow::Result<PathBuf> {
    let folder = installed(what, &[list.to_owned()], |folder| {
        let venv = ["-m", "venv", "--clear"];
        run(Command::new("python3").args(venv).arg(folder))?;
        let pip = folder.join("bin/pip");
        run(Command::new(pip).args(["install", "-q", "-r"]).arg(list))
    })?;
    Ok(folder.join("bin/python"))
}
