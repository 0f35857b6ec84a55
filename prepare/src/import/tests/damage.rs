//! Files that are cut off or changed: an error or a model, never a panic and never half a directory.

use super::super::{ImportError, Settings, WeightType, import_gguf};
use super::sample::Sample;
use proptest::prelude::*;
use std::fs;

fn import_bytes(bytes: &[u8]) -> Result<(), ImportError> {
    let folder = tempfile::tempdir().unwrap();
    let (source, out_dir) = (folder.path().join("model.gguf"), folder.path().join("out"));
    fs::write(&source, bytes).unwrap();
    let settings = Settings { source, out_dir: out_dir.clone(), weight_type: WeightType::F32 };
    let imported = import_gguf(&settings, &mut |_, _| {});
    assert_eq!(out_dir.exists(), imported.is_ok());
    assert!(!folder.path().join("out.tmp").exists());
    imported.map(drop)
}

/// Bytes before the tensors' data, which nothing but the header's fields are in.
fn header_len(bytes: &[u8]) -> usize {
    let name = b"blk.0.ffn_down.weight";
    bytes.windows(name.len()).rposition(|window| window == name).unwrap() + name.len() + 4 + 2 * 8 + 4 + 8
}

proptest! {
    #[test]
    fn a_file_that_is_cut_off_is_refused(share in 0.0..1.0_f64) {
        let bytes = Sample::new().bytes();
        let length = (bytes.len() as f64 * share) as usize;
        let error = import_bytes(&bytes[..length]).unwrap_err();
        let is_expected = matches!(error, ImportError::Damaged { .. } | ImportError::NotGguf { .. });
        prop_assert!(is_expected, "{}", error);
    }

    #[test]
    fn changed_bytes_never_make_it_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let mut bytes = Sample::new().bytes();
        let header = header_len(&bytes);
        for (at, value) in changes {
            bytes[at.index(header)] = value;
        }
        let _ = import_bytes(&bytes);
    }

    #[test]
    fn lengths_beyond_the_file_are_refused_before_memory_is_taken(
        at in any::<prop::sample::Index>(), value in prop_oneof![Just(u64::MAX), Just(1 << 40), any::<u64>()],
    ) {
        let mut bytes = Sample::new().bytes();
        let at = at.index(header_len(&bytes) - 8);
        bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
        let _ = import_bytes(&bytes);
    }
}

#[test]
fn the_error_says_what_and_where() {
    let bytes = Sample::new().bytes();
    let mut counts = bytes.clone();
    counts[8..16].copy_from_slice(&u64::MAX.to_le_bytes());
    let error = import_bytes(&counts).unwrap_err().to_string();
    assert!(error.contains("the number of tensors is 18446744073709551615"), "{error}");
    assert!(error.contains("at byte 16 of "), "{error}");
    let error = import_bytes(b"PK\x03\x04 a zip file").unwrap_err().to_string();
    assert!(error.contains("is not a GGUF file"), "{error}");
    let error = import_bytes(b"").unwrap_err().to_string();
    assert!(error.contains("is not a GGUF file"), "{error}");
    let error = import_bytes(&bytes[..bytes.len() - 1]).unwrap_err().to_string();
    assert!(error.contains("tensor blk.0.ffn_down.weight has 1088 bytes"), "{error}");
    let mut version = bytes;
    version[4] = 9;
    let error = import_bytes(&version).unwrap_err().to_string();
    assert!(error.contains("the GGUF version is 9"), "{error}");
}
