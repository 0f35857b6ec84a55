// Gradient reduction that overlaps backward: c10d::Reducer, with sums instead of means.
#include <torch/csrc/distributed/c10d/reducer.hpp>

#include "../status.h"
#include "../tensors.h"
#include "group.h"

namespace {

using Future = c10::intrusive_ptr<c10::ivalue::Future>;

// The loss is divided by the number of target tokens of all ranks, so gradients are to be summed, not averaged.
class SumHook : public c10d::CppCommHookInterface<c10::intrusive_ptr<c10d::ProcessGroup>> {
 public:
  using CppCommHookInterface::CppCommHookInterface;

  Future runHook(c10d::GradBucket& bucket) override {
    std::vector<at::Tensor> tensors{bucket.getBufferRef()};
    return state_->allreduce(tensors)->getFuture();
  }
};

class SumReducer : public c10d::Reducer {
 public:
  SumReducer(
      std::vector<at::Tensor> params,
      std::vector<std::vector<size_t>> buckets,
      const c10::intrusive_ptr<c10d::ProcessGroup>& group)
      : c10d::Reducer(
            params,
            std::move(buckets),
            group,
            std::vector<bool>(params.size(), false),
            c10d::kDefaultBucketBytesCap,
            /*find_unused_parameters=*/false,
            /*gradient_as_bucket_view=*/true,
            /*param_names=*/{},
            c10d::kDefaultFirstBucketBytes,
            /*skip_all_reduce_unused_params=*/false,
            /*use_python_reducer=*/false,
            /*bucket_bytes_cap_list=*/{}) {
    register_comm_hook(std::make_unique<SumHook>(group));
    // The caller gives the final layout. A rebuild would change it after the first step, and with it the order in
    // which more than two ranks sum.
    has_rebuilt_bucket_ = true;
    for (auto& bucket : buckets_) {
      bucket.gradients.zero_();
      for (size_t i = 0; i < bucket.variables.size(); ++i) {
        bucket.variables[i].mutable_grad() = bucket.bucket_views_in[i];
      }
    }
  }

  // The flat gradient buffers; every parameter's gradient is a view into one of them.
  std::vector<at::Tensor> flat_gradients() const {
    std::vector<at::Tensor> flat;
    flat.reserve(buckets_.size());
    for (const auto& bucket : buckets_) {
      flat.push_back(bucket.gradients);
    }
    return flat;
  }

  // Whether a backward that was prepared has been reduced to its end.
  bool finished() const {
    return !require_finalize_;
  }

  // The collectives of a backward with reduction, in the same order, without a backward.
  void reduce_now() {
    std::vector<c10::intrusive_ptr<c10d::Work>> pending;
    pending.reserve(buckets_.size());
    for (const auto& bucket : buckets_) {
      std::vector<at::Tensor> tensors{bucket.gradients};
      pending.push_back(process_group_->allreduce(tensors));
    }
    for (const auto& work : pending) {
      work->wait();
    }
  }
};

} // namespace

// Opaque to Rust.
struct ek_reducer {
  // The hooks that the reducer has on the parameters call into it, so it must not move.
  std::unique_ptr<SumReducer> reducer;
};

extern "C" {

// `bucket_sizes[b]` entries of `order` (indices into `params`) make bucket b.
ek_status ek_reducer_new(
    const ek::TensorPtr* params,
    size_t param_count,
    const size_t* order,
    const size_t* bucket_sizes,
    size_t bucket_count,
    const ek_group* group,
    ek_reducer** out) {
  return ek::guarded([&] {
    std::vector<std::vector<size_t>> buckets;
    buckets.reserve(bucket_count);
    for (size_t b = 0; b < bucket_count; ++b) {
      buckets.emplace_back(order, order + bucket_sizes[b]);
      order += bucket_sizes[b];
    }
    auto reducer = std::make_unique<SumReducer>(
        ek::to_vector(params, param_count), std::move(buckets), group->group);
    *out = new ek_reducer{std::move(reducer)};
  });
}

void ek_reducer_free(ek_reducer* reducer) {
  ek::guarded([&] {
    reducer->reducer->remove_autograd_hooks();
    delete reducer;
  });
}

// The next backward reduces.
ek_status ek_reducer_prepare(ek_reducer* reducer) {
  return ek::guarded([&] { reducer->reducer->prepare_for_backward({}); });
}

ek_status ek_reducer_finished(const ek_reducer* reducer, int32_t* finished) {
  return ek::guarded([&] { *finished = reducer->reducer->finished() ? 1 : 0; });
}

ek_status ek_reducer_reduce_now(ek_reducer* reducer) {
  return ek::guarded([&] { reducer->reducer->reduce_now(); });
}

ek_status ek_reducer_zero_grad(ek_reducer* reducer) {
  return ek::guarded([&] {
    for (auto& flat : reducer->reducer->flat_gradients()) {
      flat.zero_();
    }
  });
}

ek_status ek_reducer_bucket_count(const ek_reducer* reducer, size_t* count) {
  return ek::guarded([&] { *count = reducer->reducer->flat_gradients().size(); });
}

ek_status ek_reducer_bucket(const ek_reducer* reducer, size_t index, ek::TensorPtr* out) {
  return ek::guarded([&] { *out = ek::give(reducer->reducer->flat_gradients().at(index)); });
}

} // extern "C"
