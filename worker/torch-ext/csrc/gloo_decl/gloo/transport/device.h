#pragma once
#include <memory>

namespace gloo::transport {

// Only handled through shared_ptr; the library makes and destroys it.
class Device;

// c10d holds it in a unique_ptr, so the type has to be complete.
class UnboundBuffer {
 public:
  virtual ~UnboundBuffer() = 0;
};

} // namespace gloo::transport
