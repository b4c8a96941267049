#include "core/agentctl/nouns/service.h"

#include <fmt/format.h>

#include <ostream>

#include "core/agentctl/command.h"
#include "core/agentctl/context.h"
#include "core/agentctl/nouns/nouns.h"
#include "core/agentctl/shape/shape.h"
#include "skep/control.methods.h"

namespace skep::ctl {

using model::v1::PublishedPort;

Result<model::v1::Service> get_service(Client& agent, const std::string& reference) {
  control::v1::GetServiceRequest request;
  request.set_ref(reference);
  auto answer = agent.call<control::v1::methods::GetService>(kCore, request);
  if (!answer && answer.error().code == Code::kNotFound) {
    return Error{Code::kNotFound,
                 fmt::format("no such service: '{}'; 'agentctl service ls' lists them", reference),
                 answer.error().reason};
  }
  SKEP_TRY_ASSIGN(const auto found, std::move(answer));
  return found.service();
}

std::string ingress_ports_text(const model::v1::Endpoint& endpoint) {
  std::vector<PublishedPort> ports;
  for (const PublishedPort& port : endpoint.ports()) {
    if (port.mode() == PublishedPort::INGRESS) {
      ports.push_back(port);
    }
  }
  return published_ports_text(std::move(ports), "*");
}

std::string host_ports_text(const model::v1::Task& task) {
  std::string text;
  for (const PublishedPort& port : task.status().ports().ports()) {
    if (port.mode() == PublishedPort::HOST) {
      text += fmt::format("{}*:{}->{}/{}", text.empty() ? "" : ",", port.published_port(),
                          port.target_port(), port_protocol_name(port.protocol()));
    }
  }
  return text;
}

std::string shown_image(const std::string& image) {
  const std::size_t at = image.find('@');
  return at != std::string::npos && at > 0 ? image.substr(0, at) : image;
}

namespace {

Result<int> remove(Context& context, const std::vector<std::string>& references) {
  SKEP_TRY_ASSIGN(Client * agent, context.agent());
  return for_each_reference(context, references, [&](const std::string& reference) -> Status {
    control::v1::RemoveServiceRequest request;
    request.set_ref(reference);
    SKEP_TRY(agent->call<control::v1::methods::RemoveService>(kCore, request));
    context.out << reference << '\n';
    return ok();
  });
}

}  // namespace

void add_service_commands(Command& root) {
  auto& service = root.add("service", "Run and change services");
  add_service_create(service);
  add_service_inspect(service);
  add_service_logs(service);
  add_service_list(service);
  add_service_update(service);
  service.add("rm,remove", "Remove services and their tasks")
      .arguments("SERVICE [SERVICE...]", 1)
      .completes("service")
      .run([](Context& context, const auto& references) { return remove(context, references); });
}

}  // namespace skep::ctl
