#pragma once

#include <torch/csrc/distributed/c10d/Store.hpp>

// Opaque to Rust.
struct ek_store {
  c10::intrusive_ptr<c10d::Store> store;
};
