//! Declarations of the shim's functions (`csrc/`), and the step from a status to a `Result`.

use std::ffi::{CStr, CString, c_char, c_int, c_void};

use tch::Tensor;

use crate::error::{Error, Failure, Result};

/// An `at::Tensor*`, as tch's own binding has it.
pub(crate) type TensorPtr = *mut c_void;

/// 0, or the kind of exception that was caught.
#[repr(transparent)]
#[derive(Clone, Copy)]
#[must_use]
pub(crate) struct Status(i32);

macro_rules! opaque {
    ($($name:ident),*) => {$(
        #[repr(C)]
        pub(crate) struct $name {
            _private: [u8; 0],
        }
    )*};
}
opaque!(RawStore, RawGroup, RawReducer);

unsafe extern "C" {
    fn ek_last_error() -> *const c_char;

    pub(crate) fn ek_store_serve(
        host: *const c_char,
        port: u16,
        fd: c_int,
        timeout_ms: i64,
        out: *mut *mut RawStore,
    ) -> Status;
    pub(crate) fn ek_store_connect(
        host: *const c_char,
        port: u16,
        timeout_ms: i64,
        out: *mut *mut RawStore,
    ) -> Status;
    pub(crate) fn ek_store_prefix(
        base: *const RawStore,
        prefix: *const c_char,
        out: *mut *mut RawStore,
    ) -> Status;
    pub(crate) fn ek_store_free(store: *mut RawStore);
    pub(crate) fn ek_store_set(
        store: *const RawStore,
        key: *const c_char,
        data: *const u8,
        length: usize,
    ) -> Status;
    pub(crate) fn ek_store_get(
        store: *const RawStore,
        key: *const c_char,
        timeout_ms: i64,
        data: *mut *mut u8,
        length: *mut usize,
    ) -> Status;
    pub(crate) fn ek_store_compare_set(
        store: *const RawStore,
        key: *const c_char,
        expected: *const u8,
        expected_length: usize,
        desired: *const u8,
        desired_length: usize,
        data: *mut *mut u8,
        length: *mut usize,
    ) -> Status;
    pub(crate) fn ek_store_add(
        store: *const RawStore,
        key: *const c_char,
        amount: i64,
        total: *mut i64,
    ) -> Status;
    pub(crate) fn ek_store_check(store: *const RawStore, key: *const c_char, present: *mut i32) -> Status;
    pub(crate) fn ek_store_wait(store: *const RawStore, key: *const c_char, timeout_ms: i64) -> Status;
    pub(crate) fn ek_bytes_free(data: *mut u8);

    pub(crate) fn ek_group_gloo(
        store: *const RawStore,
        rank: i32,
        world_size: i32,
        address: *const c_char,
        timeout_ms: i64,
        out: *mut *mut RawGroup,
    ) -> Status;
    #[cfg(feature = "cuda")]
    pub(crate) fn ek_group_nccl(
        store: *const RawStore,
        rank: i32,
        world_size: i32,
        device: i32,
        timeout_ms: i64,
        out: *mut *mut RawGroup,
    ) -> Status;
    pub(crate) fn ek_group_free(group: *mut RawGroup);
    pub(crate) fn ek_group_abort(group: *mut RawGroup) -> Status;
    pub(crate) fn ek_group_set_timeout(group: *mut RawGroup, timeout_ms: i64) -> Status;
    pub(crate) fn ek_group_all_reduce_sum(group: *mut RawGroup, tensor: TensorPtr) -> Status;
    pub(crate) fn ek_group_broadcast(group: *mut RawGroup, tensor: TensorPtr, root: i32) -> Status;
    pub(crate) fn ek_group_all_gather(
        group: *mut RawGroup,
        outputs: *const TensorPtr,
        count: usize,
        input: TensorPtr,
    ) -> Status;
    pub(crate) fn ek_group_barrier(group: *mut RawGroup, timeout_ms: i64) -> Status;

    pub(crate) fn ek_reducer_new(
        params: *const TensorPtr,
        param_count: usize,
        order: *const usize,
        bucket_sizes: *const usize,
        bucket_count: usize,
        group: *const RawGroup,
        out: *mut *mut RawReducer,
    ) -> Status;
    pub(crate) fn ek_reducer_free(reducer: *mut RawReducer);
    pub(crate) fn ek_reducer_prepare(reducer: *mut RawReducer) -> Status;
    pub(crate) fn ek_reducer_finished(reducer: *const RawReducer, finished: *mut i32) -> Status;
    pub(crate) fn ek_reducer_reduce_now(reducer: *mut RawReducer) -> Status;
    pub(crate) fn ek_reducer_zero_grad(reducer: *mut RawReducer) -> Status;
    pub(crate) fn ek_reducer_bucket_count(reducer: *const RawReducer, count: *mut usize) -> Status;
    pub(crate) fn ek_reducer_bucket(reducer: *const RawReducer, index: usize, out: *mut TensorPtr) -> Status;

    pub(crate) fn ek_fused_adamw(
        params: *const TensorPtr,
        grads: *const TensorPtr,
        exp_avgs: *const TensorPtr,
        exp_avg_sqs: *const TensorPtr,
        count: usize,
        step: i64,
        learning_rate: f64,
        beta1: f64,
        beta2: f64,
        eps: f64,
        weight_decay: f64,
    ) -> Status;
    pub(crate) fn ek_total_norm(tensors: *const TensorPtr, count: usize, norm: *mut f64) -> Status;
    pub(crate) fn ek_scale(tensors: *const TensorPtr, count: usize, factor: f64) -> Status;
    pub(crate) fn ek_copy_list(
        destinations: *const TensorPtr,
        sources: *const TensorPtr,
        count: usize,
    ) -> Status;

    pub(crate) fn ek_cast_param(master: TensorPtr, copy: TensorPtr, out: *mut TensorPtr) -> Status;
    pub(crate) fn ek_rms_norm(x: TensorPtr, weight: TensorPtr, eps: f64, out: *mut TensorPtr) -> Status;
    pub(crate) fn ek_swiglu_linear(
        gate: TensorPtr,
        up: TensorPtr,
        weight: TensorPtr,
        out: *mut TensorPtr,
    ) -> Status;
    pub(crate) fn ek_rope(x: TensorPtr, cos: TensorPtr, sin: TensorPtr, out: *mut TensorPtr) -> Status;
    pub(crate) fn ek_linear_cross_entropy(
        hidden: TensorPtr,
        weight: TensorPtr,
        compute_weight: TensorPtr,
        targets: TensorPtr,
        chunk: i64,
        out: *mut TensorPtr,
    ) -> Status;
    pub(crate) fn ek_causal_attention(
        q: TensorPtr,
        k: TensorPtr,
        v: TensorPtr,
        starts: *const i64,
        start_count: usize,
        scale: f64,
        out: *mut TensorPtr,
    ) -> Status;
}

