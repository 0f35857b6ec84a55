//! Process groups: collectives between the ranks of one generation.

use std::cell::Cell;
use std::marker::PhantomData;
use std::ptr::null_mut;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tch::Tensor;

use crate::error::{Error, Result};
use crate::ffi::{self, RawGroup, Status, TensorPtr, c_string, tensor_ptr, tensor_ptrs};
use crate::membership;
use crate::store::{Store, millis};

/// One member's place in a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// From 0 to `world_size - 1`.
    pub rank: u32,
    /// How many members the group has.
    pub world_size: u32,
}

/// Time limits of a group.
#[derive(Debug, Clone, Copy)]
pub struct GroupOptions {
    /// How long all members may take to come and to connect.
    pub form_timeout: Duration,
    /// How long one collective may wait for a peer. A lost peer is noticed at once; this is for one that hangs.
    pub collective_timeout: Duration,
}

/// A c10d process group.
///
/// All members call the same collectives in the same order. After any error the group is of no more use: drop it (after
/// the [`crate::Reducer`] that uses it) and form another one under another prefix.
///
/// It can be sent to another thread but not shared; what another thread may do is to abort it, through [`AbortHandle`].
/// Dropping it joins the backend's threads, which takes milliseconds when no collective is under way.
#[derive(Debug)]
pub struct ProcessGroup {
    shared: Arc<SharedGroup>,
    member: Member,
    not_sync: PhantomData<Cell<()>>,
}

/// Aborts a [`ProcessGroup`] from any thread. Does not keep the group alive.
#[derive(Debug, Clone)]
pub struct AbortHandle {
    group: Weak<SharedGroup>,
}

/// The C++ group. Shared only for aborting: everything else goes through the one `ProcessGroup` or `Reducer`.
#[derive(Debug)]
pub(crate) struct SharedGroup {
    raw: *mut RawGroup,
}

// SAFETY: the C++ object has no ties to a thread.
unsafe impl Send for SharedGroup {}
// SAFETY: the only function called through a shared reference while another thread is inside the group is
// `ek_group_abort`, which the shim makes safe for that (it takes Gloo's or NCCL's own locks).
unsafe impl Sync for SharedGroup {}

impl ProcessGroup {
    /// Forms a Gloo group (tensors on the CPU) with all members that call this with the same store and prefix.
    ///
    /// `address` is the host name or address of this machine at which peers reach it; without one, that of the machine's
    /// own name. A prefix must not be used twice in one store.
    ///
    /// # Errors
    /// [`Error::InvalidRank`], [`Error::WorldSizeMismatch`], [`Error::DuplicateRank`] and [`Error::MissingRanks`] when the
    /// members do not fit together; [`Error::Timeout`] or [`Error::PeerLost`] when one fails while they connect.
    pub fn gloo(
        store: &Store,
        prefix: &str,
        member: Member,
        address: Option<&str>,
        options: GroupOptions,
    ) -> Result<Self> {
        let address = address.map(|address| c_string("address", address)).transpose()?;
        let address = address.as_ref().map_or(std::ptr::null(), |address| address.as_ptr());
        Self::form(store, prefix, member, options, |store, rank, world_size, timeout, out| {
            // SAFETY: the store is alive, `address` is null or a string that outlives the call, `out` is written on success.
            unsafe { ffi::ek_group_gloo(store, rank, world_size, address, timeout, out) }
        })
    }

    /// Forms an NCCL group (tensors on CUDA device `device`, one rank per device).
    ///
    /// # Errors
    /// As [`ProcessGroup::gloo`].
    #[cfg(feature = "cuda")]
    pub fn nccl(
        store: &Store,
        prefix: &str,
        member: Member,
        device: i32,
        options: GroupOptions,
    ) -> Result<Self> {
        Self::form(store, prefix, member, options, |store, rank, world_size, timeout, out| {
            // SAFETY: the store is alive and `out` is written on success.
            unsafe { ffi::ek_group_nccl(store, rank, world_size, device, timeout, out) }
        })
    }

    fn form(
        store: &Store,
        prefix: &str,
        member: Member,
        options: GroupOptions,
        open: impl FnOnce(*const ffi::RawStore, i32, i32, i64, *mut *mut RawGroup) -> Status,
    ) -> Result<Self> {
        membership::join(&store.prefix(&format!("{prefix}/members"))?, member, options.form_timeout)?;
        let store = store.prefix(&format!("{prefix}/backend"))?;
        let (rank, world_size) = (to_int(member.rank)?, to_int(member.world_size)?);
        let mut raw = null_mut();
        open(store.raw(), rank, world_size, millis(options.form_timeout), &mut raw).ok()?;
        let group = Self { shared: Arc::new(SharedGroup { raw }), member, not_sync: PhantomData };
        // SAFETY: `raw` is the live group just made.
        unsafe { ffi::ek_group_set_timeout(raw, millis(options.collective_timeout)) }.ok()?;
        Ok(group)
    }

