#include <memory>
#include <ostream>

#include "core/agentctl/command.h"
#include "core/agentctl/context.h"
#include "core/agentctl/nouns/nouns.h"
#include "core/agentctl/nouns/service.h"
#include "core/agentctl/output/list.h"
#include "core/agentctl/output/pretty.h"
#include "core/agentctl/shape/shape.h"

namespace skep::ctl {
namespace {

struct InspectOptions {
  std::string format;
  bool pretty = false;
};

Result<int> inspect(Context& context, const InspectOptions& options,
                    const std::vector<std::string>& references) {
  if (options.pretty && !options.format.empty()) {
    return Error{Code::kInvalidArgument, "--pretty and --format exclude each other: give one",
                 "USAGE"};
  }
  SKEP_TRY_ASSIGN(Client * agent, context.agent());
  std::vector<Value> objects;
  std::string pretty;
  const int exit_code =
      for_each_reference(context, references, [&](const std::string& reference) -> Status {
        SKEP_TRY_ASSIGN(const model::v1::Service service, get_service(*agent, reference));
        pretty += (pretty.empty() ? "" : "\n") + pretty_service(service, context.clock.wall_now());
        objects.push_back(service_shape(service));
        return ok();
      });
  if (options.pretty) {
    context.out << pretty;
  } else {
    SKEP_TRY(print_inspection(context, objects, options.format, absent_fields()));
  }
  return exit_code;
}

}  // namespace

void add_service_inspect(Command& service) {
  auto options = std::make_shared<InspectOptions>();
  service.add("inspect", "Show services in full")
      .arguments("[OPTIONS] SERVICE [SERVICE...]", 1)
      .completes("service")
      .text("--format,-f", options->format, "string",
            "'json' or a Go template, as '{{.Spec.Name}}'")
      .toggle("--pretty", options->pretty, "Print for people")
      .run([options](Context& context, const auto& references) {
        return inspect(context, *options, references);
      });
}

}  // namespace skep::ctl
