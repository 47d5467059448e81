//! How many messages the kernel threw away for want of room, from its table of netlink sockets.

/// The column `Drops` of the socket with this inode, in the text of `/proc/net/netlink`.
pub(crate) fn drops(table: &str, inode: u64) -> Option<u64> {
    let mut lines = table.lines();
    let names: Vec<&str> = lines.next()?.split_whitespace().collect();
    let column = |name| names.iter().position(|own| *own == name);
    let (drops, inodes) = (column("Drops")?, column("Inode")?);
    lines.find_map(|line| {
        let values: Vec<&str> = line.split_whitespace().collect();
        let own: u64 = values.get(inodes)?.parse().ok()?;
        (own == inode).then(|| values.get(drops)?.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode
0000000085d9d045 0   0          00000000 0        0        0     2        0        4
00000000acdbc87d 4   771        00000005 212992   0        0     2        1234     555
";

    #[test]
    fn the_socket_is_found_by_its_inode() {
        assert_eq!(drops(TABLE, 555), Some(1234));
        assert_eq!(drops(TABLE, 4), Some(0));
        assert_eq!(drops(TABLE, 5), None);
    }

    #[test]
    fn a_table_that_looks_different_says_nothing() {
        for table in ["", "sk Eth\n1 2", "Drops Inode\nx y\n1", "Drops Inode\n"] {
            assert_eq!(drops(table, 1), None, "{table}");
        }
    }
}
