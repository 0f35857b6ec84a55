use super::*;
use crate::config::Precision;
use crate::ids::{Epoch, Step, WorldSize};
use crate::plan::Cursor;
use std::fs;
use std::path::Path;

fn manifest(step: u64) -> CheckpointManifest {
    CheckpointManifest {
        format_version: CHECKPOINT_FORMAT_VERSION,
        step: Step(step),
        cursor: Cursor::start(Epoch(0), &[4, 4]),
        tokens: 1,
        target_tokens: 1,
        world_size: WorldSize(2),
        dataset_fingerprint: "f".into(),
        precision: Precision::Bf16,
        loss: Some(1.25),
        grad_norm: None,
        loss_scale: 1.0,
        learning_rate: 0.1 + 0.2,
        created_unix: 1,
        config: serde_json::json!({"run": {"name": "x"}}),
        files: Vec::new(),
    }
}

fn write(run_dir: &Path, step: u64) -> std::path::PathBuf {
    let temporary = begin(run_dir, Step(step)).unwrap();
    fs::create_dir(temporary.join("model")).unwrap();
    fs::write(temporary.join("model/config.json"), b"{}").unwrap();
    fs::write(temporary.join("optimizer.safetensors"), vec![7; 100_000]).unwrap();
    seal(&temporary, manifest(step)).unwrap()
}

fn steps(run_dir: &Path) -> Vec<u64> {
    list(run_dir).unwrap().iter().map(|found| found.step.0).collect()
}

#[test]
fn a_sealed_checkpoint_is_listed_and_intact() {
    let run = tempfile::tempdir().unwrap();
    assert_eq!(newest(run.path()).unwrap(), None);
    let dir = write(run.path(), 10);
    assert_eq!(dir, folder(run.path(), Step(10)));
    let read = verify(&dir).unwrap();
    let names: Vec<_> = read.files.iter().map(|file| (file.path.as_str(), file.bytes)).collect();
    assert_eq!(names, [("model/config.json", 2), ("optimizer.safetensors", 100_000)]);
    assert_eq!(CheckpointManifest { files: Vec::new(), ..read }, manifest(10));
    assert_eq!(newest(run.path()).unwrap().unwrap().step, Step(10));
}

#[test]
fn every_kind_of_damage_is_named() {
    let damage = |change: &dyn Fn(&Path)| {
        let run = tempfile::tempdir().unwrap();
        let dir = write(run.path(), 3);
        change(&dir);
        verify(&dir).unwrap_err().to_string()
    };
    let truncated = damage(&|dir| fs::write(dir.join("optimizer.safetensors"), [7; 99]).unwrap());
    assert!(truncated.contains("optimizer.safetensors has 99 bytes instead of 100000"), "{truncated}");
    let flipped = damage(&|dir| {
        let mut content = vec![7; 100_000];
        content[99_999] ^= 1;
        fs::write(dir.join("optimizer.safetensors"), content).unwrap();
    });
    assert!(flipped.contains("optimizer.safetensors has other content"), "{flipped}");
    let missing = damage(&|dir| fs::remove_file(dir.join("model/config.json")).unwrap());
    assert!(missing.contains("model/config.json is missing"), "{missing}");
    let edited = damage(&|dir| {
        let path = dir.join("manifest.json");
        let text = fs::read_to_string(&path).unwrap().replace("\"tokens\": 1", "\"tokens\": 2");
        fs::write(path, text).unwrap();
    });
    assert!(edited.contains("manifest.json does not match its hash"), "{edited}");
    let renamed = {
        let run = tempfile::tempdir().unwrap();
        let other = folder(run.path(), Step(4));
        fs::rename(write(run.path(), 3), &other).unwrap();
        verify(&other).unwrap_err().to_string()
    };
    assert!(renamed.contains("is of step 3"), "{renamed}");
}

#[test]
fn a_manifest_cannot_name_files_outside() {
    for outside in ["../secret", "/etc/hosts", "model/../../secret", ""] {
        let run = tempfile::tempdir().unwrap();
        let dir = write(run.path(), 1);
        let mut manifest = CheckpointManifest::load(&dir).unwrap();
        manifest.files[0].path = outside.into();
        let content = serde_json::to_vec(&manifest).unwrap();
        fs::write(dir.join("manifest.blake3"), blake3::hash(&content).to_hex().as_bytes()).unwrap();
        fs::write(dir.join("manifest.json"), content).unwrap();
        assert!(verify(&dir).unwrap_err().to_string().contains("outside"), "{outside}");
    }
}

#[test]
fn another_format_version_is_refused_before_its_fields_are_read() {
    let run = tempfile::tempdir().unwrap();
    let dir = write(run.path(), 1);
    let content = br#"{"format_version": 2, "new_field": true}"#;
    fs::write(dir.join("manifest.json"), content).unwrap();
    fs::write(dir.join("manifest.blake3"), blake3::hash(content).to_hex().as_bytes()).unwrap();
    assert!(matches!(verify(&dir), Err(CheckpointError::FormatVersion { found: 2, .. })));
}

