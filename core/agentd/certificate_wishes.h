#pragma once

// What a node does with its certificate when the managers tell what they wish. Pure; also what nodes of the
// simulator do.

#include <cstdint>
#include <optional>

#include "core/link/tls.h"
#include "skep/ca.pb.h"
#include "skep/dispatch.pb.h"
#include "skep/env.h"

namespace skep::agentd {

/// The credentials with the roots that the managers name. nullopt: nothing changes, or our own certificate
/// is not good for those yet; then the renewal brings both.
std::optional<link::Credentials> with_wanted_roots(const dispatch::v1::SessionMessage& message,
                                                   const link::Credentials& credentials);
/// Another root is to have signed our certificate, or it was made for a longer life than the swarm wants. Whatever our
/// clock shows: one that is behind would see too long a life in every certificate.
bool must_renew(const dispatch::v1::SessionMessage& message, const link::Credentials& credentials);
/// What a renewal brought. kUnauthenticated: no other node would accept it now.
Result<link::Credentials> renewed(const ca::v1::RenewResponse& reply,
                                  const link::Credentials& credentials, WallTime now);

/// Which of the answers to a node's renewals counts: that to the last question, asked since the managers told of the
/// roots of now. An earlier one that comes late may be of the root of before, and the managers may count on the root
/// that the node already named.
class Renewals {
 public:
  /// The managers speak of the roots of this version. Whether they spoke of others before.
  bool told(std::uint64_t root_version) {
    if (root_version == root_version_) {
      return false;
    }
    root_version_ = root_version;
    ++last_;
    return true;
  }
  [[nodiscard]] std::uint64_t root_version() const { return root_version_; }
  /// A certificate is asked for. The number goes with the answer.
  std::uint64_t ask() { return ++last_; }
  /// renewed(), or the answer's error. kUnavailable RENEWED_AGAIN: it does not count and changes nothing; another was
  /// asked for, or is to be.
  [[nodiscard]] Result<link::Credentials> answered(std::uint64_t asked, const Result<ca::v1::RenewResponse>& reply,
                                                   const link::Credentials& credentials, WallTime now) const;

 private:
  std::uint64_t last_ = 0;
  std::uint64_t root_version_ = 0;
};

}  // namespace skep::agentd
