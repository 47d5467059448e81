//! Which files a process has mapped to run code from.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Mapped files of one process that are looked at.
const MOST_FILES: usize = 1024;

/// A file, whatever its name is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct FileId {
    /// Device, as /proc writes it: major and minor number.
    device: (u32, u32),
    inode: u64,
}

/// A file that a process runs code from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mapped {
    pub(super) id: FileId,
    /// Its path as the process sees it, for the log.
    pub(super) name: String,
    /// The range of addresses, as /proc writes it.
    range: String,
}

impl Mapped {
    /// Paths that lead to the file itself: by the mapping, whatever has become of its name; by its name in the file
    /// system of the process.
    pub(super) fn paths(&self, pid: u32) -> [PathBuf; 2] {
        let name = self.name.trim_start_matches('/');
        [
            Path::new("/proc").join(format!("{pid}/map_files/{}", self.range)),
            Path::new("/proc").join(format!("{pid}/root/{name}")),
        ]
    }
}

/// The files that a process runs code from; first those that look like a TLS library, for the process may be gone soon.
pub(super) fn mapped(pid: u32) -> io::Result<Vec<Mapped>> {
    let text = fs::read(format!("/proc/{pid}/maps"))?;
    let mut files = parse(&String::from_utf8_lossy(&text));
    files.sort_by_key(|file| !file.name.contains("ssl"));
    Ok(files)
}

/// Reads lines like `7f…-7f… r-xp 00026000 08:01 1234     /usr/lib/libssl.so.3`.
fn parse(maps: &str) -> Vec<Mapped> {
    let mut files: Vec<Mapped> = Vec::new();
    for line in maps.lines() {
        let mut words = line.splitn(6, ' ');
        let mut word = || words.next().unwrap_or_default();
        let (range, rights, _, device, inode) = (word(), word(), word(), word(), word());
        let name = word().trim_start();
        if !rights.contains('x') || !name.starts_with('/') {
            continue;
        }
        let number = |text: &str| u32::from_str_radix(text, 16).ok();
        let device = device
            .split_once(':')
            .and_then(|(major, minor)| Some((number(major)?, number(minor)?)));
        let (Some(device), Ok(inode)) = (device, inode.parse()) else {
            continue;
        };
        let id = FileId { device, inode };
        if inode != 0 && files.len() < MOST_FILES && files.iter().all(|file| file.id != id) {
            files.push(Mapped {
                id,
                name: name.to_owned(),
                range: range.to_owned(),
            });
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_with_code_is_found_once_even_if_it_was_deleted() {
        let maps = "\
55d0-55d1 r--p 00000000 08:01 100                        /usr/sbin/nginx
55d1-55d2 r-xp 00001000 08:01 100                        /usr/sbin/nginx
7f00-7f01 r-xp 00026000 00:2f 200                        /usr/lib/lib ssl.so.3 (deleted)
7f01-7f02 r-xp 00036000 00:2f 200                        /usr/lib/lib ssl.so.3 (deleted)
7f02-7f03 rwxp 00000000 00:00 0 
7ffc-7ffd r-xp 00000000 00:00 0                          [vdso]
7f05-7f06 rw-p 00000000 08:01 300                        /var/cache/data
garbage
";
        let found = parse(maps);
        let names: Vec<_> = found.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(
            names,
            ["/usr/sbin/nginx", "/usr/lib/lib ssl.so.3 (deleted)"]
        );
        assert_eq!(
            found[1].paths(7)[0],
            Path::new("/proc/7/map_files/7f00-7f01")
        );
        assert_eq!(found[1].id.device, (0, 0x2f));
    }

    #[test]
    fn this_process_runs_code_from_its_own_executable() {
        let own = std::env::current_exe().unwrap();
        let found = mapped(std::process::id()).unwrap();
        let own = found
            .iter()
            .find(|file| Path::new(&file.name) == own)
            .unwrap();
        assert!(own.paths(std::process::id())[1].exists());
    }
}
