use super::{
    Error, Existing, Options, Outcome, Phase, Progress, REJECTED_FILE, RejectedRow, Report, Silent, run,
};
use crate::fixtures;
use crate::sample::{Inspector, Part};
use evenkeel_shared::config::{Config, LongDialogue};
use evenkeel_shared::dataset::{Manifest, Verification};
use evenkeel_shared::ids::{RowId, SegmentId};
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// A model, dialogues and a configuration in a folder of their own.
struct Setup {
    folder: tempfile::TempDir,
    _model: tempfile::TempDir,
    config: Config,
}

fn setup(rows: &str) -> Setup {
    let (folder, model) = (tempfile::tempdir().unwrap(), fixtures::model_folder("chatml"));
    let input = folder.path().join("rows.jsonl");
    fs::write(&input, rows).unwrap();
    let mut config = Config::default();
    config.model.path = model.path().to_path_buf();
    config.data.train = vec![input];
    config.data.dataset = folder.path().join("dataset");
    config.vectorize.max_length = 120;
    config.vectorize.segment_bytes = 2000;
    config.vectorize.workers = 2;
    Setup { folder, _model: model, config }
}

impl Setup {
    fn run(&self) -> Result<Report, Error> {
        run(&self.config, Options::default(), &Silent)
    }

    fn dataset(&self) -> &Path {
        &self.config.data.dataset
    }

    fn rejected(&self) -> Vec<RejectedRow> {
        let text = fs::read_to_string(self.dataset().join(REJECTED_FILE)).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// Dialogues of one to four exchanges, some of them longer than a pack.
fn many_rows() -> String {
    let line = |row: usize| {
        let exchange = |turn: usize| {
            let question =
                format!("Question {turn} of row {row}: 为什么天是蓝的？{}", "why ".repeat(row % 7));
            [
                json!({"role": "user", "content": question}),
                json!({"role": "assistant", "content": format!("Answer {turn}. 😀")}),
            ]
        };
        let messages: Vec<_> = (0..=row % 4).flat_map(exchange).collect();
        format!("{}\n", json!({"messages": messages}))
    };
    (0..60).map(line).collect()
}

/// Every file of a folder with its content.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            found.extend(
                files(&path).into_iter().map(|(inner, content)| (format!("{name}/{inner}"), content)),
            );
        } else {
            found.insert(name, fs::read(path).unwrap());
        }
    }
    found
}

#[test]
fn the_bytes_do_not_depend_on_the_number_of_threads() {
    let mut setup = setup(&many_rows());
    let mut made = Vec::new();
    for workers in [1, 2, 5] {
        setup.config.vectorize.workers = workers;
        setup.config.data.dataset = setup.folder.path().join(format!("dataset-{workers}"));
        let report = setup.run().unwrap();
        assert_eq!(report.outcome, Outcome::Made { continued: 0 });
        assert!(report.manifest.segments.len() > 5);
        made.push(files(setup.dataset()));
    }
    assert_eq!(made[0].len(), made[0].keys().filter(|name| name.ends_with(".seg")).count() + 2);
    assert!(made[0] == made[1] && made[0] == made[2]);
}

#[test]
fn every_row_is_in_the_data_set_once_and_reads_as_it_was_written() {
    let setup = setup(&many_rows());
    let report = setup.run().unwrap();
    let manifest = Manifest::load(setup.dataset()).unwrap();
    assert_eq!(manifest, report.manifest);
    assert_eq!((manifest.rows, manifest.rejected_rows, manifest.documents), (60, 0, 60));
    manifest.check_config(&setup.config).unwrap();
    let mut rows = Vec::new();
    for index in 0..manifest.segments.len() {
        let segment = manifest.open_segment(setup.dataset(), SegmentId(index as u32)).unwrap();
        for pack in 0..segment.packs() {
            let pack = segment.pack(pack).unwrap();
            assert!(pack.len() <= 120);
            rows.extend(pack.documents().map(|document| document.row.0));
        }
    }
    rows.sort_unstable();
    assert_eq!(rows, (0..60).collect::<Vec<_>>());

    let inspector = Inspector::open(setup.dataset(), &setup.config.model.path).unwrap();
    let sample = inspector.row(RowId(4)).unwrap();
    let document = &sample.documents[0];
    let text: String = document.runs.iter().map(|run| run.text.as_str()).collect();
    assert_eq!(
        text,
        "<|im_start|>system\nYou are a calm helper.<|im_end|>\n<|im_start|>user\nQuestion 0 of row 4: \
         为什么天是蓝的？why why why why <|im_end|>\n<|im_start|>assistant\nAnswer 0. 😀<|im_end|>\n"
    );
    let trained: Vec<&str> =
        document.runs.iter().filter(|run| run.part == Part::Target).map(|run| run.text.as_str()).collect();
    assert_eq!(trained, ["Answer 0. 😀<|im_end|>"]);
    assert!(inspector.row(RowId(60)).unwrap_err().to_string().contains("row 60 is not in the data set"));
    let documents = |pack| inspector.pack(SegmentId(0), pack).unwrap().documents.len();
    let packs = manifest.segments[0].packs as usize;
    assert_eq!((0..packs).map(documents).sum::<usize>(), manifest.segments[0].documents as usize);
}

