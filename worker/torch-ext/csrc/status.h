// Every function of the shim returns an ek_status and never lets an exception out; the message of the last failure
// on this thread is kept until the next one.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

extern "C" {

typedef int32_t ek_status;

// What kind of exception was caught. The Rust side makes a typed error of this and the message.
enum : int32_t {
  EK_OK = 0,
  EK_OTHER = 1,
  EK_TIMEOUT = 2,
  EK_NETWORK = 3,
  EK_STORE = 4,
  EK_BACKEND = 5,
  EK_OUT_OF_MEMORY = 6,
  EK_INVALID = 7,
};

// The message of this thread's last failure: NUL-terminated, valid until the next call on this thread.
const char* ek_last_error();

} // extern "C"

namespace ek {

// Stores the message of the exception being handled and returns its kind. Only to be called in a catch block.
ek_status record_current_exception() noexcept;

// Stores a message of the shim's own.
ek_status record(ek_status kind, std::string message) noexcept;

// Runs `body`; any exception becomes a status.
template <typename Body>
ek_status guarded(Body&& body) noexcept {
  try {
    std::forward<Body>(body)();
    return EK_OK;
  } catch (...) {
    return record_current_exception();
  }
}

} // namespace ek
