#include "ca_invariants.h"

#include <algorithm>
#include <cstddef>

#include "core/link/root.h"
#include "tests/rig/manager_process.h"

namespace skep::sim {

void CaInvariants::on_commit(const store::Commit& commit) {
  for (const store::Event& event : commit.events) {
    const auto* node = event.after_as<model::v1::Node>();
    if (node == nullptr && event.before_as<model::v1::Node>() == nullptr) {
      continue;
    }
    const int role = node == nullptr ? kRemoved : static_cast<int>(node->spec().role());
    auto& roles = roles_[event.id];
    if (roles.empty() || roles.back() != role) {
      roles.push_back(role);
    }
  }
}

std::size_t CaInvariants::number_of(const std::string& text) {
  const auto [found, first] = numbers_.try_emplace(text, numbers_.size());
  if (first) {
    texts_[found->second] = &found->first;
  }
  return found->second;
}

void CaInvariants::on_changed(const std::string& machine, const link::Credentials& credentials) {
  const auto facts = link::read_certificate(credentials.pair.certificate);
  if (!facts) {
    return violate_("machine " + machine + " was given no certificate: " + facts.error().message);
  }
  const int role = facts->identity.role == link::Role::kManager ? model::v1::NODE_ROLE_MANAGER
                                                                : model::v1::NODE_ROLE_WORKER;
  const auto& roles = roles_[machine];
  const std::size_t number = number_of(credentials.pair.certificate);
  const auto before = held_.find(machine);
  if (before == held_.end() || before->second.certificate != number) {
    // The last of those before the question still held then, until the next one.
    const auto asked = static_cast<std::ptrdiff_t>(asked_[machine]);
    const auto held = roles.begin() + std::max<std::ptrdiff_t>(asked - 1, 0);
    if (facts->identity.node_id != machine || std::find(held, roles.end(), role) == roles.end()) {
      violate_("machine " + machine + " was given a certificate of node " + facts->identity.node_id + " as " +
               std::string(link::role_name(facts->identity.role)) + ", which it was not any more when it asked");
    }
  }
  if (const auto pair = link::check_pair(credentials.pair); !pair) {
    violate_("machine " + machine + ": " + pair.error().message);
  }
  const Held& here = held_[machine] = {number, number_of(credentials.roots)};
  for (const auto& [other, held] : held_) {
    check(machine, here, other, held);
    check(other, held, machine, here);
  }
}

/// Also of machines that are off: they come back.
void CaInvariants::check(const std::string& who, const Held& shown, const std::string& by,
                         const Held& trusted) {
  if (accepted_.contains({shown.certificate, trusted.roots})) {
    return;
  }
  const auto good = link::verify_whatever_date(*texts_[shown.certificate], *texts_[trusted.roots], rig::kClusterId);
  if (!good) {
    return violate_("machine " + by + " does not accept the certificate of machine " + who + ": " +
                    good.error().message);
  }
  accepted_.emplace(shown.certificate, trusted.roots);
}

}  // namespace skep::sim
