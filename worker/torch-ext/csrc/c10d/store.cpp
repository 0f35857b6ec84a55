// The rendezvous store: c10d::TCPStore and prefixes of it.
#include "store.h"

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <memory>

#include <c10/util/Logging.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include "../status.h"

namespace {

std::vector<uint8_t> to_bytes(const uint8_t* data, size_t length) {
  return length == 0 ? std::vector<uint8_t>() : std::vector<uint8_t>(data, data + length);
}

// Hands a copy to Rust, which frees it with ek_bytes_free.
void give_bytes(const std::vector<uint8_t>& bytes, uint8_t** data, size_t* length) {
  auto copy = std::make_unique<uint8_t[]>(bytes.size());
  if (!bytes.empty()) {
    std::memcpy(copy.get(), bytes.data(), bytes.size());
  }
  *length = bytes.size();
  *data = copy.release();
}

// c10d logs each failed attempt with a C++ stack trace to stderr. All of it comes back as an error too, so only what is
// fatal is logged, unless the user asks for more.
void quiet_logs() {
  static const bool done = [] {
    if (std::getenv("TORCH_CPP_LOG_LEVEL") == nullptr) {
      FLAGS_caffe2_log_level = 3;
    }
    return true;
  }();
  static_cast<void>(done);
}

ek_store* open(const char* host, c10d::TCPStoreOptions options, int64_t timeout_ms) {
  quiet_logs();
  options.timeout = std::chrono::milliseconds(timeout_ms);
  // The members are counted by the caller, which can say who is missing.
  options.waitWorkers = false;
  return new ek_store{c10::make_intrusive<c10d::TCPStore>(host, options)};
}

} // namespace

extern "C" {

// Serves on the listening socket `fd`, bound to `port`, and owns it from here on, also when it fails.
ek_status ek_store_serve(const char* host, uint16_t port, int fd, int64_t timeout_ms, ek_store** out) {
  return ek::guarded([&] {
    c10d::TCPStoreOptions options;
    options.port = port;
    options.isServer = true;
    options.masterListenFd = fd;
    *out = open(host, options, timeout_ms);
  });
}

ek_status ek_store_connect(const char* host, uint16_t port, int64_t timeout_ms, ek_store** out) {
  return ek::guarded([&] {
    c10d::TCPStoreOptions options;
    options.port = port;
    *out = open(host, options, timeout_ms);
  });
}

// A view of the same store whose keys all begin with `prefix`.
ek_status ek_store_prefix(const ek_store* base, const char* prefix, ek_store** out) {
  return ek::guarded(
      [&] { *out = new ek_store{c10::make_intrusive<c10d::PrefixStore>(prefix, base->store)}; });
}

void ek_store_free(ek_store* store) {
  ek::guarded([&] { delete store; });
}

ek_status ek_store_set(const ek_store* store, const char* key, const uint8_t* data, size_t length) {
  return ek::guarded([&] { store->store->set(key, to_bytes(data, length)); });
}

// Waits for the key, at most `timeout_ms`.
ek_status ek_store_get(
    const ek_store* store,
    const char* key,
    int64_t timeout_ms,
    uint8_t** data,
    size_t* length) {
  return ek::guarded([&] {
    store->store->wait({key}, std::chrono::milliseconds(timeout_ms));
    give_bytes(store->store->get(key), data, length);
  });
}

// Sets `desired` when the key is absent (`expected` empty) or holds `expected`; gives what the key holds afterwards.
ek_status ek_store_compare_set(
    const ek_store* store,
    const char* key,
    const uint8_t* expected,
    size_t expected_length,
    const uint8_t* desired,
    size_t desired_length,
    uint8_t** data,
    size_t* length) {
  return ek::guarded([&] {
    auto now = store->store->compareSet(
        key, to_bytes(expected, expected_length), to_bytes(desired, desired_length));
    give_bytes(now, data, length);
  });
}

ek_status ek_store_add(const ek_store* store, const char* key, int64_t amount, int64_t* total) {
  return ek::guarded([&] { *total = store->store->add(key, amount); });
}

ek_status ek_store_check(const ek_store* store, const char* key, int32_t* present) {
  return ek::guarded([&] { *present = store->store->check({key}) ? 1 : 0; });
}

ek_status ek_store_wait(const ek_store* store, const char* key, int64_t timeout_ms) {
  return ek::guarded([&] { store->store->wait({key}, std::chrono::milliseconds(timeout_ms)); });
}

void ek_bytes_free(uint8_t* data) {
  delete[] data;
}

} // extern "C"
