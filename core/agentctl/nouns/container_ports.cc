// The ports of this node's containers. The drivers that published them know them; a container's runtime does not.
#include <fmt/format.h>

#include <ostream>

#include "core/agentctl/context.h"
#include "core/agentctl/nouns/container.h"
#include "core/agentctl/shape/shape.h"
#include "skep/network.methods.h"

namespace skep::ctl {
namespace {

constexpr std::chrono::seconds kListDeadline{10};
// Host-mode ports are IPv4 ports of the whole node.
constexpr std::string_view kNodeAddress = "0.0.0.0";

}  // namespace

std::map<std::string, std::string> published_ports(Context& context, Client& agent,
                                                   const std::vector<plugin::v1::PluginInfo>& plugins) {
  std::map<std::string, std::vector<model::v1::PublishedPort>> ports;
  for (const auto& plugin : plugins) {
    for (const std::string& driver : plugin.drivers()) {
      if (plugin.state() != "running" || !driver.starts_with("network/")) {
        continue;
      }
      const auto answer = agent.call<network::v1::methods::List>(driver, {}, kListDeadline);
      if (!answer) {
        context.err << fmt::format("WARNING: the ports of '{}' are not listed: {}\n", driver, answer.error().message);
        continue;
      }
      for (const auto& endpoint : answer->endpoints()) {
        auto& of_task = ports[endpoint.endpoint_id()];
        of_task.insert(of_task.end(), endpoint.ports().begin(), endpoint.ports().end());
      }
    }
  }
  std::map<std::string, std::string> texts;
  for (auto& [task, list] : ports) {
    texts[task] = published_ports_text(std::move(list), kNodeAddress);
  }
  return texts;
}

}  // namespace skep::ctl
