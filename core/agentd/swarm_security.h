#pragma once

// The part of Swarm that keeps it safe: the data key and its lock, certificates as sessions want
// them, and the way back with one that expired. Only swarm*.cc include this.

#include <functional>
#include <memory>
#include <string>

#include "core/agentd/certificate_wishes.h"
#include "core/agentd/data_key.h"
#include "core/agentd/locked_certificate.h"
#include "core/agentd/swarm.h"

namespace skep::agentd {

class Swarm::Security {
 public:
  explicit Security(Swarm& swarm);
  ~Security();
  Security(const Security&) = delete;
  Security& operator=(const Security&) = delete;

  /// See DataKey::open(); says so when it is locked.
  Status open();
  /// This manager starts locked: its node side goes on with what it may show meanwhile.
  void begin_locked();
  /// Why that is not so, or would not be; empty when nothing is wrong.
  [[nodiscard]] std::string locked_trouble() const { return locked_.trouble(); }
  /// As the managers gave it with the membership of the log.
  Status take(const manager::v1::JoinResponse& answer);
  /// This node is a worker now: its own key lies open again, and nothing of the data key stays.
  Status give_up();
  /// This node is a worker: what it kept as a manager is removed, and as long as that fails it is tried
  /// again and info tells why.
  void drop_manager_state();
  /// Before it becomes a manager again: whether that is done. Tries it once more.
  Status manager_state_dropped();
  /// Nothing of a swarm is left.
  void clear();
  /// The unlock key may be another one.
  void swarm_told(const model::v1::Cluster& cluster);

  /// Which roots are trusted, whose certificate this node is to have and for how long at most.
  void follow_wishes(const dispatch::v1::SessionMessage& message);
  /// The certificate or the roots are new.
  void note_tls();
  /// The renewal is planned anew, or under way.
  void renewal_planned() { renewal_wished_ = false; }
  [[nodiscard]] Renewals& renewals() { return renewals_; }
  void renewal_ended(const Status& status) { renewal_failed_ = status ? "" : status.error().message; }
  /// It expired, or is not valid yet: no other node accepts it.
  [[nodiscard]] bool certificate_useless() const;
  /// That, and this manager's own state holds what it takes to make another, for itself as a manager.
  [[nodiscard]] bool helps_itself() const;
  /// Why there is no other yet, and what to do; empty when nothing is wrong.
  [[nodiscard]] std::string renewal_trouble() const;
  /// As the same node, with a join token, when the certificate is of no use.
  void come_back(const agent::v1::JoinRequest& request, std::function<void(Status)> done);

  [[nodiscard]] DataKey& key() { return key_; }
  [[nodiscard]] const DataKey& key() const { return key_; }
  [[nodiscard]] const base::Sealer* sealer() const { return key_.sealer().get(); }
  [[nodiscard]] const model::v1::TlsInfo& tls() const { return tls_; }

 private:
  struct Return;
  void try_return(const std::shared_ptr<Return>& attempt);
  void returned(const link::Joined& joined, const std::function<void(Status)>& done);
  [[nodiscard]] LockedCertificate::Hooks locked_hooks();
  void keep_locked_certificate();  // as long as autolock is on
  void describe_tls(const link::Credentials& shown);

  Swarm& swarm_;
  Env& env_;
  DataKey key_;
  LockedCertificate locked_;
  model::v1::TlsInfo tls_;
  bool renewal_wished_ = false;
  std::string renewal_failed_;
  Renewals renewals_;
  TimerId wrap_timer_ = 0;
  bool dropping_ = false;  // manager's state of a worker is still to be removed
  TimerId drop_timer_ = 0;
};

}  // namespace skep::agentd
