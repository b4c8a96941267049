#pragma once

// A network namespace of a test's own, and sockets inside it. Needs CAP_SYS_ADMIN.

#include <memory>
#include <string>
#include <vector>

#include "skep/result.h"

namespace skep::testing {

class Sandbox {
 public:
  /// With loopback up. kPermissionDenied without the right to make one.
  static Result<std::unique_ptr<Sandbox>> make();
  /// The namespace goes when nobody else is in it.
  ~Sandbox();
  Sandbox(const Sandbox&) = delete;
  Sandbox& operator=(const Sandbox&) = delete;

  /// A path that stays valid while this object lives, in any process.
  [[nodiscard]] const std::string& path() const { return path_; }
  /// Addresses of `interface` as text, IPv4; empty when there is no such interface.
  Result<std::vector<std::string>> addresses(const std::string& interface) const;
  /// Sends a datagram from `from` in here to `to` in `other`, and waits at most 10 s for it there.
  Status reaches(const std::string& from, const Sandbox& other, const std::string& to) const;

 private:
  explicit Sandbox(int fd);
  int fd_;
  std::string path_;
};

}  // namespace skep::testing
