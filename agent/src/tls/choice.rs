//! Which processes are chosen.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

use weir_ebpf_common::tls::Executable;

use crate::{config::Tls, container::Containers};

/// The configured choice.
#[derive(Debug)]
pub(super) struct Choice {
    processes: Vec<String>,
    paths: Vec<String>,
    containers: Vec<String>,
}

impl Choice {
    pub(super) fn new(config: &Tls) -> Self {
        Self {
            processes: config.processes.clone(),
            paths: config.paths.clone(),
            containers: config
                .containers
                .iter()
                .map(|id| id.to_ascii_lowercase())
                .collect(),
        }
    }

    /// Whether the process that runs `executable` is chosen.
    pub(super) fn is_chosen(&self, pid: u32, executable: &Path) -> bool {
        self.is_chosen_by_name(executable) || self.is_in_container(pid)
    }

    /// Whether whoever runs it is.
    pub(super) fn is_chosen_by_name(&self, executable: &Path) -> bool {
        let path = executable.as_os_str().as_encoded_bytes();
        let path = path.strip_suffix(b" (deleted)").unwrap_or(path);
        let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        let fits = |patterns: &[String], text: &[u8]| {
            patterns
                .iter()
                .any(|pattern| fits(pattern.as_bytes(), text))
        };
        fits(&self.processes, name) || fits(&self.paths, path)
    }

    fn is_in_container(&self, pid: u32) -> bool {
        if self.containers.is_empty() {
            return false;
        }
        let id = Containers::default().of(pid, 0).to_ascii_lowercase();
        self.containers.iter().any(|start| id.starts_with(start))
    }
}

/// The executable of a process, as the process sees it. `None` for what has none or is gone.
pub(super) fn executable(pid: u32) -> Option<std::path::PathBuf> {
    fs::read_link(format!("/proc/{pid}/exe")).ok()
}

/// The file that a process executes, as the kernel knows it.
pub(super) fn executable_file(pid: u32) -> Option<Executable> {
    let data = fs::metadata(format!("/proc/{pid}/exe")).ok()?;
    let (major, minor) = (libc::major(data.dev()), libc::minor(data.dev()));
    Some(Executable {
        inode: data.ino(),
        // `MKDEV` of the kernel's `include/linux/kdev_t.h`.
        device: major << 20 | minor & 0xf_ffff,
        reserved: 0,
    })
}

/// Whether `text` is what the pattern describes: `*` stands for any bytes, `?` for one.
///
/// Goes back to the latest `*` only, so the time is at most the product of both lengths.
fn fits(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut in_pattern) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while at < text.len() {
        match pattern.get(in_pattern) {
            Some(b'*') => {
                star = Some((in_pattern, at));
                in_pattern += 1;
            }
            Some(wanted) if *wanted == b'?' || Some(wanted) == text.get(at) => {
                at += 1;
                in_pattern += 1;
            }
            _ => {
                let Some((star_at, from)) = star else {
                    return false;
                };
                star = Some((star_at, from + 1));
                at = from + 1;
                in_pattern = star_at + 1;
            }
        }
    }
    pattern
        .get(in_pattern..)
        .unwrap_or_default()
        .iter()
        .all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_describe_names_as_a_shell_would() {
        for (pattern, text, expected) in [
            ("nginx", "nginx", true),
            ("nginx", "nginx2", false),
            ("python*", "python3.11", true),
            ("python?.*", "python3.11", true),
            ("*/bin/cur?", "/usr/bin/curl", true),
            ("*a*b*c", "xxaxxbxxbxc", true),
            ("*a*b*c", "xxaxxbxxbx", false),
            ("", "", true),
            ("*", "", true),
            ("?", "", false),
            ("**", "anything", true),
        ] {
            let fits = fits(pattern.as_bytes(), text.as_bytes());
            assert_eq!(fits, expected, "{pattern} {text}");
        }
    }

    #[test]
    fn a_process_is_chosen_by_its_name_or_its_path_even_after_an_upgrade() {
        let choice = Choice {
            processes: vec!["nginx".to_owned()],
            paths: vec!["/opt/*/server".to_owned()],
            containers: Vec::new(),
        };
        for (path, expected) in [
            ("/usr/sbin/nginx", true),
            ("/usr/sbin/nginx (deleted)", true),
            ("/opt/x/y/server", true),
            ("/srv/server", false),
            ("/usr/sbin/nginx-debug", false),
        ] {
            assert_eq!(choice.is_chosen(0, Path::new(path)), expected, "{path}");
        }
    }
}
