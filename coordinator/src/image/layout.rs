//! The OCI image layout as a tar archive: <https://github.com/opencontainers/image-spec/blob/v1.1.1/image-layout.md>.
//! Beside it stands Docker's older `manifest.json`, for a `docker load` of before version 25, which reads nothing else.

use std::io::{self, Write};

use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

use super::created::Created;
use super::executable::Architecture;
use super::layer::{Layer, append};
use super::reference::Reference;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// Whom the process runs as: nobody that owns anything, as a number, since Kubernetes' `runAsNonRoot` knows numbers only
/// and there is no /etc/passwd. The number is the one that other images without a shell use.
const USER: &str = "65532:65532";

/// The files of the archive, in order.
#[derive(Debug)]
pub(super) struct Layout {
    files: Vec<(String, Vec<u8>)>,
    created: Created,
}

impl Layout {
    pub(super) fn of(layer: Layer, architecture: Architecture, name: &Reference, created: Created) -> Self {
        let plain = digest_of(&layer.plain);
        let layer = Blob::new(LAYER, layer.gzipped);
        let config = Blob::new(CONFIG, json_of(&config(architecture, &plain, created)));
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": config.descriptor(),
            "layers": [layer.descriptor()],
        });
        let manifest = Blob::new(MANIFEST, json_of(&manifest));
        let index = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [in_index(&manifest, architecture, name)],
        });
        let docker = json!([{
            "Config": config.path(),
            "RepoTags": [name.to_string()],
            "Layers": [layer.path()],
        }]);
        let mut files = vec![(
            "oci-layout".to_owned(),
            json_of(&json!({"imageLayoutVersion": "1.0.0"})),
        )];
        files.push(("index.json".to_owned(), json_of(&index)));
        files.push(("manifest.json".to_owned(), json_of(&docker)));
        let blobs = [manifest, config, layer];
        files.extend(blobs.map(|blob| (blob.path(), blob.content)));
        Self { files, created }
    }

    pub(super) fn write(&self, out: impl Write) -> io::Result<()> {
        let mut archive = tar::Builder::new(out);
        for (path, content) in &self.files {
            append(&mut archive, path, 0o644, self.created, content)?;
        }
        archive.into_inner()?.flush()
    }
}

/// The manifest's entry in the index, which is where loaders find the image's name: containerd and podman by the second
/// annotation, older ones of both by the first.
fn in_index(manifest: &Blob, architecture: Architecture, name: &Reference) -> Value {
    let mut entry = manifest.descriptor();
    entry["platform"] = json!({"architecture": architecture.name(), "os": "linux"});
    entry["annotations"] = json!({
        "org.opencontainers.image.ref.name": name.to_string(),
        "io.containerd.image.name": name.to_string(),
    });
    entry
}

/// What a container gets: <https://github.com/opencontainers/image-spec/blob/v1.1.1/config.md>.
fn config(architecture: Architecture, layer: &str, created: Created) -> Value {
    let created = created.timestamp.to_string();
    json!({
        "created": created,
        "architecture": architecture.name(),
        "os": "linux",
        "config": {
            "User": USER,
            "Entrypoint": ["/mesh"],
            "WorkingDir": "/",
            "Labels": {
                "org.opencontainers.image.title": "mesh",
                "org.opencontainers.image.description": env!("CARGO_PKG_DESCRIPTION"),
                "org.opencontainers.image.version": env!("CARGO_PKG_VERSION"),
                "org.opencontainers.image.licenses": env!("CARGO_PKG_LICENSE"),
            },
        },
        "rootfs": {"type": "layers", "diff_ids": [layer]},
        "history": [{"created": created, "created_by": "mesh image"}],
    })
}

/// Something that is known by the digest of its content.
struct Blob {
    media_type: &'static str,
    digest: String,
    content: Vec<u8>,
}

impl Blob {
    fn new(media_type: &'static str, content: Vec<u8>) -> Self {
        Self {
            media_type,
            digest: digest_of(&content),
            content,
        }
    }

    fn descriptor(&self) -> Value {
        json!({"mediaType": self.media_type, "digest": self.digest, "size": self.content.len()})
    }

    fn path(&self) -> String {
        format!("blobs/{}", self.digest.replace(':', "/"))
    }
}

/// As in `sha256:01ba...`.
pub(super) fn digest_of(content: &[u8]) -> String {
    let digest = digest(&SHA256, content);
    let hex = digest.as_ref().iter().map(|byte| format!("{byte:02x}"));
    std::iter::once("sha256:".to_owned()).chain(hex).collect()
}

fn json_of(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}
