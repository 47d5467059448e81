//! Embeds the eBPF objects that `make ebpf` has built, or empty ones where the eBPF toolchain is missing.

use std::{
    env, fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use anyhow::{Context as _, bail};

const OBJECTS: [&str; 2] = ["netflow", "tls"];

fn main() -> anyhow::Result<()> {
    let root = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("..");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let sources = root.join("ebpf");
    println!("cargo::rerun-if-changed={}", sources.display());
    for name in OBJECTS {
        let built = root.join("target/ebpf").join(name).with_extension("o");
        println!("cargo::rerun-if-changed={}", built.display());
        let to = out.join(name).with_extension("o");
        if !built.exists() {
            println!(
                "cargo::warning=no eBPF object {name}: this agent will not start; `make ebpf` builds it"
            );
            fs::write(&to, []).with_context(|| format!("failed to write {}", to.display()))?;
            continue;
        }
        if newest(&sources)? > modified(&built)? {
            bail!("eBPF object {name} is older than its sources; `make ebpf` builds it again");
        }
        fs::copy(&built, &to).with_context(|| format!("failed to copy {}", built.display()))?;
    }
    Ok(())
}

fn modified(path: &Path) -> anyhow::Result<SystemTime> {
    fs::metadata(path)
        .and_then(|data| data.modified())
        .with_context(|| format!("failed to read the time of {}", path.display()))
}

/// Time of the newest Rust source below a folder.
fn newest(folder: &Path) -> anyhow::Result<SystemTime> {
    let mut newest_seen = SystemTime::UNIX_EPOCH;
    let entries =
        fs::read_dir(folder).with_context(|| format!("failed to list {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            newest_seen = newest_seen.max(newest(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            newest_seen = newest_seen.max(modified(&path)?);
        }
    }
    Ok(newest_seen)
}
