//! The packs of this rank, step by step.

use super::MicroBatch;
use super::micro_batch::Collector;
use evenkeel_shared::config::Config;
use evenkeel_shared::dataset::{DatasetError, Manifest, Segment};
use evenkeel_shared::ids::{Rank, SegmentId, WorldSize};
use evenkeel_shared::plan::{Cursor, EpochPlan, PackRef, PlanError, Quarantine, RunLength, lanes_of};
use std::collections::BTreeMap;
use std::path::PathBuf;
use tch::{Device, TchError};

/// Why there is no next micro-batch.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// The data set on disk.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// The cursor or the number of lanes.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The coordinator has read another data set than this worker.
    #[error(
        "the data set in {} has fingerprint {found}, the coordinator's has {expected}: the workers must see the same \
         files as the coordinator (is data.dataset on shared storage?)",
        folder.display()
    )]
    OtherDataset {
        /// The data set's folder.
        folder: PathBuf,
        /// The coordinator's.
        expected: String,
        /// This worker's.
        found: String,
    },
    /// libtorch's answer.
    #[error("libtorch: {0}")]
    Torch(#[from] TchError),
}

/// Reads what the plan gives to one rank. Memory is bounded by the segments of its lanes, one each.
#[derive(Debug)]
pub struct Feed {
    folder: PathBuf,
    manifest: Manifest,
    pack_counts: Vec<u32>,
    seed: u64,
    epochs: u32,
    length: RunLength,
    micro_batch: usize,
    lanes: Vec<u32>,
    plan: EpochPlan,
    taken: u64,
    open: BTreeMap<u32, (SegmentId, Segment)>,
    device: Device,
}

/// A rank's share of one optimizer step.
#[derive(Debug)]
pub struct StepPacks {
    micro_batches: Vec<Vec<(u32, PackRef)>>,
}

impl StepPacks {
    /// Forward and backward passes that the rank makes: none when all its lanes have ended.
    #[must_use]
    pub fn passes(&self) -> usize {
        self.micro_batches.len()
    }
}

/// What the feed needs to know besides the configuration.
#[derive(Debug, Clone, Copy)]
pub struct Share<'a> {
    /// This process.
    pub rank: Rank,
    /// All processes.
    pub world: WorldSize,
    /// Lanes of every epoch.
    pub lanes: u32,
    /// Where to begin; `None` for the beginning of the data.
    pub cursor: Option<&'a Cursor>,
}

impl Feed {
    /// Opens the data set and finds the rank's place in it.
    ///
    /// # Errors
    /// A missing or damaged manifest; a cursor of another data set; fewer packs than lanes.
    pub fn open(config: &Config, seed: u64, share: Share<'_>, device: Device) -> Result<Self, FeedError> {
        let manifest = Manifest::load(&config.data.dataset)?;
        let pack_counts = manifest.pack_counts();
        let packs = pack_counts.iter().map(|&count| u64::from(count)).sum();
        let length = RunLength::new(&config.train, &config.batch, packs, manifest.max_length, share.lanes)?;
        let start = Cursor::start(evenkeel_shared::ids::Epoch(0), &pack_counts);
        let plan = EpochPlan::new(
            &pack_counts,
            &Quarantine::default(),
            seed,
            share.cursor.unwrap_or(&start),
            share.lanes,
        )?;
        Ok(Self {
            folder: config.data.dataset.clone(),
            seed,
            epochs: config.train.epochs,
            length,
            micro_batch: config.batch.micro_batch.max(1) as usize,
            lanes: lanes_of(share.rank, share.world, share.lanes).collect(),
            taken: plan.taken(),
            plan,
            open: BTreeMap::new(),
            manifest,
            pack_counts,
            device,
        })
    }

    /// Refuses to read another data set than the coordinator's.
    ///
    /// # Errors
    /// Fingerprints that differ.
    pub fn check_fingerprint(&self, expected: &str) -> Result<(), FeedError> {
        let found = self.manifest.fingerprint.digest();
        if found == expected {
            return Ok(());
        }
        Err(FeedError::OtherDataset { folder: self.folder.clone(), expected: expected.into(), found })
    }

    /// Longest pack of the data set, in tokens.
    #[must_use]
    pub fn longest_pack(&self) -> u32 {
        self.manifest.segments.iter().map(|entry| entry.longest_pack).max().unwrap_or(0)
    }

    /// Number of optimizer steps of the whole run when `steps_done` are behind it.
    #[must_use]
    pub fn total_steps(&self, steps_done: u64) -> u64 {
        self.length.total_steps_from(steps_done, &self.plan, self.taken)
    }

    /// The epoch being read.
    #[must_use]
    pub fn epoch(&self) -> u32 {
        self.plan.epoch().0
    }

    /// Tokens of a step in which every pack is full.
    #[must_use]
    pub fn full_step_tokens(&self) -> u64 {
        self.length.packs_per_lane() * u64::from(self.plan.lanes()) * u64::from(self.manifest.max_length)
    }

    /// Where to go on after the steps handed out so far.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        self.plan.cursor_after(self.taken)
    }

    /// Segments that this rank has open.
    #[must_use]
    pub fn open_segments(&self) -> Vec<u32> {
        self.open.values().map(|(id, _)| id.0).collect()
    }

    /// The rank's packs of the next step; `None` after the last epoch. Goes over to the next epoch by itself.
    ///
    /// # Errors
    /// The next epoch cannot be planned.
    pub fn next_step(&mut self) -> Result<Option<StepPacks>, FeedError> {
        while self.plan.is_finished_after(self.taken) {
            let next = self.plan.cursor_after(self.taken).next_epoch();
            if next.epoch.0 >= self.epochs {
                return Ok(None);
            }
            let lanes = self.plan.lanes();
            self.plan = EpochPlan::new(&self.pack_counts, &Quarantine::default(), self.seed, &next, lanes)?;
            self.taken = self.plan.taken();
        }
        let indices = self.taken..self.taken + self.length.packs_per_lane();
        let mut packs = Vec::new();
        // Lane by lane, so that a lane's segment is read in one go.
        for &lane in &self.lanes {
            packs.extend(indices.clone().map_while(|index| Some((lane, self.plan.pack(lane, index)?))));
        }
        self.taken = indices.end;
        let micro_batches = packs.chunks(self.micro_batch).map(<[_]>::to_vec).collect();
        Ok(Some(StepPacks { micro_batches }))
    }

    /// Reads the micro-batch of one of the step's [`StepPacks::passes`].
    ///
    /// # Errors
    /// A segment that is missing or damaged (named).
    pub fn read(&mut self, step: &StepPacks, pass: usize) -> Result<MicroBatch, FeedError> {
        let mut collector = Collector::default();
        for &(lane, place) in &step.micro_batches[pass] {
            let segment = self.segment(lane, place.segment)?;
            collector.add(&segment.pack(place.pack as usize)?);
        }
        Ok(collector.finish(self.device)?)
    }

    /// The lane's open segment; another one is closed first.
    fn segment(&mut self, lane: u32, id: SegmentId) -> Result<&Segment, FeedError> {
        if self.open.get(&lane).is_none_or(|(open, _)| *open != id) {
            self.open.remove(&lane);
            let segment = self.manifest.open_segment(&self.folder, id)?;
            self.open.insert(lane, (id, segment));
        }
        Ok(&self.open[&lane].1)
    }
}
