// Process groups: what does not depend on the backend.
#include "group.h"

#include <chrono>

#include "../tensors.h"

namespace ek {

std::unique_ptr<ek_group> make_group(
    const c10::intrusive_ptr<c10d::Store>& store,
    int rank,
    int world_size,
    c10::DeviceType device,
    c10d::ProcessGroup::BackendType type,
    c10::intrusive_ptr<c10d::Backend> backend,
    std::function<void()> abort) {
  auto group = c10::make_intrusive<c10d::ProcessGroup>(store, rank, world_size);
  group->setBackend(device, type, backend);
  group->setDefaultBackend(type);
  auto made = std::make_unique<ek_group>();
  made->group = std::move(group);
  made->backend = std::move(backend);
  made->abort = std::move(abort);
  return made;
}

} // namespace ek

namespace {

// Starts a collective and waits for it. Without `timeout` the backend's own time-out bounds the wait.
template <typename Start>
ek_status collective(ek_group* group, Start&& start, std::chrono::milliseconds timeout = kNoTimeout) {
  if (group->aborted.load()) {
    return ek::record(EK_OTHER, ek::kAborted);
  }
  return ek::guarded([&] { start()->wait(timeout); });
}

} // namespace

extern "C" {

// Waits for the group's threads. Collectives under way have to have returned, or the group has to be aborted first.
void ek_group_free(ek_group* group) {
  ek::guarded([&] { delete group; });
}

ek_status ek_group_abort(ek_group* group) {
  group->aborted.store(true);
  return ek::guarded([&] { group->abort(); });
}

ek_status ek_group_set_timeout(ek_group* group, int64_t timeout_ms) {
  return ek::guarded([&] { group->backend->setTimeout(std::chrono::milliseconds(timeout_ms)); });
}

ek_status ek_group_all_reduce_sum(ek_group* group, ek::TensorPtr tensor) {
  return collective(group, [&] {
    std::vector<at::Tensor> tensors{*tensor};
    return group->backend->allreduce(tensors);
  });
}

ek_status ek_group_broadcast(ek_group* group, ek::TensorPtr tensor, int32_t root) {
  return collective(group, [&] {
    std::vector<at::Tensor> tensors{*tensor};
    c10d::BroadcastOptions options;
    options.rootRank = root;
    return group->backend->broadcast(tensors, options);
  });
}

// `outputs[r]` takes rank r's `input`.
ek_status ek_group_all_gather(
    ek_group* group,
    const ek::TensorPtr* outputs,
    size_t count,
    ek::TensorPtr input) {
  return collective(group, [&] {
    std::vector<std::vector<at::Tensor>> output_lists{ek::to_vector(outputs, count)};
    std::vector<at::Tensor> inputs{*input};
    return group->backend->allgather(output_lists, inputs);
  });
}

ek_status ek_group_barrier(ek_group* group, int64_t timeout_ms) {
  const std::chrono::milliseconds timeout(timeout_ms);
  const auto start = [&] {
    c10d::BarrierOptions options;
    options.timeout = timeout;
    return group->backend->barrier(options);
  };
  // Gloo bounds the barrier by its options, NCCL by the wait.
  const bool gloo = group->backend->getBackendName() == "gloo";
  return collective(group, start, gloo ? kNoTimeout : timeout);
}

} // extern "C"