#[test]
fn bad_rows_are_listed_with_their_reason_and_stop_nothing() {
    let good = r#"{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "r"}]}"#;
    let rows = [
        "{\"messages\": [",
        good,
        "",
        r#"{"messages": [{"role": "user", "content": "q"}]}"#,
        r#"{"messages": [{"role": "bot", "content": "q"}]}"#,
        "\u{1}\u{2}",
        good,
    ];
    let setup = setup(&rows.join("\n"));
    let report = setup.run().unwrap();
    assert_eq!((report.manifest.rows, report.manifest.rejected_rows, report.manifest.documents), (6, 4, 2));
    let rejected = setup.rejected();
    let lines: Vec<(u64, u64)> = rejected.iter().map(|row| (row.line, row.row.0)).collect();
    assert_eq!(lines, [(1, 0), (4, 3), (5, 4), (6, 5)]);
    assert!(rejected[0].file.ends_with("rows.jsonl") && rejected[0].reason.contains("EOF"));
    assert!(rejected[1].reason.contains("nothing to train on"), "{}", rejected[1].reason);
    assert!(rejected[2].reason.contains("`bot`"), "{}", rejected[2].reason);
    let inspector = Inspector::open(setup.dataset(), &setup.config.model.path).unwrap();
    let message = inspector.row(RowId(3)).unwrap_err().to_string();
    assert!(message.contains("line 4) is not in the data set: it was rejected: no assistant"), "{message}");
}

#[test]
fn a_segment_of_rejected_rows_keeps_its_number() {
    let mut setup = setup(&format!("{}{}", "{}\n".repeat(3), many_rows()));
    // About one row a segment.
    setup.config.vectorize.segment_bytes = 1;
    let report = setup.run().unwrap();
    let counts = report.manifest.pack_counts();
    assert!(counts.contains(&0) && counts.iter().any(|&packs| packs > 0), "{counts:?}");
    for (index, &packs) in counts.iter().enumerate() {
        let open = report.manifest.open_segment_with(
            setup.dataset(),
            SegmentId(index as u32),
            Verification::Content,
        );
        assert_eq!(open.unwrap().packs(), packs as usize);
    }
}

#[test]
fn when_no_row_is_left_nothing_is_made() {
    let rejected = setup("{}\n{}\n");
    let message = rejected.run().unwrap_err().to_string();
    assert!(
        message.contains("none of the 2 rows can be trained on") && message.contains("messages"),
        "{message}"
    );
    assert!(!rejected.dataset().join("manifest.json").exists());
    assert!(matches!(setup("\n \n").run(), Err(Error::NoRows(_))));
}

#[test]
fn the_same_again_does_nothing_and_anything_else_is_refused() {
    let mut setup = setup(&many_rows());
    let made = setup.run().unwrap();
    let before = files(setup.dataset());
    let again = setup.run().unwrap();
    assert_eq!((again.outcome, &again.manifest), (Outcome::UpToDate, &made.manifest));

    setup.config.vectorize.max_length = 119;
    setup.config.vectorize.seed = 5;
    let message = setup.run().unwrap_err().to_string();
    assert!(message.contains("max_length is 120 in the data set but 119"), "{message}");
    assert!(message.contains("seed is 0") && message.contains("--overwrite"), "{message}");
    let trained = made.manifest.check_config(&setup.config).unwrap_err().to_string();
    assert!(trained.contains("max_length is 120 in the data set but 119"), "{trained}");
    assert!(files(setup.dataset()) == before);

    let foreign = setup.dataset().join("segments/notes.txt");
    fs::write(&foreign, "mine").unwrap();
    let report = run(&setup.config, Options { existing: Existing::Overwrite }, &Silent).unwrap();
    assert_eq!(report.outcome, Outcome::Made { continued: 0 });
    assert!(foreign.exists());
    assert_eq!(Manifest::load(setup.dataset()).unwrap().max_length, 119);
}

