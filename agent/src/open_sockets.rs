//! Who holds which socket, from the descriptor tables in /proc.

use std::{fs, path::Path};

use weir_ebpf_common::netflow::NAME_LEN;

/// Name of an executable as the kernel side keeps it: zero-padded bytes, as words.
pub type NameWords = [u64; NAME_LEN / 8];

/// A process that holds a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Process id, as /proc has it.
    pub pid: u32,
    /// Name of the executable; all zero if it is unknown or longer than fits, and to be asked for by `pid`.
    pub name: NameWords,
}

/// Calls `each` with the inode of every open socket that is `wanted`, and with the process that holds it. A socket
/// that several processes hold comes once for each, in the order of their ids.
///
/// Reads every descriptor of every process: about 2.5 ms for a thousand descriptors. A process that ends
/// meanwhile, or that we may not look at (`CAP_SYS_PTRACE`), is left out.
pub fn open_sockets(wanted: impl Fn(u32) -> bool, mut each: impl FnMut(u32, &Holder)) {
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = process
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<u32>().ok())
        else {
            continue;
        };
        let folder = process.path();
        let mut holder = None;
        for descriptor in fs::read_dir(folder.join("fd"))
            .into_iter()
            .flatten()
            .flatten()
        {
            let Some(inode) = fs::read_link(descriptor.path())
                .ok()
                .and_then(|link| socket_in(link.to_str()?))
                .filter(|inode| wanted(*inode))
            else {
                continue;
            };
            let holder = holder.get_or_insert_with(|| Holder {
                pid,
                name: executable(&folder),
            });
            each(inode, holder);
        }
    }
}

/// Inode in the target of a link like `socket:[4242]`.
fn socket_in(link: &str) -> Option<u32> {
    link.strip_prefix("socket:[")?
        .strip_suffix(']')?
        .parse()
        .ok()
}

fn executable(process: &Path) -> NameWords {
    let link = fs::read_link(process.join("exe")).unwrap_or_default();
    let name = link.file_name().unwrap_or_default().as_encoded_bytes();
    words(name.strip_suffix(b" (deleted)").unwrap_or(name))
}

/// All zero if the name, with the zero that ends it, does not fit.
fn words(name: &[u8]) -> NameWords {
    let mut words = NameWords::default();
    if name.len() >= NAME_LEN {
        return words;
    }
    for (word, chunk) in words.iter_mut().zip(name.chunks(8)) {
        let mut bytes = [0; 8];
        for (to, from) in bytes.iter_mut().zip(chunk) {
            *to = *from;
        }
        *word = u64::from_ne_bytes(bytes);
    }
    words
}

#[cfg(test)]
mod tests {
    use std::{net::UdpSocket, os::fd::AsRawFd as _};

    use super::*;

    #[test]
    fn a_socket_of_this_process_is_found_with_its_pid_and_executable() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let link = fs::read_link(format!("/proc/self/fd/{}", socket.as_raw_fd())).unwrap();
        let own = socket_in(link.to_str().unwrap()).unwrap();
        let exe = std::env::current_exe().unwrap();

        let mut found = Vec::new();
        open_sockets(
            |inode| inode == own,
            |inode, holder| found.push((inode, *holder)),
        );

        let name = words(exe.file_name().unwrap().as_encoded_bytes());
        let pid = std::process::id();
        assert!(found.contains(&(own, Holder { pid, name })), "{found:?}");
        assert!(found.iter().all(|(inode, _)| *inode == own));
    }

    #[test]
    fn a_name_that_does_not_fit_is_left_for_later() {
        assert_eq!(words(&[b'x'; 39])[4] >> 56, 0);
        assert_ne!(words(&[b'x'; 39])[4], 0);
        assert_eq!(words(&[b'x'; 40]), [0; 5]);
        assert_eq!(words(b"python3.11")[0], u64::from_ne_bytes(*b"python3."));
    }
}
