use std::collections::BTreeMap;
use std::io::Read;

use flate2::read::GzDecoder;
use object::elf::{EM_386, EM_AARCH64, EM_X86_64};
use serde_json::Value;

use super::layout::digest_of;
use super::{Created, DEFAULT_IMAGE, Image, NotPackable, Reference};

const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";

/// An ELF executable with one segment and nothing to run: enough to be told what it is.
fn executable(machine: u16, segment: u32) -> Vec<u8> {
    let segment_begins: u64 = 64 + 56;
    let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
    bytes.resize(16, 0);
    bytes.extend(2u16.to_le_bytes()); // an executable
    bytes.extend(machine.to_le_bytes());
    bytes.extend(1u32.to_le_bytes());
    bytes.extend([0, 64, 0].map(u64::to_le_bytes).concat()); // entry; program headers follow this one; no sections
    bytes.extend([0; 4]);
    bytes.extend([64u16, 56, 1, 64, 0, 0].map(u16::to_le_bytes).concat());
    bytes.extend(segment.to_le_bytes());
    bytes.extend([0; 4]);
    let size = LOADER.len() as u64 + 1;
    bytes.extend(
        [segment_begins, 0, 0, size, size, 1]
            .map(u64::to_le_bytes)
            .concat(),
    );
    assert_eq!(bytes.len() as u64, segment_begins);
    bytes.extend(LOADER.as_bytes());
    bytes.push(0);
    bytes
}

fn a_static_one() -> Vec<u8> {
    executable(EM_X86_64, object::elf::PT_LOAD)
}

fn name() -> Reference {
    DEFAULT_IMAGE.parse().unwrap()
}

fn archive(executable: &[u8], name: &Reference, created: Created) -> Vec<u8> {
    let mut archive = Vec::new();
    let image = Image::pack(executable, name, created).unwrap();
    image.write(&mut archive).unwrap();
    archive
}

/// A tar archive's files by path, as another program would read them.
fn unpack(archive: &[u8]) -> BTreeMap<String, (tar::Header, Vec<u8>)> {
    let mut files = BTreeMap::new();
    for entry in tar::Archive::new(archive).entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().to_str().unwrap().to_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        let twice = files.insert(path, (entry.header().clone(), content));
        assert!(twice.is_none());
    }
    files
}

/// Takes a blob out of the archive by its descriptor, which must tell the truth.
fn blob(files: &mut BTreeMap<String, (tar::Header, Vec<u8>)>, descriptor: &Value) -> Vec<u8> {
    let digest = descriptor["digest"].as_str().unwrap();
    let path = digest.replace("sha256:", "blobs/sha256/");
    let (_, content) = files.remove(&path).unwrap_or_else(|| panic!("no {path}"));
    assert_eq!(descriptor["size"], content.len());
    assert_eq!(digest_of(&content), digest);
    content
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

#[test]
fn the_archive_is_an_image_layout_with_one_file() {
    let executable = a_static_one();
    let created: Created = "1700000000".parse().unwrap();
    let mut files = unpack(&archive(&executable, &name(), created));
    for (path, (header, _)) in &files {
        assert_eq!(header.mtime().unwrap(), 1_700_000_000, "{path}");
        assert_eq!(header.mode().unwrap(), 0o644, "{path}");
    }
    let layout = json(&files.remove("oci-layout").unwrap().1);
    assert_eq!(layout["imageLayoutVersion"], "1.0.0");

    let index = json(&files.remove("index.json").unwrap().1);
    let [entry] = index["manifests"].as_array().unwrap().as_slice() else {
        panic!("{index}")
    };
    let annotations = &entry["annotations"];
    assert_eq!(annotations["io.containerd.image.name"], DEFAULT_IMAGE);
    assert_eq!(annotations["org.opencontainers.image.ref.name"], DEFAULT_IMAGE);
    assert_eq!(entry["platform"]["architecture"], "amd64");

    let manifest = json(&blob(&mut files, entry));
    assert_eq!(manifest["mediaType"], entry["mediaType"]);
    let docker = json(&files.remove("manifest.json").unwrap().1);
    assert_eq!(docker[0]["RepoTags"][0], DEFAULT_IMAGE);
    let path_of = |digest: &Value| digest.as_str().unwrap().replace("sha256:", "blobs/sha256/");
    assert_eq!(docker[0]["Config"], path_of(&manifest["config"]["digest"]));
    assert_eq!(docker[0]["Layers"][0], path_of(&manifest["layers"][0]["digest"]));

    let config = json(&blob(&mut files, &manifest["config"]));
    assert_eq!(config["created"], "2023-11-14T22:13:20Z");
    assert_eq!(config["architecture"], "amd64");
    assert_eq!(config["os"], "linux");
    assert_eq!(config["config"]["User"], "65532:65532");
    assert_eq!(config["config"]["Entrypoint"], serde_json::json!(["/mesh"]));
    assert!(
        config["config"].get("Cmd").is_none(),
        "pods say which face they want"
    );
    let labels = &config["config"]["Labels"];
    for label in ["title", "description", "version", "licenses"] {
        let label = &labels[format!("org.opencontainers.image.{label}")];
        assert!(label.as_str().is_some_and(|text| !text.is_empty()), "{labels}");
    }

    let gzipped = blob(&mut files, &manifest["layers"][0]);
    assert!(
        files.is_empty(),
        "nobody refers to {:?}",
        files.keys().collect::<Vec<_>>()
    );
    let mut plain = Vec::new();
    GzDecoder::new(gzipped.as_slice())
        .read_to_end(&mut plain)
        .unwrap();
    assert_eq!(
        config["rootfs"]["diff_ids"],
        serde_json::json!([digest_of(&plain)])
    );
    let layer = unpack(&plain);
    let (header, content) = &layer["mesh"];
    assert_eq!(layer.len(), 1);
    assert_eq!(content, &executable);
    assert_eq!(header.mode().unwrap(), 0o755);
    assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (0, 0));
    assert!(header.entry_type().is_file());
}

