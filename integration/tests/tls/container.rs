//! Servers in a root of their own, with libraries of their own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, ensure};
use tempfile::TempDir;

use crate::{Reading, site::Site, told};

/// Where a process in a container sees the root of the host.
pub(crate) const HOST: &str = "/host";
/// Becomes the root of the process: the first argument is the image, the rest is the program.
const ENTER: &str =
    r#"mount --bind "$1" "$1" && cd "$1" && pivot_root . host && shift && exec "$@""#;

/// Files of a root: nginx and its libraries, each a copy that no process of the host uses.
pub(crate) struct Image {
    folder: TempDir,
    /// The path of the server in it.
    server: &'static str,
}

impl Image {
    fn new(server: &'static str) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let image = Self { folder, server };
        let program = "/usr/sbin/nginx";
        image.add(Path::new(program), server)?;
        for file in ["/etc/passwd", "/etc/group"] {
            image.add(Path::new(file), file)?;
        }
        fs::create_dir(image.path(HOST))?;
        let output = Command::new("ldd").arg(program).output().context("ldd")?;
        for word in String::from_utf8(output.stdout)?.split_whitespace() {
            if word.starts_with('/') {
                image.add(Path::new(word), word)?;
            }
        }
        Ok(image)
    }

    fn path(&self, inside: &str) -> PathBuf {
        self.folder.path().join(inside.trim_start_matches('/'))
    }

    fn add(&self, file: &Path, inside: &str) -> anyhow::Result<()> {
        let copy = self.path(inside);
        fs::create_dir_all(copy.parent().context("a file's folder")?)?;
        fs::copy(file, copy).with_context(|| inside.to_owned())?;
        Ok(())
    }

    /// Replaces the TLS library as a package manager does: a new file under the old name.
    fn upgrade(&self) -> anyhow::Result<()> {
        let output = Command::new("find")
            .arg(self.folder.path())
            .args(["-name", "libssl.so*"])
            .output()?;
        let found = String::from_utf8(output.stdout)?;
        let library = Path::new(found.trim());
        ensure!(library.is_file(), "{found:?}");
        let new = library.with_extension("new");
        fs::copy(library, &new)?;
        fs::rename(new, library)?;
        Ok(())
    }

    /// The server, without its arguments.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", ENTER, "enter"]);
        command.arg(self.folder.path()).arg(self.server);
        command
    }
}

/// Asks each server, and waits until all is read that they have logged.
fn all_are_read(reading: &mut Reading, sites: &[&Site]) -> anyhow::Result<()> {
    for site in sites {
        let url = |path: &str| format!("https://{}/{path}", site.http1);
        site.curl(&["--http1.1", &url("small.txt"), &url("teapot"), &url("none")])?;
        let logged = site.log(3)?;
        reading.until("what the server logged", |seen| {
            let here = seen.iter().filter(|seen| seen.local() == site.http1);
            told(&here.cloned().collect::<Vec<_>>(), true) == logged
        })?;
    }
    Ok(())
}

#[test]
fn containers_with_their_own_library_are_read_and_a_shared_one_is_probed_once() -> anyhow::Result<()>
{
    let server = "/opt/shared/server";
    let image = Image::new(server)?;
    let first = Site::start_in(&image)?;
    let mut reading = Reading::start(&format!("paths: [{server}], scope: file"))?;
    reading.probes_in(1)?;
    // The second one begins later, in another mount namespace, from the same files.
    let second = Site::start_in(&image)?;
    all_are_read(&mut reading, &[&first, &second])?;
    ensure!(
        reading.counter("tls_files_probed", "") == 1,
        "{:?}",
        reading.counters()
    );
    // The same program from other files has a library of its own.
    let other = Image::new(server)?;
    let third = Site::start_in(&other)?;
    reading.probes_in(2)?;
    all_are_read(&mut reading, &[&third])
}

#[test]
fn a_process_that_runs_a_library_which_an_upgrade_has_replaced_is_read() -> anyhow::Result<()> {
    let server = "/opt/upgraded/server";
    let image = Image::new(server)?;
    let before = Site::start_in(&image)?;
    image.upgrade()?;
    let after = Site::start_in(&image)?;
    let mut reading = Reading::start(&format!("paths: [{server}], scope: file"))?;
    reading.probes_in(2)?;
    all_are_read(&mut reading, &[&before, &after])
}
