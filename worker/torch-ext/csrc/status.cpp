#include "status.h"

#include <exception>
#include <new>

#include <c10/util/Exception.h>
#include <torch/csrc/distributed/c10d/exception.h>

namespace {

thread_local std::string last_error;

// A c10::Error's what() has a C++ stack trace in it, which says nothing to a person.
ek_status keep(ek_status kind, const c10::Error& error) noexcept {
  return ek::record(kind, error.what_without_backtrace());
}

} // namespace

namespace ek {

ek_status record(ek_status kind, std::string message) noexcept {
  last_error = std::move(message);
  return kind;
}

ek_status record_current_exception() noexcept {
  try {
    throw;
  } catch (const c10d::TimeoutError& error) {
    return keep(EK_TIMEOUT, error);
  } catch (const c10::DistNetworkError& error) {
    return keep(EK_NETWORK, error);
  } catch (const c10::DistStoreError& error) {
    return keep(EK_STORE, error);
  } catch (const c10::DistBackendError& error) {
    return keep(EK_BACKEND, error);
  } catch (const c10::OutOfMemoryError& error) {
    return keep(EK_OUT_OF_MEMORY, error);
  } catch (const c10::Error& error) {
    return keep(EK_OTHER, error);
  } catch (const std::bad_alloc&) {
    return record(EK_OUT_OF_MEMORY, "out of memory");
  } catch (const std::exception& error) {
    return record(EK_OTHER, error.what());
  } catch (...) {
    return record(EK_OTHER, "an exception that is no std::exception");
  }
}

} // namespace ek

extern "C" const char* ek_last_error() {
  return last_error.c_str();
}
