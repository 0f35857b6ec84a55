use super::*;
use std::fs;

/// What a TOML text, variables and `--set` come to. The file is always called `run.toml` in error messages.
fn resolved(text: &str, environment: &[(&str, &str)], set: &[&str]) -> Result<Resolved, String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("run.toml");
    fs::write(&file, text).unwrap();
    let layers = Layers { file: Some(file), set: set.iter().map(|pair| (*pair).to_owned()).collect() };
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let prefix = format!("{}/", folder.path().display());
    resolve(&layers, environment).map_err(|error| error.to_string().replace(&prefix, ""))
}

fn config(text: &str, environment: &[(&str, &str)], set: &[&str]) -> Config {
    resolved(text, environment, set).unwrap().config
}

fn refusal(text: &str, environment: &[(&str, &str)], set: &[&str]) -> String {
    resolved(text, environment, set).unwrap_err()
}

#[test]
fn without_layers_there_are_the_defaults() {
    assert_eq!(resolve(&Layers::default(), []).unwrap().config, Config::default());
    Config::default().validate().unwrap();
}

#[test]
fn later_layers_win() {
    let file = "[optimizer]\nlearning_rate = 1\nbeta1 = 0.5\nbeta2 = 0.6\n[run]\nname = \"a\"\n";
    let environment = [("EVENKEEL_OPTIMIZER__LEARNING_RATE", "2"), ("EVENKEEL_OPTIMIZER__BETA1", "0.7")];
    let config = config(file, &environment, &["optimizer.learning_rate=3e-4", "run.seed = 5", "run.seed=6"]);
    assert_eq!(config.optimizer.learning_rate, 3e-4);
    assert_eq!((config.optimizer.beta1, config.optimizer.beta2), (0.7, 0.6));
    assert_eq!((config.run.name.as_str(), config.run.seed), ("a", 6));
    assert_eq!(config.optimizer.eps, Config::default().optimizer.eps);
}

#[test]
fn variables_without_a_section_are_not_settings() {
    let environment = [("EVENKEEL_LOG", "debug"), ("EVENKEEL_UNRELATED", "1"), ("OTHER__KEY", "1")];
    assert_eq!(config("", &environment, &[]), Config::default());
}

#[test]
fn texts_need_no_quotes_outside_of_the_file() {
    let set = [
        "run.name=7",
        "run.dir=runs/a b",
        "train.resume=runs/x",
        "train.precision=fp32",
        "cluster.device=\"cpu\"",
    ];
    let config = config("", &[("EVENKEEL_CLUSTER__LISTEN", "0.0.0.0:7070")], &set);
    assert_eq!(config.run.name, "7");
    assert_eq!(config.run.dir.to_str(), Some("runs/a b"));
    assert_eq!(config.train.resume, Resume::Path("runs/x".into()));
    assert_eq!(config.train.precision, Precision::Fp32);
    assert_eq!((config.cluster.device.as_str(), config.cluster.listen.as_str()), ("cpu", "0.0.0.0:7070"));
}

#[test]
fn lists_are_replaced_not_joined() {
    let config = config("[data]\ntrain = [\"a\", \"b\"]\n", &[], &["data.train=[\"c\"]"]);
    assert_eq!(config.data.train, ["c"].map(std::path::PathBuf::from));
}

#[test]
fn an_unknown_key_names_the_nearest_and_the_line() {
    let text = "[run]\nname = \"a\"\n\n[optimizer]\nlearningrate = 1\n";
    let expected =
        "run.toml:5: optimizer.learningrate is not a known setting; did you mean optimizer.learning_rate?";
    assert_eq!(refusal(text, &[], &[]), expected);
    let moved = refusal("[train]\nlearning_rate = 1\n", &[], &[]);
    assert!(moved.ends_with("did you mean optimizer.learning_rate?"), "{moved}");
    let bare = refusal("", &[], &["micro_batch=2"]);
    assert_eq!(bare, "--set: micro_batch is not a known setting; did you mean batch.micro_batch?");
    let variable = refusal("", &[("EVENKEEL_OPTIMISER__BETA1", "0.5")], &[]);
    assert!(
        variable.starts_with("environment variable EVENKEEL_OPTIMISER__BETA1: optimiser.beta1 is not"),
        "{variable}"
    );
    assert!(variable.ends_with("did you mean optimizer.beta1?"), "{variable}");
    let nothing_like_it = refusal("", &[], &["qqq=2"]);
    assert!(nothing_like_it.contains("evenkeel config"), "{nothing_like_it}");
}

#[test]
fn unknown_keys_are_reported_together() {
    let refusal = refusal("[run]\nnam = \"a\"\nsed = 3\n[trian]\nepochs = 1\n", &[], &[]);
    assert_eq!(refusal.lines().count(), 3, "{refusal}");
    assert!(
        refusal.contains("run.toml:5: trian.epochs is not a known setting; did you mean train.epochs?"),
        "{refusal}"
    );
}

