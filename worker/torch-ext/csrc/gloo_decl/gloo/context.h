#pragma once
#include <chrono>
#include <memory>

#include <gloo/transport/device.h>

namespace gloo {

namespace transport {

// One connection to one peer.
class Pair;

namespace tcp {

// The TCP transport's Pair; the library derives it from transport::Pair as first base, at offset 0.
class Pair {
 public:
  // Fails everything that is under way or still to come on this connection with `message` and closes it.
  void signalExceptionExternal(const std::string& message);
};

} // namespace tcp
} // namespace transport

class Context {
 public:
  std::unique_ptr<transport::Pair>& getPair(int rank);
  void setTimeout(std::chrono::milliseconds timeout);
};

} // namespace gloo
