#include <fmt/format.h>

#include <memory>
#include <ostream>

#include "core/agentctl/command.h"
#include "core/agentctl/context.h"
#include "core/agentctl/nouns/nouns.h"
#include "core/agentctl/output/list.h"
#include "core/agentctl/output/pretty.h"
#include "core/agentctl/shape/shape.h"
#include "core/agentctl/template/template.h"
#include "skep/agent.methods.h"

#ifndef SKEP_VERSION
#error "the build names the version"
#endif

namespace skep::ctl {
namespace {

Status print_one(Context& context, const Value& object, const std::string& format) {
  if (format == "json") {
    context.out << to_json(object) << '\n';
    return ok();
  }
  return print_inspection(context, {object}, format, absent_fields());
}

Result<int> info(Context& context, const std::string& format) {
  SKEP_TRY_ASSIGN(Client * agent, context.agent());
  SKEP_TRY_ASSIGN(const auto answer, agent->call<agent::v1::methods::Info>(kCore, {}));
  if (format.empty()) {
    context.out << pretty_info(answer);
    for (const std::string& warning : answer.warnings()) {
      context.err << "WARNING: " << warning << '\n';
    }
    return 0;
  }
  SKEP_TRY(print_one(context, info_shape(answer), format));
  return 0;
}

// The client's part is always printed; without an agent the exit code says so.
Result<int> version(Context& context, const std::string& format) {
  Value client = Value::object();
  client.set("Version", SKEP_VERSION)
      .set("Os", "linux")
      .set("Arch", SKEP_ARCHITECTURE)
      .set("Compiler", __VERSION__);
  Result<agent::v1::InfoResponse> answer = Error{Code::kUnavailable, "not asked"};
  if (auto agent = context.agent(); agent) {
    answer = (*agent)->call<agent::v1::methods::Info>(kCore, {});
  } else {
    answer = std::move(agent).error();
  }
  Value server;
  if (answer) {
    server.set("Version", answer->version()).set("Os", answer->description().platform().os());
    server.set("Arch", answer->description().platform().architecture())
        .set("KernelVersion", answer->kernel());
  }
  if (!format.empty()) {
    SKEP_TRY(
        print_one(context, Value::object().set("Client", client).set("Server", server), format));
  } else {
    context.out << fmt::format("Client: agentctl\n Version:  {}\n OS/Arch:  linux/{}\n",
                               SKEP_VERSION, SKEP_ARCHITECTURE);
    if (answer) {
      context.out << fmt::format(
          "\nServer: agentd\n Version:  {}\n OS/Arch:  {}/{}\n Kernel:   {}\n", answer->version(),
          answer->description().platform().os(), answer->description().platform().architecture(),
          answer->kernel());
    }
  }
  SKEP_TRY(std::move(answer));
  return 0;
}

}  // namespace

void add_info_commands(Command& root) {
  auto info_format = std::make_shared<std::string>();
  root.add("info", "What this agent is and how it is doing")
      .arguments("[OPTIONS]", 0, 0)
      .text("--format,-f", *info_format, "string",
            "'json' or a Go template, as '{{.Swarm.NodeID}}'")
      .run([info_format](Context& context, const auto&) { return info(context, *info_format); });
  auto version_format = std::make_shared<std::string>();
  root.add("version", "Versions of agentctl and of the agent")
      .arguments("[OPTIONS]", 0, 0)
      .text("--format,-f", *version_format, "string",
            "'json' or a Go template, as '{{.Server.Version}}'")
      .run([version_format](Context& context, const auto&) {
        return version(context, *version_format);
      });
}

}  // namespace skep::ctl
