#pragma once

#include <atomic>
#include <functional>

#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>

#include "../status.h"
#include "store.h"

// Opaque to Rust. Only `abort` may be called while another thread is inside another function of the same group.
struct ek_group {
  c10::intrusive_ptr<c10d::ProcessGroup> group;
  c10::intrusive_ptr<c10d::Backend> backend;
  // Fails whatever is under way; safe to call from any thread, more than once.
  std::function<void()> abort;
  std::atomic<bool> aborted{false};
};

namespace ek {

// The text that an aborted group's collectives fail with; the Rust side knows an abort by it.
constexpr const char* kAborted = "evenkeel: process group aborted";

// Puts the generic ProcessGroup, which the Reducer wants, in front of one backend for one kind of device.
std::unique_ptr<ek_group> make_group(
    const c10::intrusive_ptr<c10d::Store>& store,
    int rank,
    int world_size,
    c10::DeviceType device,
    c10d::ProcessGroup::BackendType type,
    c10::intrusive_ptr<c10d::Backend> backend,
    std::function<void()> abort);

} // namespace ek