#[test]
fn a_wrong_type_says_expected_and_found() {
    let check = |text: &str, set: &[&str], expected: &str| assert_eq!(refusal(text, &[], set), expected);
    check(
        "[batch]\nmicro_batch = \"two\"\n",
        &[],
        "run.toml:2: batch.micro_batch has to be a whole number that is not negative, found the text \"two\"",
    );
    check(
        "",
        &["batch.micro_batch=-1"],
        "--set: batch.micro_batch has to be a whole number that is not negative, found the number -1",
    );
    check(
        "",
        &["optimizer.beta1=high"],
        "--set: optimizer.beta1 has to be a number, found the text \"high\"",
    );
    check("[run]\nname = 3\n", &[], "run.toml:2: run.name has to be text in quotes, found the number 3");
    check(
        "[data]\ntrain = \"a.jsonl\"\n",
        &[],
        "run.toml:2: data.train has to be a list of texts such as [\"a.jsonl\", \"b.jsonl\"], found the text \"a.jsonl\"",
    );
    check(
        "[train]\nprecision = \"fp8\"\n",
        &[],
        "run.toml:2: train.precision has to be one of `fp32` or `bf16`, found the text \"fp8\"",
    );
    check(
        "run = 3\n",
        &[],
        "run.toml:1: run is a section, not a setting: expected keys inside it, found the number 3",
    );
    let element = refusal("[data]\ntrain = [\"a\", 3]\n", &[], &[]);
    assert!(element.starts_with("run.toml:2: data.train has to be a list of texts"), "{element}");
    let table = refusal("[run]\nname = { first = 1 }\n", &[], &[]);
    assert!(table.starts_with("run.toml:2: run.name has to be text"), "{table}");
    let fraction = refusal("", &[], &["batch.micro_batch=1.5"]);
    assert!(fraction.contains("has to be a whole number"), "{fraction}");
}

#[test]
fn every_range_is_checked() {
    for (pair, allowed) in [
        ("optimizer.learning_rate=0", "above 0"),
        ("optimizer.learning_rate=nan", "above 0"),
        ("optimizer.learning_rate=inf", "above 0"),
        ("optimizer.weight_decay=-0.1", "0 or above"),
        ("optimizer.beta1=1", "from 0 to below 1"),
        ("optimizer.beta2=-0.1", "from 0 to below 1"),
        ("optimizer.eps=0", "above 0"),
        ("optimizer.clip_norm=-1", "0 or above"),
        ("schedule.warmup_ratio=1.1", "from 0 to 1"),
        ("schedule.min_lr_ratio=-0.1", "from 0 to 1"),
        ("batch.micro_batch=0", "at least 1"),
        ("batch.global_tokens=0", "at least 1"),
        ("vectorize.max_length=1", "at least 2"),
        ("vectorize.segment_bytes=10", "at least 1024"),
        ("train.epochs=0", "at least 1"),
        ("train.resume=", "\"auto\", \"never\" or the path"),
        ("cluster.workers=0", "at least 1"),
        ("cluster.device=gpu", "\"auto\", \"cpu\" or \"cuda\""),
        ("cluster.listen=7070", "an address and a port"),
        ("cluster.heartbeat_seconds=0", "above 0 and at most"),
        ("cluster.join_timeout_seconds=-1", "above 0 and at most"),
        ("cluster.collective_timeout_seconds=1e300", "above 0 and at most"),
        ("run.name=", "a text that is not empty"),
        ("data.dataset=", "a text that is not empty"),
    ] {
        let refusal = refusal("", &[], &[pair]);
        let key = pair.split_once('=').unwrap().0;
        assert!(refusal.starts_with(&format!("--set: {key} is ")), "{pair}: {refusal}");
        assert!(refusal.contains(&format!("it has to be {allowed}")), "{pair}: {refusal}");
    }
    assert_eq!(config("", &[], &["cluster.workers=4", "data.lanes=4"]).data.lanes, 4);
    let lanes = refusal("[data]\nlanes = 3\n", &[], &["cluster.workers=4"]);
    assert!(lanes.starts_with("run.toml:2: data.lanes is 3; it has to be 0"), "{lanes}");
    assert_eq!(
        config("", &[], &["cluster.listen=head-node.local:7070"]).cluster.listen,
        "head-node.local:7070"
    );
}

#[test]
fn files_that_cannot_be_read() {
    let missing = Layers { file: Some("nowhere/run.toml".into()), set: Vec::new() };
    let error = resolve(&missing, []).unwrap_err();
    assert!(error.to_string().starts_with("there is no configuration file nowhere/run.toml"), "{error}");
    let syntax = refusal("[run]\nname = \"a\nseed = 1\n", &[], &[]);
    assert!(syntax.starts_with("run.toml:2: this is not valid TOML"), "{syntax}");
    let twice = refusal("[run]\nseed = 1\nseed = 2\n", &[], &[]);
    assert!(twice.starts_with("run.toml:3: this is not valid TOML"), "{twice}");
    let no_equals = refusal("", &[], &["run.seed"]);
    assert!(no_equals.contains("has no '='"), "{no_equals}");
}

#[test]
fn what_is_printed_can_be_read_again_and_names_origins() {
    let environment = [("EVENKEEL_RUN__SEED", "4")];
    let set = ["optimizer.learning_rate=1e-7", "data.train=[\"a \\\"b\\\"\"]"];
    let resolved = resolved("[run]\nname = \"x\"\n", &environment, &set).unwrap();
    let text = resolved.to_toml();
    assert!(text.starts_with("[run]\nname = \"x\"  # "), "{text}");
    assert!(text.contains("run.toml:2\n"), "{text}");
    assert!(text.contains("seed = 4  # environment variable EVENKEEL_RUN__SEED\n"), "{text}");
    assert!(text.contains("\nbeta1 = 0.9\n"), "{text}");
    assert_eq!(config(&text, &[], &[]), resolved.config);
}

#[test]
fn json_keeps_every_value() {
    let set = [
        "optimizer.learning_rate=0.1234567890123456789",
        "train.resume=x/y",
        "data.train=[\"a\"]",
        "run.seed=9",
    ];
    let config = config("", &[], &set);
    let json = serde_json::to_string(&config).unwrap();
    assert_eq!(serde_json::from_str::<Config>(&json).unwrap(), config);
}
