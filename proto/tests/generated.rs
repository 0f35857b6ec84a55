//! The committed code is what the .proto file gives.
//!
//! `EVENKEEL_REGENERATE=1` writes it instead of comparing.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

const GENERATED: [&str; 2] = ["evenkeel.v1.rs", "descriptor.bin"];

fn crate_folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Writes both generated files into `folder`.
fn generate(folder: &Path) -> Result<(), Box<dyn Error>> {
    let root = crate_folder().join("proto");
    let mut compiler = protox::Compiler::new([&root])?;
    compiler.include_source_info(true).include_imports(true);
    compiler.open_file("evenkeel/v1/evenkeel.proto")?;
    tonic_prost_build::configure()
        .out_dir(folder)
        .emit_rerun_if_changed(false)
        .compile_fds(compiler.file_descriptor_set())?;

    // Comments become docs in the code above; reflection has no use for them.
    compiler.include_source_info(false);
    fs::write(folder.join("descriptor.bin"), compiler.encode_file_descriptor_set())?;
    Ok(())
}

#[test]
fn the_committed_code_is_what_the_proto_file_gives() {
    let committed = crate_folder().join("src/gen");
    if std::env::var_os("EVENKEEL_REGENERATE").is_some() {
        generate(&committed).unwrap();
        return;
    }
    let fresh = tempfile::tempdir().unwrap();
    generate(fresh.path()).unwrap();
    for name in GENERATED {
        let (expected, found) = (fs::read(fresh.path().join(name)), fs::read(committed.join(name)));
        assert!(
            expected.unwrap() == found.unwrap(),
            "src/gen/{name} is stale: run `EVENKEEL_REGENERATE=1 cargo test -p evenkeel-proto`"
        );
    }
}
