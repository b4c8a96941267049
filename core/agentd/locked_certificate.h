#pragma once

// What a manager shows while autolock locks it: a certificate that allows a worker's session as this node
// and nothing else (link::Role::kLockedManager). Its key lies open, so it is one of its own, new each time.
// Kept while autolock is on, and made anew with every certificate of the node. Loop thread only.
//
//   <state_dir>/locked.pem = key, certificate, what stands between it and the root; all PEM

#include <functional>
#include <memory>
#include <string>

#include "core/agentd/config.h"
#include "core/link/tls.h"
#include "skep/ca.pb.h"
#include "skep/env.h"

namespace skep::agentd {

class LockedCertificate {
 public:
  using Answer = std::function<void(Result<ca::v1::RenewResponse>)>;
  struct Hooks {
    /// Asks the leading manager.
    std::function<void(const ca::v1::RenewRequest&, Answer)> ask;
    /// behind() became false.
    std::function<void()> caught_up;
  };
  /// `env` and `paths` outlive it.
  LockedCertificate(Env& env, const Paths& paths, Hooks hooks);
  ~LockedCertificate();
  LockedCertificate(const LockedCertificate&) = delete;
  LockedCertificate& operator=(const LockedCertificate&) = delete;

  /// This manager is autolocked and shows `own` now: where the file does not belong to it, asks for another
  /// until there is one. A repeat asks at once.
  void follow(const link::Credentials& own);
  /// Autolock is off: no file; tried again as long as that fails.
  void drop();
  /// This node is no manager any more. Nothing of it stays on disk, nor of a write that was interrupted.
  Status forget();
  /// Only ends what is under way.
  void rest();
  /// This manager starts locked: what it may show. kNotFound, kDataLoss: nothing; trouble() says so.
  Result<link::Credentials> take_up(const std::string& node_id, const std::string& cluster_id);

  /// The certificate of the node is newer than the file.
  [[nodiscard]] bool behind() const { return behind_; }
  /// Why this node has, or would have, no session while it is locked; empty when nothing is wrong.
  [[nodiscard]] std::string trouble() const;

 private:
  [[nodiscard]] Result<link::Credentials> load(const std::string& node_id, const std::string& cluster_id);
  [[nodiscard]] bool belongs_to(const link::Credentials& own);
  void ask();
  Status take(const ca::v1::RenewResponse& answer, const std::string& key);
  void later(const Error& error);

  Env& env_;
  const std::string directory_;
  const std::string file_;
  const Hooks hooks_;
  std::string followed_;  // the node's certificate; empty: none is followed
  std::string node_id_;
  std::string cluster_id_;
  bool behind_ = false;
  bool asking_ = false;
  bool absent_ = false;    // the file, for sure
  WallTime used_until_ = 0;  // the one that is shown; 0: none is
  int failures_ = 0;
  std::string trouble_;
  TimerId timer_ = 0;
  std::shared_ptr<char> turn_ = std::make_shared<char>();  // what is under way ends with it
};

}  // namespace skep::agentd
