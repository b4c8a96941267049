#pragma once

// A lock on a file, between threads and processes alike; released by its destructor and by the
// death of the process. [any thread; one object per holder]

#include <string>

#include "plugins/runtime/oci/images/fd.h"
#include "skep/result.h"

namespace skep::oci {

enum class LockKind { kShared, kExclusive };

class FileLock {
 public:
  /// Waits until it holds the lock. The file is made when missing.
  static Result<FileLock> wait(const std::string& path, LockKind kind);
  /// kConflict when somebody else holds it.
  static Result<FileLock> try_now(const std::string& path, LockKind kind);

 private:
  explicit FileLock(OwnedFd fd) : fd_(std::move(fd)) {}
  OwnedFd fd_;
};

}  // namespace skep::oci
