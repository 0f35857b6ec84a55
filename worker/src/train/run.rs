//! The life of a training thread: model, generation, steps, checkpoints, end.

use super::checkpoint::{self, Saved};
use super::error::TrainError;
use super::journal::{MetricsFile, Summary, peak_rss_mib, unix_ms};
use super::membership::{self, Membership};
use super::optimizer::{AdamW, Gradients, weights_checksum};
use super::step::{StepOutcome, Stepper, Totals};
use crate::data::{Feed, Share};
use crate::device;
use crate::model::{self, Llama, Numerics};
use crate::session::{Assignment, Phase, TrainingFailure};
use evenkeel_proto::v1;
use evenkeel_proto::v1::attach_request::Message as Report;
use evenkeel_shared::checkpoint::{
    CHECKPOINT_FORMAT_VERSION, CheckpointManifest, remove_leftovers, set_aside_after,
};
use evenkeel_shared::ids::{Rank, Step, WorldSize};
use evenkeel_shared::metrics::StepMetrics;
use evenkeel_shared::schedule::LearningRate;
use evenkeel_torch_ext::{BucketSizes, Reducer};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tch::{Device, Kind, Tensor};

/// Trains one rank from the coordinator's orders to the last checkpoint.
///
/// # Errors
/// Anything that ends the run early; see [`TrainError`].
pub fn train(assignment: Assignment) -> Result<(), TrainingFailure> {
    train_rank(&assignment)
        .map_err(|error| TrainingFailure { reason: describe(&error), peer_lost: error.is_peer_lost() })
}

fn train_rank(assignment: &Assignment) -> Result<(), TrainError> {
    let device = device::parse(&assignment.identity.device)?;
    device::set_threads(assignment.identity.threads);
    assignment.links.progress.enter(Phase::Joining);
    let form = membership::expect_form(&assignment.orders)?;
    let resume_from = (!form.resume_from.is_empty()).then(|| PathBuf::from(&form.resume_from));
    assignment.links.progress.enter(Phase::Loading);
    let (model, saved) = load(assignment, resume_from.as_deref(), device)?;
    let membership = membership::join(assignment, form, device)?;
    Trainer::new(assignment, membership, model, saved, device)?.run()
}

/// The error with its causes, on one line.
fn describe(error: &TrainError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

fn load(
    assignment: &Assignment,
    resume_from: Option<&Path>,
    device: Device,
) -> Result<(Llama, Option<Saved>), TrainError> {
    let config = &assignment.config;
    match resume_from {
        Some(dir) => {
            let saved = Saved::open(dir)?;
            Ok((saved.load_model(device)?, Some(saved)))
        }
        None => {
            let numerics = Numerics::from(config.train.precision);
            Ok((model::load(&config.model.path, numerics, device, |_| Ok(None))?, None))
        }
    }
}

/// Everything that a rank holds during a generation.
struct Trainer<'a> {
    assignment: &'a Assignment,
    // Dropped in this order: the stepper's Reducer uses the membership's group.
    stepper: Stepper,
    membership: Membership,
    feed: Feed,
    /// Rank 0 only.
    metrics: Option<MetricsFile>,
    steps_done: u64,
    total_steps: u64,
    tokens: u64,
    target_tokens: u64,
    ready_unix_ms: u64,
    /// The last step, while the state after it is not on disk.
    unsaved: Option<StepOutcome>,
    /// Folder of the newest checkpoint. The ranks hold equal states, so rank 0 writes, and only it knows.
    checkpoint: Option<PathBuf>,
}

