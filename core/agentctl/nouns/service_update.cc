#include <fmt/format.h>

#include <memory>
#include <ostream>

#include "core/agentctl/command.h"
#include "core/agentctl/context.h"
#include "core/agentctl/nouns/nouns.h"
#include "core/agentctl/nouns/service.h"
#include "core/agentctl/shape/shape.h"
#include "core/model/validate.h"
#include "skep/control.methods.h"

namespace skep::ctl {
namespace {

struct UpdateOptions {
  ServiceEdits edits;
  WaitOptions wait;
  bool rollback = false;
  bool with_registry_auth = false;
  bool no_resolve_image = false;
};

Result<model::v1::Service> send_update(Context& context, Client& agent,
                                       control::v1::UpdateServiceRequest request) {
  SKEP_TRY_ASSIGN(auto answer, agent.call<control::v1::methods::UpdateService>(kCore, request));
  for (const std::string& warning : answer.warnings()) {
    context.err << "Warning: " << warning << '\n';
  }
  return answer.service();
}

Result<int> roll_back(Context& context, const std::string& reference, const WaitOptions& wait) {
  SKEP_TRY_ASSIGN(Client * agent, context.agent());
  SKEP_TRY_ASSIGN(const model::v1::Service service, get_service(*agent, reference));
  if (!service.has_previous_spec()) {
    return Error{
        Code::kFailedPrecondition,
        fmt::format(
            "service '{}' has no previous specification to go back to: it was never updated",
            reference)};
  }
  control::v1::UpdateServiceRequest request;
  request.set_ref(service.id());
  request.set_version(service.meta().version());
  request.set_rollback(true);
  SKEP_TRY_ASSIGN(const auto changed, send_update(context, *agent, std::move(request)));
  context.out << reference << '\n' << std::flush;
  return wait_for_service(context, *agent, changed, wait, true);
}

Result<int> update(Context& context, const UpdateOptions& options, const std::string& reference) {
  if (options.rollback) {
    if (!options.edits.empty()) {
      return Error{Code::kInvalidArgument,
                   "--rollback goes alone: other flags change what the old specification says",
                   "USAGE"};
    }
    return roll_back(context, reference, options.wait);
  }
  SKEP_TRY_ASSIGN(Client * agent, context.agent());
  SKEP_TRY_ASSIGN(const model::v1::Service service, get_service(*agent, reference));
  SKEP_TRY_ASSIGN(model::v1::ServiceSpec spec,
                  options.edits.update(service.spec(), flag_world(context)));
  if (options.with_registry_auth) {
    SKEP_TRY_ASSIGN(*spec.mutable_task()->mutable_container()->mutable_registry_auth(),
                    registry_auth_for(context, spec.task().container().image()));
  }
  SKEP_TRY(model::validate_service_spec(spec));
  control::v1::UpdateServiceRequest request;
  request.set_ref(service.id());
  request.set_version(service.meta().version());
  *request.mutable_spec() = std::move(spec);
  SKEP_TRY_ASSIGN(const auto changed, send_update(context, *agent, std::move(request)));
  context.out << reference << '\n' << std::flush;
  return wait_for_service(context, *agent, changed, options.wait);
}

struct Scale {
  std::string reference;
  std::uint64_t replicas = 0;
};

Result<model::v1::Service> scale_one(Context& context, Client& agent, const Scale& scale) {
  SKEP_TRY_ASSIGN(const model::v1::Service service, get_service(agent, scale.reference));
  control::v1::UpdateServiceRequest request;
  request.set_ref(service.id());
  request.set_version(service.meta().version());
  *request.mutable_spec() = service.spec();
  if (service.spec().has_replicated()) {
    request.mutable_spec()->mutable_replicated()->set_replicas(scale.replicas);
  } else if (service.spec().has_replicated_job()) {
    request.mutable_spec()->mutable_replicated_job()->set_total_completions(scale.replicas);
  } else {
    return Error{Code::kInvalidArgument,
                 fmt::format("service '{}' is {}: only replicated services can be scaled",
                             scale.reference, service_mode_name(service.spec()))};
  }
  SKEP_TRY_ASSIGN(auto changed, send_update(context, agent, std::move(request)));
  context.out << fmt::format("{} scaled to {}\n", scale.reference, scale.replicas) << std::flush;
  return changed;
}

Result<int> scale(Context& context, const WaitOptions& wait,
                  const std::vector<std::string>& arguments) {
  std::vector<Scale> scales;
  for (const std::string& argument : arguments) {
    const std::size_t equals = argument.rfind('=');
    auto replicas = parse_count(equals == std::string::npos ? "" : argument.substr(equals + 1));
    if (equals == std::string::npos || equals == 0 || !replicas) {
      return Error{Code::kInvalidArgument,
                   fmt::format("'{}' is not SERVICE=REPLICAS, as in web=3", argument), "USAGE"};
    }
    scales.push_back({argument.substr(0, equals), *replicas});
  }
  SKEP_TRY_ASSIGN(Client * agent, context.agent());
  std::vector<model::v1::Service> changed;
  std::vector<std::string> references;
  std::map<std::string, const Scale*> by_reference;
  for (const Scale& one : scales) {
    references.push_back(one.reference);
    if (!by_reference.emplace(one.reference, &one).second) {
      return Error{Code::kInvalidArgument,
                   fmt::format("'{}' is named twice: give each service one number", one.reference), "USAGE"};
    }
  }
  int exit_code =
      for_each_reference(context, references, [&](const std::string& reference) -> Status {
        SKEP_TRY_ASSIGN(auto service, scale_one(context, *agent, *by_reference[reference]));
        changed.push_back(std::move(service));
        return ok();
      });
  for (const model::v1::Service& service : changed) {
    SKEP_TRY_ASSIGN(const int waited, wait_for_service(context, *agent, service, wait));
    exit_code = exit_code != 0 ? exit_code : waited;
  }
  return exit_code;
}

void add_wait_flags(Command& command, WaitOptions& wait) {
  command.toggle("--detach,-d", wait.detach, "Do not wait until the tasks run");
  command.toggle("--quiet,-q", wait.quiet, "Wait without telling the progress");
}

}  // namespace

void add_service_update(Command& service) {
  auto options = std::make_shared<UpdateOptions>();
  auto& command = service.add("update", "Change a service");
  command.arguments("[OPTIONS] SERVICE", 1, 1).completes("service");
  options->edits.add_flags(command, FlagUse::kUpdate);
  add_wait_flags(command, options->wait);
  command.toggle("--rollback", options->rollback, "Go back to the previous specification");
  command.toggle("--with-registry-auth", options->with_registry_auth,
                 "Give the nodes the registry credentials of 'agentctl login'");
  command.toggle("--no-resolve-image", options->no_resolve_image,
                 "Accepted for scripts: images are resolved by the nodes");
  command.run([options](Context& context, const auto& arguments) {
    return update(context, *options, arguments.front());
  });

  auto wait = std::make_shared<WaitOptions>();
  auto& scale_command = service.add("scale", "Change the number of tasks of services");
  scale_command.arguments("SERVICE=REPLICAS [SERVICE=REPLICAS...]", 1).completes("service");
  add_wait_flags(scale_command, *wait);
  scale_command.run(
      [wait](Context& context, const auto& arguments) { return scale(context, *wait, arguments); });

  auto back = std::make_shared<WaitOptions>();
  auto& rollback = service.add("rollback", "Go back to a service's previous specification");
  rollback.arguments("[OPTIONS] SERVICE", 1, 1).completes("service");
  add_wait_flags(rollback, *back);
  rollback.run([back](Context& context, const auto& arguments) {
    return roll_back(context, arguments.front(), *back);
  });
}

}  // namespace skep::ctl