#[test]
fn a_segment_file_that_was_lost_is_made_again() {
    let setup = setup(&many_rows());
    setup.run().unwrap();
    let before = files(setup.dataset());
    fs::remove_file(setup.dataset().join("segments/000002.seg")).unwrap();
    assert!(matches!(setup.run().unwrap().outcome, Outcome::Made { .. }));
    assert!(files(setup.dataset()) == before);
}

/// Panics in the middle of the work, which leaves the folder as a kill would.
struct Killed {
    /// Bytes of rows that are still allowed; without limit before the work begins.
    left: AtomicU64,
    after: u64,
}

impl Progress for Killed {
    fn begin(&self, phase: Phase, _bytes: u64) {
        let left = if phase == Phase::Vectorizing { self.after } else { u64::MAX };
        self.left.store(left, Ordering::Relaxed);
    }
    fn advance(&self, bytes: u64) {
        let left = self.left.load(Ordering::Relaxed);
        assert!(left > bytes, "killed");
        self.left.store(left - bytes, Ordering::Relaxed);
    }
    fn end(&self) {}
}

#[test]
fn a_killed_run_goes_on_and_gives_the_same_bytes() {
    let mut setup = setup(&many_rows());
    setup.run().unwrap();
    let expected = files(setup.dataset());
    let total = fs::metadata(&setup.config.data.train[0]).unwrap().len();

    setup.config.data.dataset = setup.folder.path().join("interrupted");
    let killed = Killed { left: AtomicU64::new(0), after: total / 2 };
    let result = catch_unwind(AssertUnwindSafe(|| run(&setup.config, Options::default(), &killed)));
    assert!(result.is_err());
    assert!(!setup.dataset().join("manifest.json").exists());
    // A segment that was damaged in the crash is not taken over.
    let mut finished: Vec<_> =
        files(setup.dataset()).into_keys().filter(|name| name.ends_with(".json")).collect();
    finished.retain(|name| name.starts_with("segments/"));
    assert!(finished.len() > 2, "{finished:?}");
    let damaged = setup.dataset().join(finished[0].replace(".json", ".seg"));
    fs::write(&damaged, "torn").unwrap();

    let report = setup.run().unwrap();
    assert_eq!(report.outcome, Outcome::Made { continued: finished.len() - 1 });
    assert!(files(setup.dataset()) == expected);
}

#[test]
fn an_unfinished_data_set_of_other_settings_is_not_mixed_in() {
    let mut setup = setup(&many_rows());
    let report = setup.run().unwrap();
    fs::remove_file(setup.dataset().join("manifest.json")).unwrap();
    let marker = serde_json::to_vec(&report.manifest.fingerprint).unwrap();
    fs::write(setup.dataset().join("unfinished.json"), marker).unwrap();
    setup.config.vectorize.long_dialogue = LongDialogue::Drop;
    let message = setup.run().unwrap_err().to_string();
    assert!(message.contains("an unfinished data set") && message.contains("long_dialogue"), "{message}");
    let report = run(&setup.config, Options { existing: Existing::Overwrite }, &Silent).unwrap();
    assert!(report.manifest.rejected_rows > 0);
    assert!(setup.rejected()[0].reason.contains("long_dialogue is \"drop\""));
}

#[test]
fn settings_and_files_that_cannot_be_used_are_named() {
    let refused = |change: &dyn Fn(&mut Config), part: &str| {
        let mut setup = setup(&many_rows());
        change(&mut setup.config);
        let message = setup.run().unwrap_err().to_string();
        assert!(message.contains(part), "{message}");
        assert!(!setup.dataset().exists());
    };
    refused(&|config| config.data.train.clear(), "data.train is empty");
    refused(&|config| config.model.path = "".into(), "model.path is empty");
    refused(&|config| config.model.path = "no/such/model".into(), "no/such/model does not exist");
    refused(&|config| config.data.train = vec!["no/such.jsonl".into()], "cannot open no/such.jsonl");
    refused(&|config| config.vectorize.max_length = 1, "max_length must be at least 2");
}