#[test]
fn the_same_input_gives_the_same_bytes_and_other_input_others() {
    let executable = a_static_one();
    let first = archive(&executable, &name(), Created::default());
    assert_eq!(archive(&executable, &name(), Created::default()), first);
    let mut longer = executable.clone();
    longer.push(0);
    let others = [
        archive(&executable, &name(), "1".parse().unwrap()),
        archive(&executable, &"mesh:dev".parse().unwrap(), Created::default()),
        archive(&longer, &name(), Created::default()),
    ];
    assert!(others.iter().all(|other| *other != first));
}

#[test]
fn the_architecture_is_that_of_the_executable() {
    let pack = |machine| {
        let executable = executable(machine, object::elf::PT_LOAD);
        Image::pack(&executable, &name(), Created::default())
    };
    assert_eq!(pack(EM_X86_64).unwrap().platform(), "linux/amd64");
    assert_eq!(pack(EM_AARCH64).unwrap().platform(), "linux/arm64");
    assert!(matches!(pack(EM_386), Err(NotPackable::Machine(EM_386))));
}

#[test]
fn only_what_needs_no_loader_is_packed() {
    let refused = |bytes: &[u8]| Image::pack(bytes, &name(), Created::default()).unwrap_err();
    let dynamic = executable(EM_X86_64, object::elf::PT_INTERP);
    let why = refused(&dynamic);
    assert!(
        matches!(&why, NotPackable::Dynamic(loader) if loader == LOADER),
        "{why}"
    );
    let no_elf: [&[u8]; 4] = [b"", b"#!/bin/sh\n", &dynamic[..70], b"\x7fELF\x01\x01\x01"];
    for bytes in no_elf {
        let why = refused(bytes);
        assert!(matches!(why, NotPackable::NotElf(_)), "{bytes:?}: {why}");
    }
}

#[test]
fn how_many_bytes_a_node_pulls() {
    // So that it does not fit into a few bytes: text that does not repeat.
    let noise = (0u32..100_000).flat_map(|number| number.wrapping_mul(2_654_435_769).to_le_bytes());
    let executable: Vec<u8> = a_static_one().into_iter().chain(noise).collect();
    let image = Image::pack(&executable, &name(), Created::default()).unwrap();
    let mut archive = Vec::new();
    image.write(&mut archive).unwrap();
    let around = archive.len() - image.compressed();
    assert!((1..16_384).contains(&around), "{around} bytes besides the layer");
}
