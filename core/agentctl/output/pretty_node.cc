#include <fmt/format.h>

#include <cctype>
#include <map>

#include "core/agentctl/auth.h"
#include "core/agentctl/output/pretty.h"
#include "core/agentctl/text.h"
#include "core/model/task_state.h"
#include "core/model/units.h"

namespace skep::ctl {

namespace {

std::string pretty_tls(const model::v1::TlsInfo& tls) {
  return fmt::format("TLS Info:\n TrustRoot:\n{} Issuer Subject:\t{}\n Issuer Public Key:\t{}\n", tls.trust_root(),
                     encode_base64(tls.issuer_subject()), encode_base64(tls.issuer_public_key()));
}

}  // namespace

std::string pretty_node(const model::v1::Node& node) {
  const auto capital = [](std::string_view word) {
    std::string text(word);
    text.front() = static_cast<char>(std::toupper(static_cast<unsigned char>(text.front())));
    return text;
  };
  const auto labels = [](std::string& out, std::string_view title, const auto& map) {
    if (!map.empty()) {
      out += fmt::format("{}:\n", title);
      for (const auto& [key, value] : std::map<std::string, std::string>(map.begin(), map.end())) {
        out += fmt::format(" - {}={}\n", key, value);
      }
    }
  };
  const auto& from = node.description();
  std::string out = fmt::format("ID:\t\t\t{}\n", node.id());
  out += node.spec().name().empty() ? "" : fmt::format("Name:\t\t\t{}\n", node.spec().name());
  labels(out, "Labels", node.spec().labels());
  out += fmt::format("Hostname:              \t{}\nJoined at:             \t{}\n", from.hostname(),
                     print_time_long(node.meta().created_at()));
  out += fmt::format("Status:\n State:\t\t\t{}\n",
                     capital(model::node_state_name(node.status().state())));
  out += node.status().message().empty()
             ? ""
             : fmt::format(" Message:\t\t{}\n", node.status().message());
  out += fmt::format(" Availability:         \t{}\n Address:\t\t{}\n",
                     capital(model::availability_name(node.spec().availability())),
                     node.status().address());
  if (node.has_manager_status()) {
    const auto& manager = node.manager_status();
    out += fmt::format("Manager Status:\n Address:\t\t{}\n Raft Status:\t\t{}\n Leader:\t\t{}\n",
                       manager.address(),
                       manager.reachability() == 2   ? "Reachable"
                       : manager.reachability() == 1 ? "Unreachable"
                                                     : "Unknown",
                       manager.leader() ? "Yes" : "No");
  }
  out += fmt::format("Platform:\n Operating System:\t{}\n Architecture:\t\t{}\n",
                     from.platform().os(), from.platform().architecture());
  out += fmt::format("Resources:\n CPUs:\t\t\t{}\n Memory:\t\t{}\n",
                     model::print_cpus(from.resources().nano_cpus()),
                     model::print_bytes(from.resources().memory_bytes()));
  std::map<std::string, std::string> plugins;
  for (const std::string& driver : from.engine().drivers()) {
    const std::size_t slash = driver.find('/');
    std::string& names = plugins[capital(driver.substr(0, slash))];
    names +=
        (names.empty() ? "" : ", ") + (slash == std::string::npos ? "" : driver.substr(slash + 1));
  }
  out += plugins.empty() ? "" : "Plugins:\n";
  for (const auto& [kind, names] : plugins) {
    out += fmt::format(" {}:\t\t{}\n", kind, names);
  }
  out += fmt::format("Engine Version:\t\t{}\n", from.engine().version());
  labels(out, "Engine Labels", from.engine().labels());
  return out + (from.has_tls() ? pretty_tls(from.tls()) : "");
}

}  // namespace skep::ctl
