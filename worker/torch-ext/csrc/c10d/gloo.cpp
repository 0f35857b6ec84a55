// Gloo process groups (CPU).
#include <chrono>

#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>

#include "group.h"

namespace {

// ProcessGroupGloo of torch 2.11 has no abort. A collective that waits for a peer is woken by failing every
// connection of the group, as Gloo itself does when a wait times out: the waiters return with the message at once,
// and the peers see their connections closed.
class AbortableGloo : public c10d::ProcessGroupGloo {
 public:
  using c10d::ProcessGroupGloo::ProcessGroupGloo;

  void fail_connections() {
    for (auto& context : contexts_) {
      for (int peer = 0; peer < getSize(); ++peer) {
        if (peer == getRank()) {
          continue;
        }
        auto& pair = context->getPair(peer);
        if (pair == nullptr) {
          continue;
        }
        reinterpret_cast<gloo::transport::tcp::Pair*>(pair.get())->signalExceptionExternal(ek::kAborted);
      }
    }
  }
};

} // namespace

extern "C" {

// `address` is what this rank's listener binds to: a host name or an IP address of this machine, null for the address
// that the machine's own name stands for. All members have to call this within `timeout_ms`, which then bounds each
// collective too.
ek_status ek_group_gloo(
    const ek_store* store,
    int32_t rank,
    int32_t world_size,
    const char* address,
    int64_t timeout_ms,
    ek_group** out) {
  return ek::guarded([&] {
    auto options = AbortableGloo::Options::create(std::chrono::milliseconds(timeout_ms));
    // Connect now, not at the first collective: a member that cannot be reached is to be an error of forming the
    // group, and abort relies on connections that exist.
    constexpr bool lazy = false;
    options->devices.push_back(
        address != nullptr ? AbortableGloo::createDeviceForHostname(address, lazy)
                           : AbortableGloo::createDefaultDevice(lazy));
    // One thread keeps the order of collectives equal to the order of calls; the Reducer's buckets go one after
    // the other anyway on one network card.
    options->threads = 1;
    auto gloo = c10::make_intrusive<AbortableGloo>(store->store, rank, world_size, options);
    auto group = ek::make_group(
        store->store,
        rank,
        world_size,
        c10::DeviceType::CPU,
        c10d::ProcessGroup::BackendType::GLOO,
        gloo,
        [gloo = gloo.get()] { gloo->fail_connections(); });
    *out = group.release();
  });
}

} // extern "C"
