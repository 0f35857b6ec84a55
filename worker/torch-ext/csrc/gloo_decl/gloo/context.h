#pragma once
#include <chrono>
#include <exception>
#include <memory>
#include <string>

#include <gloo/transport/device.h>

namespace gloo {

namespace transport {

// One connection to one peer.
class Pair;

namespace tcp {

// The TCP transport's Pair; the library derives it from transport::Pair as first base, at offset 0.
class Pair {
 public:
  // Fails everything that is under way or still to come on this connection with `message` and closes it. The return
  // type has to be right: the linker does not check it, and it is returned through a hidden argument.
  std::exception_ptr signalExceptionExternal(const std::string& message);
};

} // namespace tcp
} // namespace transport

class Context {
 public:
  std::unique_ptr<transport::Pair>& getPair(int rank);
  void setTimeout(std::chrono::milliseconds timeout);
};

} // namespace gloo