impl Status {
    /// The failure, with its message, for callers that make an error of their own of it.
    pub(crate) fn failure(self) -> std::result::Result<(), Failure> {
        if self.0 == 0 {
            return Ok(());
        }
        // SAFETY: the shim gives a NUL-terminated string that stays until the next call on this thread, and it is
        // copied before this function returns.
        let message = unsafe { CStr::from_ptr(ek_last_error()) }.to_string_lossy().into_owned();
        Err(Failure { kind: self.0, message })
    }

    /// The failure as this crate's error.
    pub(crate) fn ok(self) -> Result<()> {
        self.failure().map_err(Error::from)
    }
}

/// The pointer that the shim takes. It only borrows: the shim makes its own reference where it keeps a tensor.
pub(crate) fn tensor_ptr(tensor: &Tensor) -> TensorPtr {
    tensor.as_ptr().cast_mut().cast()
}

/// As [`tensor_ptr`], for a list.
pub(crate) fn tensor_ptrs<T: std::borrow::Borrow<Tensor>>(tensors: &[T]) -> Vec<TensorPtr> {
    tensors.iter().map(|tensor| tensor_ptr(tensor.borrow())).collect()
}

/// Calls a function of the shim that makes one tensor.
pub(crate) fn make_tensor(call: impl FnOnce(*mut TensorPtr) -> Status) -> Result<Tensor> {
    let mut out = std::ptr::null_mut();
    call(&mut out).ok()?;
    // SAFETY: on success the shim has written an owned tensor.
    Ok(unsafe { take_tensor(out) })
}

/// Takes over a tensor that the shim made.
///
/// # Safety
/// `pointer` comes from the shim's `give` and is used nowhere else.
unsafe fn take_tensor(pointer: TensorPtr) -> Tensor {
    // SAFETY: an owned at::Tensor* is what tch makes a Tensor of.
    unsafe { Tensor::from_ptr(pointer.cast()) }
}

/// A text for the shim.
pub(crate) fn c_string(what: &'static str, text: &str) -> Result<CString> {
    CString::new(text).map_err(|_| {
        Error::InvalidArgument(format!("{what} {text:?} has a NUL character in it, which no {what} may have"))
    })
}
