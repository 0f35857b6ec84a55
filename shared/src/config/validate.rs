//! Ranges of the settings.

use super::{Config, ConfigError, Problem, Resume};
use std::fmt::Display;

/// Below this a segment's fixed costs (a file, a header, an order of packs) outweigh what it holds.
const MIN_SEGMENT_BYTES: u64 = 1024;
/// Longest time that a setting may ask for, in seconds: 30 days.
const MAX_SECONDS: f64 = 30.0 * 24.0 * 3600.0;

impl Config {
    /// Checks every setting's range; [`load`](super::load) has done it already.
    ///
    /// # Errors
    /// All settings that are out of range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let problems = problems(self);
        if problems.is_empty() { Ok(()) } else { Err(ConfigError::Invalid { problems }) }
    }
}

/// The settings that are out of range, without their origin.
pub(super) fn problems(config: &Config) -> Vec<Problem> {
    let mut found = Found(Vec::new());
    data(config, &mut found);
    training(config, &mut found);
    cluster(config, &mut found);
    found.0
}

struct Found(Vec<Problem>);

impl Found {
    /// `allowed` completes "has to be …". A comparison with NaN is false, so NaN is never in range.
    fn require(&mut self, in_range: bool, key: &str, value: impl Display, allowed: &str) {
        if !in_range {
            let what = format!("is {value}; it has to be {allowed}");
            self.0.push(Problem { key: key.into(), what, origin: None });
        }
    }

    fn text(&mut self, key: &str, value: &str) {
        self.require(!value.trim().is_empty(), key, "empty", "a text that is not empty");
    }

    fn positive(&mut self, key: &str, value: f64) {
        self.require(value > 0.0 && value.is_finite(), key, value, "above 0");
    }

    fn not_negative(&mut self, key: &str, value: f64) {
        self.require(value >= 0.0 && value.is_finite(), key, value, "0 or above");
    }

    fn share(&mut self, key: &str, value: f64) {
        self.require((0.0..=1.0).contains(&value), key, value, "from 0 to 1");
    }

    fn decay(&mut self, key: &str, value: f64) {
        self.require((0.0..1.0).contains(&value), key, value, "from 0 to below 1");
    }

    fn seconds(&mut self, key: &str, value: f64) {
        self.require(
            value > 0.0 && value <= MAX_SECONDS,
            key,
            value,
            "above 0 and at most 2592000 (30 days)",
        );
    }
}

fn data(config: &Config, found: &mut Found) {
    let Config { run, data, vectorize, cluster, .. } = config;
    found.text("run.name", &run.name);
    found.text("run.dir", &run.dir.to_string_lossy());
    found.text("data.dataset", &data.dataset.to_string_lossy());
    let has_empty_path = data.train.iter().any(|path| path.as_os_str().is_empty());
    found.require(!has_empty_path, "data.train", "a list with an empty path", "a list of paths");
    let lanes_fit = data.lanes == 0 || data.lanes >= cluster.workers;
    let allowed =
        format!("0 (one lane per worker) or at least cluster.workers, which is {}", cluster.workers);
    found.require(lanes_fit, "data.lanes", data.lanes, &allowed);
    found.require(vectorize.max_length >= 2, "vectorize.max_length", vectorize.max_length, "at least 2");
    let allowed = format!("at least {MIN_SEGMENT_BYTES}");
    found.require(
        vectorize.segment_bytes >= MIN_SEGMENT_BYTES,
        "vectorize.segment_bytes",
        vectorize.segment_bytes,
        &allowed,
    );
}

fn training(config: &Config, found: &mut Found) {
    let Config { batch, optimizer, schedule, train, .. } = config;
    found.require(batch.global_tokens >= 1, "batch.global_tokens", batch.global_tokens, "at least 1");
    found.require(batch.micro_batch >= 1, "batch.micro_batch", batch.micro_batch, "at least 1");
    found.positive("optimizer.learning_rate", optimizer.learning_rate);
    found.not_negative("optimizer.weight_decay", optimizer.weight_decay);
    found.decay("optimizer.beta1", optimizer.beta1);
    found.decay("optimizer.beta2", optimizer.beta2);
    found.positive("optimizer.eps", optimizer.eps);
    found.not_negative("optimizer.clip_norm", optimizer.clip_norm);
    found.share("schedule.warmup_ratio", schedule.warmup_ratio);
    found.share("schedule.min_lr_ratio", schedule.min_lr_ratio);
    found.require(train.epochs >= 1, "train.epochs", train.epochs, "at least 1");
    if let Resume::Path(path) = &train.resume {
        let allowed = "\"auto\", \"never\" or the path of a checkpoint folder";
        found.require(!path.as_os_str().is_empty(), "train.resume", "empty", allowed);
    }
}

fn cluster(config: &Config, found: &mut Found) {
    let cluster = &config.cluster;
    found.require(cluster.workers >= 1, "cluster.workers", cluster.workers, "at least 1");
    let is_device = matches!(cluster.device.as_str(), "auto" | "cpu" | "cuda");
    found.require(
        is_device,
        "cluster.device",
        format_args!("{:?}", cluster.device),
        "\"auto\", \"cpu\" or \"cuda\"",
    );
    found.require(
        is_address(&cluster.listen),
        "cluster.listen",
        format_args!("{:?}", cluster.listen),
        "an address and a port such as \"127.0.0.1:0\" or \"0.0.0.0:7070\"",
    );
    found.seconds("cluster.heartbeat_seconds", cluster.heartbeat_seconds);
    found.seconds("cluster.join_timeout_seconds", cluster.join_timeout_seconds);
    found.seconds("cluster.collective_timeout_seconds", cluster.collective_timeout_seconds);
}

/// Only the form is checked; whether a name can be resolved is the business of the host that listens.
fn is_address(text: &str) -> bool {
    if text.parse::<std::net::SocketAddr>().is_ok() {
        return true;
    }
    text.rsplit_once(':').is_some_and(|(host, port)| {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
        !host.is_empty() && host.chars().all(is_name) && port.parse::<u16>().is_ok()
    })
}
