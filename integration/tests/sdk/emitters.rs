//! The real SDKs, each installed by its own package manager into the target folder.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{LazyLock, Mutex},
};

use anyhow::{Context as _, bail};

/// Installing twice at once would be a race: one after the other.
static INSTALLING: LazyLock<Mutex<()>> = LazyLock::new(Mutex::default);

/// A language with an OpenTelemetry SDK.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sdk {
    /// CPython.
    Python,
    /// Node.js.
    Node,
    /// Go.
    Go,
    /// Java.
    Java,
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command
        .output()
        .with_context(|| format!("failed to start {command:?}"))?;
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        bail!("{command:?} failed: {}", String::from_utf8_lossy(&said));
    }
    Ok(())
}

fn sources(language: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("sdk")
        .join(language)
}

fn installed(language: &str) -> anyhow::Result<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../target/sdk")
        .join(language);
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// Whether the folder was made from these very files.
fn is_current(folder: &Path, files: &[PathBuf]) -> anyhow::Result<bool> {
    let wanted = contents(files)?;
    Ok(fs::read(folder.join("installed-from")).is_ok_and(|made_from| made_from == wanted))
}

fn note(folder: &Path, files: &[PathBuf]) -> anyhow::Result<()> {
    fs::write(folder.join("installed-from"), contents(files)?)?;
    Ok(())
}

fn contents(files: &[PathBuf]) -> anyhow::Result<Vec<u8>> {
    let files = files.iter().map(fs::read);
    Ok(files.collect::<Result<Vec<_>, _>>()?.concat())
}

impl Sdk {
    /// The command that emits; installs the SDK first if it is not there.
    fn command(self) -> anyhow::Result<Command> {
        let _alone = INSTALLING.lock().unwrap();
        match self {
            Self::Python => python(),
            Self::Node => node(),
            Self::Go => go(),
            Self::Java => java(),
        }
    }

    /// Emits everything that the SDK has, over `protocol` to `endpoint` (`HOST:PORT`), compressed or not.
    ///
    /// # Errors
    /// If the SDK cannot be installed, or says that its exports failed.
    pub(crate) fn emit(
        self,
        protocol: &str,
        endpoint: &str,
        compression: &str,
    ) -> anyhow::Result<()> {
        let endpoint = match self {
            Self::Go => endpoint.to_owned(),
            Self::Python | Self::Node | Self::Java => format!("http://{endpoint}"),
        };
        run(self.command()?.args([protocol, &endpoint, compression]))
    }
}

fn python() -> anyhow::Result<Command> {
    let (sources, folder) = (sources("python"), installed("python")?);
    let list = [sources.join("requirements.txt")];
    if !is_current(&folder, &list)? {
        run(Command::new("python3")
            .args(["-m", "venv", "--clear"])
            .arg(&folder))?;
        run(Command::new(folder.join("bin/pip"))
            .args(["install", "-q", "-r"])
            .args(&list))?;
        note(&folder, &list)?;
    }
    let mut command = Command::new(folder.join("bin/python"));
    command.arg(sources.join("emit.py"));
    Ok(command)
}

fn node() -> anyhow::Result<Command> {
    let (sources, folder) = (sources("node"), installed("node")?);
    let list = [sources.join("package-lock.json")];
    for file in ["package.json", "package-lock.json", "emit.js"] {
        fs::copy(sources.join(file), folder.join(file))?;
    }
    if !is_current(&folder, &list)? {
        run(Command::new("npm")
            .args(["ci", "--no-audit", "--no-fund"])
            .current_dir(&folder))?;
        note(&folder, &list)?;
    }
    let mut command = Command::new("node");
    command.arg(folder.join("emit.js"));
    Ok(command)
}

fn go() -> anyhow::Result<Command> {
    let (sources, folder) = (sources("go"), installed("go")?);
    let program = folder.join("emit");
    // Go itself knows what has changed.
    run(Command::new("go")
        .args(["build", "-o"])
        .arg(&program)
        .arg(".")
        .current_dir(sources))?;
    Ok(Command::new(program))
}

fn java() -> anyhow::Result<Command> {
    let (sources, folder) = (sources("java"), installed("java")?);
    let list = [
        sources.join("pom.xml"),
        sources.join("src/main/java/Emit.java"),
    ];
    if !is_current(&folder, &list)? {
        let out = format!("-Dout={}", folder.canonicalize()?.display());
        run(Command::new("mvn")
            .args(["-q", "-B", "package", &out])
            .current_dir(&sources))?;
        note(&folder, &list)?;
    }
    let classes = format!("{0}/classes:{0}/lib/*", folder.display());
    let mut command = Command::new("java");
    command.args(["-cp", &classes, "Emit"]);
    Ok(command)
}