impl<'a> Trainer<'a> {
    fn new(
        assignment: &'a Assignment,
        membership: Membership,
        model: Llama,
        saved: Option<Saved>,
        device: Device,
    ) -> Result<Self, TrainError> {
        let (config, form) = (&assignment.config, &membership.form);
        let plan = form.plan.clone().unwrap_or_default();
        let manifest = saved.as_ref().map(|saved| &saved.manifest);
        let share = Share {
            rank: Rank(form.rank),
            world: WorldSize(form.world_size),
            lanes: plan.lanes,
            cursor: manifest.map(|manifest| &manifest.cursor),
        };
        let feed = Feed::open(config, plan.seed, share, device)?;
        feed.check_fingerprint(&plan.dataset_fingerprint)?;
        if i64::from(feed.longest_pack()) > model.max_length() {
            return Err(TrainError::TooLong { data: feed.longest_pack(), model: model.max_length() });
        }
        let steps_done = manifest.map_or(0, |manifest| manifest.step.0);
        let total_steps = feed.total_steps(steps_done);

        let optimizer = AdamW::new(&model, &config.optimizer, |parameter| match &saved {
            Some(saved) => saved.moments(parameter),
            None => Ok(None),
        })?;
        check_weights(&model, &membership)?;
        let masters: Vec<&Tensor> = model.parameters().iter().map(|parameter| parameter.master()).collect();
        let reducer = Reducer::new(&masters, &membership.group, BucketSizes::default())?;
        let stepper = Stepper {
            reducer,
            gradients: Gradients::of(&model)?,
            optimizer,
            model,
            schedule: LearningRate::new(&config.optimizer, &config.schedule, total_steps),
            clip_norm: config.optimizer.clip_norm,
            device,
            rank: form.rank,
        };
        let metrics = match form.rank {
            0 => Some(take_run_folder(&assignment.run_dir, Step(steps_done))?),
            _ => None,
        };
        Ok(Self {
            assignment,
            stepper,
            feed,
            metrics,
            steps_done,
            total_steps,
            tokens: manifest.map_or(0, |manifest| manifest.tokens),
            target_tokens: manifest.map_or(0, |manifest| manifest.target_tokens),
            ready_unix_ms: unix_ms(),
            membership,
            unsaved: None,
            checkpoint: saved.as_ref().map(|saved| saved.dir().to_path_buf()),
        })
    }

    fn run(mut self) -> Result<(), TrainError> {
        let links = &self.assignment.links;
        links.progress.set_step(self.steps_done);
        let generation = self.membership.form.generation;
        let ready = v1::WorkerReady { generation, unix_ms: self.ready_unix_ms };
        links.outbox.send(Report::WorkerReady(ready));
        let mut wants_final_save = true;
        while self.steps_done < self.total_steps {
            let Some(totals) = self.step()? else { break };
            let stop = totals.stop > 0.0;
            // A run whose last step is done has finished, even if it was told to stop without saving during that step.
            let is_done = self.steps_done >= self.total_steps;
            wants_final_save = is_done || !stop || totals.stop_and_save > 0.0;
            let save_every = self.assignment.config.checkpoint.save_every;
            let is_due = save_every > 0 && self.steps_done.is_multiple_of(save_every);
            if is_due || totals.save > 0.0 {
                self.save()?;
            }
            if stop {
                break;
            }
        }
        if wants_final_save {
            self.save()?;
        }
        self.finish()
    }

    /// One optimizer step; `None` when the data has ended.
    fn step(&mut self) -> Result<Option<Totals>, TrainError> {
        let links = &self.assignment.links;
        let begin = Instant::now();
        let Some(packs) = self.feed.next_step()? else { return Ok(None) };
        let stop = links.requests.stop();
        let votes = Totals {
            stop: f64::from(u8::from(stop.is_some())),
            stop_and_save: f64::from(u8::from(stop == Some(true))),
            // Only rank 0's counts: one order reaches the ranks at different steps, and must make one checkpoint.
            save: f64::from(u8::from(self.membership.form.rank == 0 && links.requests.take_save())),
            ..Totals::default()
        };
        let outcome = self.stepper.step(
            self.steps_done,
            &packs,
            &mut self.feed,
            &self.membership.group,
            votes,
            &links.progress,
        )?;
        self.steps_done += 1;
        self.tokens += outcome.totals.tokens as u64;
        self.target_tokens += outcome.totals.targets as u64;
        links.progress.set_step(self.steps_done);
        self.report(&outcome, begin.elapsed())?;
        self.unsaved = Some(outcome);
        Ok(Some(outcome.totals))
    }

    fn report(&mut self, outcome: &StepOutcome, elapsed: Duration) -> Result<(), TrainError> {
        let seconds = elapsed.as_secs_f64();
        let (tokens, target_tokens) = (outcome.totals.tokens as u64, outcome.totals.targets as u64);
        if let Some(metrics) = &mut self.metrics {
            metrics.append(&StepMetrics {
                step: self.steps_done,
                epoch: self.feed.epoch(),
                loss: outcome.loss,
                lr: outcome.learning_rate,
                grad_norm: outcome.grad_norm,
                loss_scale: 1.0,
                target_tokens,
                tokens,
                tokens_per_second: tokens as f64 / seconds,
                global_batch_tokens: self.feed.full_step_tokens(),
                time: unix_ms() as f64 / 1000.0,
            })?;
        }
        self.assignment.links.outbox.offer(Report::StepReport(v1::StepReport {
            generation: self.membership.form.generation,
            step: self.steps_done,
            epoch: self.feed.epoch(),
            loss: outcome.loss,
            learning_rate: outcome.learning_rate,
            grad_norm: outcome.grad_norm,
            loss_scale: 1.0,
            target_tokens,
            tokens,
            step_seconds: seconds,
            rank_tokens: outcome.rank_tokens,
            open_segments: self.feed.open_segments(),
        }));
        Ok(())
    }

