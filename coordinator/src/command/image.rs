//! `mesh image`: this very binary as a container image.

use std::fs;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use clap::Args;

use crate::cli::tell;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::image::{Created, DEFAULT_IMAGE, Image, NotPackable, Reference};
use crate::output::OutputFile;

/// What to do with the archive: the end of the help text.
pub(crate) const LOADING: &str = "To load it:
  kind         kind load image-archive mesh.tar
  k3s          k3s ctr images import mesh.tar, on each node
  containerd   ctr -n k8s.io images import mesh.tar, on each node
  CRI-O        podman load -i mesh.tar, as root, on each node
  minikube     minikube image load mesh.tar
  Docker       docker load -i mesh.tar
  a registry   skopeo copy oci-archive:mesh.tar docker://REGISTRY/NAME:TAG

The same binary gives the same archive, byte for byte. Times in it are 1970, or what SOURCE_DATE_EPOCH says.";

/// The kernel's name for what this process runs, also where the file was moved or replaced since.
const THIS_BINARY: &str = "/proc/self/exe";

/// Flags of `mesh image`.
#[derive(Debug, Args)]
pub(crate) struct ImageArgs {
    /// The archive to write; - is stdout
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,

    /// The name that the image gets, as in registry.example/net/mesh:TAG
    #[arg(long, env = "MESH_IMAGE", value_name = "NAME", default_value = DEFAULT_IMAGE)]
    image: Reference,
}

/// Packs and writes it.
pub(crate) fn image(args: &ImageArgs) -> Result<ExitCode, Failure> {
    let created = created().map_err(Failure::usage)?;
    let destination = Destination::open(&args.output)?;
    let executable = fs::read(THIS_BINARY)
        .with_context(|| format!("cannot read this binary from {THIS_BINARY}"))
        .map_err(Failure::could_not_run)?;
    let image = Image::pack(&executable, &args.image, created)
        .map_err(|error| Failure::could_not_run(how_to_mend(&error, &args.output)))?;
    destination.write(&image)?;
    tell(summary(&image, &args.image, &args.output));
    Ok(ExitCode::Reachable)
}

/// The time to put into the image.
fn created() -> anyhow::Result<Created> {
    let name = "SOURCE_DATE_EPOCH";
    match std::env::var_os(name) {
        Some(text) if !text.is_empty() => Ok(text.to_string_lossy().parse::<Created>().context(name)?),
        _ => Ok(Created::default()),
    }
}

/// Where the archive goes, known to be writable.
enum Destination {
    Stdout,
    File(OutputFile),
}

impl Destination {
    fn open(path: &Path) -> Result<Self, Failure> {
        if path.as_os_str() != "-" {
            let file = OutputFile::check(path, "the image").map_err(Failure::could_not_run)?;
            return Ok(Self::File(file));
        }
        if io::stdout().is_terminal() {
            return Err(Failure::usage(anyhow!(
                "stdout is a terminal, and an image archive is nothing to look at: pipe it, or give a file, as in -o mesh.tar"
            )));
        }
        Ok(Self::Stdout)
    }

    fn write(self, image: &Image) -> Result<(), Failure> {
        match self {
            Self::File(file) => file.write(|out| image.write(out)).map_err(Failure::could_not_run),
            // A reader that went away is an error here: half an image is none.
            Self::Stdout => image
                .write(io::stdout().lock())
                .context("cannot write the image to stdout")
                .map_err(Failure::could_not_run),
        }
    }
}

/// With the commands that lead to a binary that can be packed.
fn how_to_mend(error: &NotPackable, output: &Path) -> anyhow::Error {
    let mend = match error {
        NotPackable::Dynamic(_) => format!(
            "; build one that is, in mesh's source, with `make static`, then: \
             target/x86_64-unknown-linux-gnu/release/mesh image -o {}",
            output.display()
        ),
        NotPackable::NotElf(_) | NotPackable::Machine(_) => String::new(),
    };
    anyhow!("cannot make an image of this binary: {error}{mend}")
}

/// What was written, and what to do with it, on stderr: stdout may hold the archive.
fn summary(image: &Image, name: &Reference, output: &Path) -> String {
    let about = format!(
        "{name}, {}, {:.1} MB compressed",
        image.platform(),
        image.compressed() as f64 / 1e6
    );
    if output.as_os_str() == "-" {
        return format!("wrote the archive to stdout: {about}");
    }
    let file = output.display();
    format!(
        "wrote {file}: {about}; load it with `kind load image-archive {file}`, or on each node with \
         `ctr -n k8s.io images import {file}` (more ways: mesh image --help)"
    )
}
