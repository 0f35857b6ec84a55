// NCCL process groups (CUDA).
#include <chrono>

#include <c10/core/DeviceGuard.h>
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>

#include "group.h"

namespace {

class WaitingNccl : public c10d::ProcessGroupNCCL {
 public:
  WaitingNccl(
      const c10::intrusive_ptr<c10d::Store>& store,
      int rank,
      int world_size,
      c10::intrusive_ptr<Options> options)
      : c10d::ProcessGroupNCCL(store, rank, world_size, std::move(options)) {
    // By default a wait only orders streams, and a watchdog ends the whole process when a collective fails. Here a
    // wait is to return the failure, so that the process can form another group.
    blockingWait_ = true;
    asyncErrorHandling_ = c10d::NoHandling;
  }
};

} // namespace

extern "C" {

// All members have to call this within `timeout_ms`, which then bounds each collective too.
ek_status ek_group_nccl(
    const ek_store* store,
    int32_t rank,
    int32_t world_size,
    int32_t device,
    int64_t timeout_ms,
    ek_group** out) {
  return ek::guarded([&] {
    const c10::Device cuda(c10::DeviceType::CUDA, static_cast<c10::DeviceIndex>(device));
    const c10::DeviceGuard guard(cuda);
    auto options = WaitingNccl::Options::create();
    options->timeout = std::chrono::milliseconds(timeout_ms);
    auto nccl = c10::make_intrusive<WaitingNccl>(store->store, rank, world_size, options);
    nccl->setBoundDeviceId(cuda);
    // Connect now: a member that cannot be reached is to be an error of forming the group.
    nccl->eagerConnectSingleDevice(cuda);
    auto group = ek::make_group(
        store->store,
        rank,
        world_size,
        c10::DeviceType::CUDA,
        c10d::ProcessGroup::BackendType::NCCL,
        nccl,
        [nccl = nccl.get()] { nccl->abort(); });
    group->group->setBoundDeviceId(cuda);
    *out = group.release();
  });
}

} // extern "C"
