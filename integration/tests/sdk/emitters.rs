//! The real SDKs, each installed by its own package manager.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use weir_integration::packages::{self, installed, run};

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

fn sources(language: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("sdk")
        .join(language)
}

impl Sdk {
    /// The command that emits; installs the SDK first if it is not there.
    fn command(self) -> anyhow::Result<Command> {
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
    let sources = sources("python");
    let python = packages::python("python", &sources.join("requirements.txt"))?;
    let mut command = Command::new(python);
    command.arg(sources.join("emit.py"));
    Ok(command)
}

fn node() -> anyhow::Result<Command> {
    let sources = sources("node");
    let files = ["package.json", "package-lock.json", "emit.js"];
    let folder = installed("node", &files.map(|file| sources.join(file)), |folder| {
        for file in files {
            fs::copy(sources.join(file), folder.join(file))?;
        }
        run(Command::new("npm")
            .args(["ci", "--no-audit", "--no-fund"])
            .current_dir(folder))
    })?;
    let mut command = Command::new("node");
    command.arg(folder.join("emit.js"));
    Ok(command)
}

fn go() -> anyhow::Result<Command> {
    let sources = sources("go");
    let files = ["go.mod", "go.sum", "main.go"].map(|file| sources.join(file));
    let folder = installed("go", &files, |folder| {
        run(Command::new("go")
            .args(["build", "-o"])
            .arg(folder.join("emit"))
            .arg(".")
            .current_dir(&sources))
    })?;
    Ok(Command::new(folder.join("emit")))
}

fn java() -> anyhow::Result<Command> {
    let sources = sources("java");
    let files = ["pom.xml", "src/main/java/Emit.java"].map(|file| sources.join(file));
    let folder = installed("java", &files, |folder| {
        let out = format!("-Dout={}", folder.canonicalize()?.display());
        run(Command::new("mvn")
            .args(["-q", "-B", "package", &out])
            .current_dir(&sources))
    })?;
    let classes = format!("{0}/classes:{0}/lib/*", folder.display());
    let mut command = Command::new("java");
    command.args(["-cp", &classes, "Emit"]);
    Ok(command)
}