    /// Writes the state after the last step, unless it is on disk already.
    fn save(&mut self) -> Result<(), TrainError> {
        let Some(outcome) = self.unsaved.take() else { return Ok(()) };
        if self.membership.form.rank == 0 {
            self.assignment.links.progress.enter(Phase::Checkpoint);
            self.checkpoint = Some(self.write_checkpoint(&outcome)?);
        }
        Ok(())
    }

    fn write_checkpoint(&self, outcome: &StepOutcome) -> Result<PathBuf, TrainError> {
        let (assignment, form) = (self.assignment, &self.membership.form);
        let begin = Instant::now();
        let manifest = CheckpointManifest {
            format_version: CHECKPOINT_FORMAT_VERSION,
            step: Step(self.steps_done),
            cursor: self.feed.cursor(),
            tokens: self.tokens,
            target_tokens: self.target_tokens,
            world_size: WorldSize(form.world_size),
            dataset_fingerprint: form
                .plan
                .as_ref()
                .map(|plan| plan.dataset_fingerprint.clone())
                .unwrap_or_default(),
            precision: assignment.config.train.precision,
            loss: Some(outcome.loss),
            grad_norm: Some(outcome.grad_norm),
            loss_scale: 1.0,
            learning_rate: outcome.learning_rate,
            created_unix: unix_ms() / 1000,
            config: serde_json::to_value(&assignment.config).unwrap_or_default(),
            files: Vec::new(),
        };
        let Stepper { model, optimizer, .. } = &self.stepper;
        let path = checkpoint::save(&assignment.run_dir, &assignment.config, model, optimizer, manifest)?;
        let bytes = CheckpointManifest::load(&path)?.files.iter().map(|file| file.bytes).sum();
        assignment.links.outbox.send(Report::CheckpointSaved(v1::CheckpointSaved {
            generation: form.generation,
            step: self.steps_done,
            path: path.to_string_lossy().into_owned(),
            bytes,
            seconds: begin.elapsed().as_secs_f64(),
        }));
        Ok(path)
    }

    /// Writes the summary and says farewell. The all-reduce also keeps the others until rank 0 has saved.
    fn finish(self) -> Result<(), TrainError> {
        let form = &self.membership.form;
        let mut peaks = vec![0.0; form.world_size as usize];
        peaks[form.rank as usize] = peak_rss_mib() as f64;
        let mut peaks = Tensor::f_from_slice(&peaks)?.f_to_device(self.stepper.device)?;
        self.membership.group.all_reduce_sum(&mut peaks)?;
        let peaks: Vec<f64> = peaks.f_to_device(Device::Cpu)?.try_into()?;
        if form.rank == 0 {
            let summary = Summary {
                steps: self.steps_done,
                tokens: self.tokens,
                ready_unix_ms: self.ready_unix_ms,
                peak_rss_mib: peaks.iter().map(|&peak| peak as u64).collect(),
                checkpoint: self.checkpoint.clone(),
            };
            summary.write(&self.assignment.run_dir)?;
        }
        self.assignment.links.progress.enter(Phase::Finished);
        self.assignment.links.outbox.send(Report::WorkerFinished(v1::WorkerFinished {
            generation: form.generation,
            step: self.steps_done,
            checkpoint: self.checkpoint.map(|path| path.to_string_lossy().into_owned()).unwrap_or_default(),
        }));
        Ok(())
    }
}

/// Makes the run's folder what it was at the step that the run goes on from. Only rank 0 writes into it.
fn take_run_folder(run_dir: &Path, from: Step) -> Result<MetricsFile, TrainError> {
    remove_leftovers(run_dir)?;
    for aside in set_aside_after(run_dir, from)? {
        tracing::warn!(from = from.0, path = %aside.display(), "a checkpoint of a later step is set aside");
    }
    Ok(MetricsFile::open(run_dir, from.0)?)
}

/// Data parallel training is wrong without a sound when ranks begin from different weights.
fn check_weights(model: &Llama, membership: &Membership) -> Result<(), TrainError> {
    let sums = membership.group.all_gather(&weights_checksum(model)?)?;
    for (rank, other) in sums.iter().enumerate() {
        let differs =
            other.f_not_equal_tensor(&sums[0])?.f_any()?.f_to_kind(Kind::Int64)?.f_int64_value(&[])?;
        if differs != 0 {
            return Err(TrainError::DifferentWeights { rank: rank as i64 });
        }
    }
    Ok(())
}
