#include "core/agentd/manager_book.h"

#include <algorithm>
#include <utility>

#include "core/link/tcp_socket.h"

namespace skep::agentd {

std::optional<ManagerAddress> parse_manager(const std::string& text) {
  const auto equals = text.find('=');
  if (equals == std::string::npos || equals == 0 || equals + 1 == text.size()) {
    return std::nullopt;
  }
  return ManagerAddress{text.substr(0, equals), text.substr(equals + 1)};
}

Result<std::vector<std::string>> managers_to_ask(const std::vector<std::string>& named,
                                                 const std::vector<std::string>& known, const std::string& self) {
  if (named.empty()) {
    return Error{Code::kInvalidArgument, "no manager to join was named", "NO_MANAGER_NAMED"};
  }
  std::vector<std::string> out;
  const auto add = [&out](std::string address) {
    if (out.size() < kReturnTriesMax && std::find(out.begin(), out.end(), address) == out.end()) {
      out.push_back(std::move(address));
    }
  };
  for (const std::string& text : named) {
    SKEP_TRY_ASSIGN(const auto address, link::parse_host_port(text, link::kManagementPort));
    add(link::to_text(address));
  }
  for (const std::string& text : known) {
    if (auto manager = parse_manager(text); manager && manager->node_id != self) {
      add(std::move(manager->address));
    }
  }
  return out;
}

bool ManagerBook::learn(const std::vector<std::string>& managers, const std::string& leader) {
  std::vector<ManagerAddress> list;
  for (const std::string& text : managers) {
    if (auto manager = parse_manager(text)) {
      list.push_back(*std::move(manager));
    }
  }
  std::sort(list.begin(), list.end(), [](const auto& a, const auto& b) { return a.node_id < b.node_id; });
  const bool changed = !list.empty() && list != all_;
  if (changed) {
    replace(std::move(list));
  }
  if (auto named = parse_manager(leader)) {
    leader_ = std::move(named);
  }
  return changed;
}

void ManagerBook::replace(std::vector<ManagerAddress> list) {
  const auto is_now = [&list](const ManagerAddress& one) {
    return std::any_of(list.begin(), list.end(), [&](const auto& other) { return other.node_id == one.node_id; });
  };
  former_.insert(former_.begin(), all_.begin(), all_.end());
  std::erase_if(former_, is_now);
  former_.resize(std::min(former_.size(), kFormerMax));
  all_ = std::move(list);
  first_ = random_.below(all_.size());
  failed_ = 0;
}

void ManagerBook::forget() {
  all_.clear();
  former_.clear();
  leader_.reset();
  failed_ = 0;
}

std::optional<ManagerAddress> ManagerBook::choice() const {
  if (leader_) {
    return leader_;
  }
  if (all_.empty()) {
    return std::nullopt;
  }
  const std::size_t rounds = kRounds * all_.size();
  const std::size_t at = failed_ % (rounds + former_.size());
  return at < rounds ? all_[(first_ + at) % all_.size()] : former_[at - rounds];
}

void ManagerBook::failed(const std::string& node_id) {
  const auto now = choice();
  if (!now || now->node_id != node_id) {
    return;
  }
  if (leader_) {
    leader_.reset();
    if (const auto other = choice(); other && other->node_id != node_id) {
      return;
    }
  }
  ++failed_;
}

std::vector<std::string> ManagerBook::managers() const {
  std::vector<std::string> out;
  for (const auto& manager : all_) {
    out.push_back(manager.node_id + "=" + manager.address);
  }
  return out;
}

}  // namespace skep::agentd
