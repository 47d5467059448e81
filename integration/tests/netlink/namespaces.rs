//! Namespaces that come and go.

use std::fs;

use weir_agent::namespaces::{Namespaces, raise_open_files_limit};
use weir_integration::netns::Netns;

#[test]
fn a_named_namespace_is_found_entered_and_let_go() -> anyhow::Result<()> {
    let before = Namespaces::find()?;
    let netns = Netns::new("found")?;
    let inode: u32 = netns.inode()?.parse()?;
    assert!(!before.contains(inode));

    let mut namespaces = Namespaces::find()?;
    assert!(namespaces.contains(inode));
    let home = fs::read_link("/proc/thread-self/ns/net")?;
    let inside = namespaces.each_of(
        |one| one == inode,
        |one| (one.inode(), fs::read_link("/proc/thread-self/ns/net")),
    );
    let (number, link) = inside.into_iter().next().unwrap().1?;
    assert_eq!(number, inode);
    assert_eq!(link?.to_str(), Some(format!("net:[{inode}]").as_str()));
    assert_eq!(fs::read_link("/proc/thread-self/ns/net")?, home);

    drop(netns);
    namespaces.refresh()?;
    assert!(!namespaces.contains(inode));
    Ok(())
}

#[test]
fn a_namespace_that_only_a_process_is_in_is_found_as_long_as_it_lives() -> anyhow::Result<()> {
    let mut process = std::process::Command::new("unshare")
        .args(["--net", "sleep", "600"])
        .spawn()?;
    let link = format!("/proc/{}/ns/net", process.id());
    let own = fs::read_link("/proc/self/ns/net")?;
    let inode = weir_integration::eventually("a namespace of its own", || {
        let now = fs::read_link(&link).map_err(|error| error.to_string())?;
        let text = now.to_str().unwrap_or_default().to_owned();
        if now == own {
            return Err(text);
        }
        text.trim_matches(|c: char| !c.is_ascii_digit())
            .parse::<u32>()
            .map_err(|error| format!("{text}: {error}"))
    })?;
    let mut namespaces = Namespaces::find()?;
    assert!(namespaces.contains(inode));
    process.kill()?;
    process.wait()?;
    namespaces.refresh()?;
    assert!(!namespaces.contains(inode));
    Ok(())
}

#[test]
fn three_hundred_namespaces_are_found_and_each_is_entered_once() -> anyhow::Result<()> {
    raise_open_files_limit();
    let all: Vec<Netns> = (0..300)
        .map(|_| Netns::new("many"))
        .collect::<anyhow::Result<_>>()?;
    let namespaces = Namespaces::find()?;
    assert_eq!(namespaces.left_out(), 0);
    let entered = namespaces.each(|one| {
        let link = fs::read_link("/proc/thread-self/ns/net").unwrap_or_default();
        link.to_str() == Some(format!("net:[{}]", one.inode()).as_str())
    });
    for netns in &all {
        let inode: u32 = netns.inode()?.parse()?;
        let visits: Vec<_> = entered.iter().filter(|(one, _)| *one == inode).collect();
        assert_eq!(visits.len(), 1);
        assert!(visits[0].1.as_ref().is_ok_and(|right| *right));
    }
    Ok(())
}
