//! Offsets of kernel struct members, found in the running kernel's BTF and given to the programs as a read-only global.

/// Stands for a member that this kernel does not have.
pub const ABSENT: u32 = u32::MAX;

/// Largest offset a program will follow; a bound that the verifier wants to see.
pub const LIMIT: u32 = 16 * 1024;

macro_rules! offsets {
    ($($(#[$doc:meta])* $field:ident: $of:literal [$($path:literal),+];)+) => {
        /// Byte offset of each member that a program reads.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(C)]
        pub struct Offsets { $($(#[$doc])* pub $field: u32,)+ }

        impl Offsets {
            /// No member known.
            pub const ABSENT: Self = Self { $($field: ABSENT,)+ };

            /// Asks `find(struct, member path)` for every member; a member has one path for each
            /// place where some kernel keeps it. A path that ends in a colon asks for bits, not bytes.
            /// What is not found stays [`ABSENT`].
            pub fn resolve(mut find: impl FnMut(&'static str, &'static str) -> Option<u32>) -> Self {
                Self { $($field: None$(.or_else(|| find($of, $path)))+.unwrap_or(ABSENT),)+ }
            }

            /// The members that were not found, as `struct.member`.
            pub fn absent(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
                let found = [$((self.$field, $of, [$($path),+][0])),+];
                found.into_iter().filter(|(at, ..)| *at == ABSENT).map(|(_, of, path)| (of, path))
            }
        }
    };
}

offsets! {
    /// Address family.
    family: "sock_common" ["skc_family"];
    /// TCP state.
    state: "sock_common" ["skc_state"];
    /// Remote port, big endian.
    remote_port: "sock_common" ["skc_dport"];
    /// Remote IPv4 address.
    remote_v4: "sock_common" ["skc_daddr"];
    /// Local IPv4 address.
    local_v4: "sock_common" ["skc_rcv_saddr"];
    /// Remote IPv6 address.
    remote_v6: "sock_common" ["skc_v6_daddr"];
    /// Local IPv6 address.
    local_v6: "sock_common" ["skc_v6_rcv_saddr"];
    /// Socket flags; bit 1 is `SOCK_DONE`, a FIN was received.
    flags: "sock_common" ["skc_flags"];
    /// Network namespace.
    net: "sock_common" ["skc_net"];
    /// Inode of a network namespace.
    net_inum: "net" ["ns.inum"];
    /// Identifier that no other socket had since boot; 0 until somebody asks the kernel for it.
    cookie: "sock_common" ["skc_cookie"];
    /// What the program has set by itself, a field of four bits; with `SOCK_BINDPORT_LOCK` the local port.
    userlocks_bit: "sock" ["sk_userlocks:"];
    /// IP protocol.
    protocol: "sock" ["sk_protocol"];
    /// Pending error.
    error: "sock" ["sk_err"];
    /// Local port, big endian; unlike `skc_num` it is still set at `TCP_CLOSE`.
    local_port: "inet_sock" ["inet_sport"];
    /// Payload bytes received, plus one for a FIN.
    bytes_received: "tcp_sock" ["bytes_received"];
    /// Payload bytes sent, retransmissions included.
    bytes_sent: "tcp_sock" ["bytes_sent"];
    /// Payload bytes retransmitted.
    bytes_retrans: "tcp_sock" ["bytes_retrans"];
    /// Smoothed round-trip time, microseconds times 8.
    srtt: "tcp_sock" ["srtt_us"];
    /// Mean deviation, microseconds times 4.
    mdev: "tcp_sock" ["mdev_us"];
    /// Segments retransmitted.
    total_retrans: "tcp_sock" ["total_retrans"];
    /// Segments received.
    segs_in: "tcp_sock" ["segs_in"];
    /// Segments sent.
    segs_out: "tcp_sock" ["segs_out"];
    /// Process id of a task.
    task_tgid: "task_struct" ["tgid"];
    /// Memory of a task, null for kernel threads and dying tasks.
    task_mm: "task_struct" ["mm"];
    /// Control groups of a task.
    task_cgroups: "task_struct" ["cgroups"];
    /// The one of the unified hierarchy.
    cgroups_unified: "css_set" ["dfl_cgrp"];
    /// Folder of a control group.
    cgroup_folder: "cgroup" ["kn"];
    /// Inode of such a folder.
    folder_id: "kernfs_node" ["id"];
    /// Executable of a process.
    mm_exe: "mm_struct" ["exe_file"];
    /// Directory entry of a file.
    file_dentry: "file" ["f_path.dentry"];
    /// Length of a directory entry's name.
    dentry_name_len: "dentry" ["d_name.len"];
    /// A name short enough to be stored inside the entry (the second place up to Linux 6.13).
    dentry_name: "dentry" ["d_shortname", "d_iname"];
    /// Address that a send or receive call names.
    message_name: "msghdr" ["msg_name"];
    /// Length of that address.
    message_name_len: "msghdr" ["msg_namelen"];
    /// The `struct socket` of a socket, null if no process holds it.
    sock_socket: "sock" ["sk_socket"];
    /// The inode behind a `struct socket`, with which it is allocated.
    socket_inode: "socket_alloc" ["vfs_inode"];
    /// Number of an inode.
    inode_number: "inode" ["i_ino"];
    /// Socket of a `struct socket`.
    socket_sock: "socket" ["sk"];
    /// Descriptor table of a task.
    task_files: "task_struct" ["files"];
    /// The part of it that is read without a lock.
    files_table: "files_struct" ["fdt"];
    /// Its open files, by descriptor.
    table_files: "fdtable" ["fd"];
    /// How many descriptors it has room for.
    table_size: "fdtable" ["max_fds"];
    /// Inode of an open file.
    file_inode: "file" ["f_inode"];
    /// Type and permissions of an inode.
    inode_mode: "inode" ["i_mode"];
    /// File system of an inode.
    inode_super: "inode" ["i_sb"];
    /// Device of a file system.
    super_device: "super_block" ["s_dev"];
    /// What a file's own kind keeps of it; for sockets the `struct socket`.
    file_private: "file" ["private_data"];
}