    /// This member's place.
    pub fn member(&self) -> Member {
        self.member
    }

    /// Sums `tensor` over all ranks, in place.
    ///
    /// # Errors
    /// [`Error::PeerLost`], [`Error::Timeout`], [`Error::Aborted`].
    pub fn all_reduce_sum(&self, tensor: &mut Tensor) -> Result<()> {
        // SAFETY: group and tensor are alive for the whole call, which waits for the collective.
        unsafe { ffi::ek_group_all_reduce_sum(self.shared.raw, tensor_ptr(tensor)) }.ok()
    }

    /// Gives every rank the `tensor` of rank `root`, in place.
    ///
    /// # Errors
    /// [`Error::PeerLost`], [`Error::Timeout`], [`Error::Aborted`].
    pub fn broadcast(&self, tensor: &mut Tensor, root: u32) -> Result<()> {
        let root = to_int(root)?;
        // SAFETY: group and tensor are alive for the whole call, which waits for the collective.
        unsafe { ffi::ek_group_broadcast(self.shared.raw, tensor_ptr(tensor), root) }.ok()
    }

    /// Every rank's `tensor` (all of one shape and kind), in the order of ranks.
    ///
    /// # Errors
    /// [`Error::PeerLost`], [`Error::Timeout`], [`Error::Aborted`].
    pub fn all_gather(&self, tensor: &Tensor) -> Result<Vec<Tensor>> {
        let outputs: Vec<Tensor> = (0..self.member.world_size)
            .map(|_| tensor.f_empty_like())
            .collect::<std::result::Result<_, _>>()?;
        let pointers: Vec<TensorPtr> = tensor_ptrs(&outputs);
        // SAFETY: group and tensors are alive for the whole call, which waits for the collective.
        unsafe {
            ffi::ek_group_all_gather(self.shared.raw, pointers.as_ptr(), pointers.len(), tensor_ptr(tensor))
        }
        .ok()?;
        Ok(outputs)
    }

    /// Waits, at most `timeout`, until every rank is here.
    ///
    /// # Errors
    /// [`Error::PeerLost`], [`Error::Timeout`], [`Error::Aborted`].
    pub fn barrier(&self, timeout: Duration) -> Result<()> {
        // SAFETY: the group is alive for the whole call.
        unsafe { ffi::ek_group_barrier(self.shared.raw, millis(timeout)) }.ok()
    }

    /// What another thread needs to abort this group.
    pub fn abort_handle(&self) -> AbortHandle {
        AbortHandle { group: Arc::downgrade(&self.shared) }
    }

    /// See [`AbortHandle::abort`].
    ///
    /// # Errors
    /// [`Error::AbortTooSlow`] when it took longer than `bound`.
    pub fn abort(&self, bound: Duration) -> Result<()> {
        self.abort_handle().abort(bound)
    }

    pub(crate) fn shared(&self) -> &Arc<SharedGroup> {
        &self.shared
    }
}

impl AbortHandle {
    /// Makes every collective of the group that is under way, in any thread of this process, and every later one return
    /// [`Error::Aborted`], and closes the connections, so that peers get [`Error::PeerLost`]. A group that is already
    /// dropped is fine. Returns within `bound`.
    ///
    /// # Errors
    /// [`Error::AbortTooSlow`] when the backend did not let go within `bound`; it goes on trying.
    pub fn abort(&self, bound: Duration) -> Result<()> {
        let Some(group) = self.group.upgrade() else { return Ok(()) };
        let (done, wait) = sync_channel(1);
        // A thread of its own, because NCCL's abort can hang; it also holds the group alive while it works.
        let started = std::thread::Builder::new().name("abort-group".to_owned()).spawn(move || {
            // SAFETY: `group` is alive; the function may be called beside any other.
            let outcome = unsafe { ffi::ek_group_abort(group.raw) }.ok();
            // Nobody waits any more when the bound has passed.
            let _ = done.send(outcome);
        });
        started.map_err(|error| Error::Torch(format!("cannot start a thread for the abort: {error}")))?;
        wait.recv_timeout(bound).map_err(|_| Error::AbortTooSlow(bound))?
    }
}

impl SharedGroup {
    pub(crate) fn raw(&self) -> *const RawGroup {
        self.raw
    }
}

impl Drop for SharedGroup {
    fn drop(&mut self) {
        // SAFETY: made by the shim and freed once, when neither group, reducer nor an abort under way uses it.
        unsafe { ffi::ek_group_free(self.raw) }
    }
}

fn to_int(value: u32) -> Result<i32> {
    i32::try_from(value)
        .map_err(|_| Error::InvalidArgument(format!("{value} is too large for a rank or world size")))
}