#[test]
fn leftovers_and_foreign_folders_are_not_checkpoints() {
    let run = tempfile::tempdir().unwrap();
    write(run.path(), 5);
    let dir = checkpoints_dir(run.path());
    for foreign in
        ["step-00000007.tmp", "step-00000005.replaced.tmp", "step-6", "step-+0000008", "best", "step-"]
    {
        fs::create_dir(dir.join(foreign)).unwrap();
    }
    fs::write(dir.join("step-00000009"), b"a file").unwrap();
    assert_eq!(steps(run.path()), [5]);
    remove_leftovers(run.path()).unwrap();
    let left = fs::read_dir(&dir).unwrap().count();
    assert_eq!(left, 6, "only the two .tmp folders go");
    // A step that is begun again starts from an empty folder.
    fs::create_dir_all(dir.join("step-00000007.tmp/model")).unwrap();
    let again = begin(run.path(), Step(7)).unwrap();
    assert_eq!(fs::read_dir(again).unwrap().count(), 0);
}

#[test]
fn an_interrupted_write_is_invisible_and_sealing_can_be_repeated() {
    let run = tempfile::tempdir().unwrap();
    let temporary = begin(run.path(), Step(2)).unwrap();
    fs::write(temporary.join("a"), b"1").unwrap();
    fs::write(temporary.join("manifest.json"), b"half of an earlier att").unwrap();
    assert_eq!(steps(run.path()), [] as [u64; 0]);
    let dir = seal(&temporary, manifest(2)).unwrap();
    assert_eq!(verify(&dir).unwrap().files.len(), 1);
}

#[test]
fn a_checkpoint_of_the_same_step_is_replaced() {
    let run = tempfile::tempdir().unwrap();
    write(run.path(), 2);
    let temporary = begin(run.path(), Step(2)).unwrap();
    fs::write(temporary.join("new"), b"1").unwrap();
    let dir = seal(&temporary, manifest(2)).unwrap();
    assert_eq!(verify(&dir).unwrap().files[0].path, "new");
    assert_eq!(fs::read_dir(checkpoints_dir(run.path())).unwrap().count(), 1);
}

#[test]
fn sealing_refuses_links_and_the_wrong_step() {
    let run = tempfile::tempdir().unwrap();
    let temporary = begin(run.path(), Step(2)).unwrap();
    assert!(matches!(seal(&temporary, manifest(3)), Err(CheckpointError::Unsealable { .. })));
    std::os::unix::fs::symlink("/dev/null", temporary.join("link")).unwrap();
    assert!(matches!(seal(&temporary, manifest(2)), Err(CheckpointError::Unsealable { .. })));
    assert!(steps(run.path()).is_empty());
}

#[test]
fn rotation_keeps_the_newest() {
    let run = tempfile::tempdir().unwrap();
    for step in [100, 9, 20] {
        write(run.path(), step);
    }
    assert!(rotate(run.path(), 0).unwrap().is_empty());
    assert!(rotate(run.path(), 5).unwrap().is_empty());
    let removed = rotate(run.path(), 2).unwrap();
    assert_eq!(removed.iter().map(|found| found.step.0).collect::<Vec<_>>(), [9]);
    assert_eq!(steps(run.path()), [20, 100]);
    assert_eq!(fs::read_dir(checkpoints_dir(run.path())).unwrap().count(), 2);
}

#[test]
fn later_steps_are_set_aside_and_not_lost() {
    let run = tempfile::tempdir().unwrap();
    for step in [1, 2, 3] {
        write(run.path(), step);
    }
    let aside = set_aside_after(run.path(), Step(1)).unwrap();
    assert_eq!(steps(run.path()), [1]);
    assert_eq!(aside.len(), 2);
    assert!(aside.iter().all(|path| path.join("manifest.json").is_file()));
    // The run makes step 2 anew, and rotation sees only what it made.
    write(run.path(), 2);
    assert_eq!(steps(run.path()), [1, 2]);
    rotate(run.path(), 1).unwrap();
    assert_eq!(steps(run.path()), [2]);
}

#[test]
fn the_newest_intact_one_is_found_behind_damage() {
    let run = tempfile::tempdir().unwrap();
    assert!(newest_intact(run.path()).unwrap().is_none());
    write(run.path(), 1);
    let dir = write(run.path(), 2);
    fs::remove_file(dir.join("optimizer.safetensors")).unwrap();
    assert_eq!(newest_intact(run.path()).unwrap().unwrap().0.step, Step(1));
    fs::remove_file(folder(run.path(), Step(1)).join("manifest.json")).unwrap();
    let error = newest_intact(run.path()).unwrap_err().to_string();
    assert!(error.contains("step-00000002"), "{error}");
}
