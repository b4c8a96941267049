#include <fmt/format.h>

#include <memory>
#include <ostream>

#include "core/agentctl/command.h"
#include "core/agentctl/context.h"
#include "core/agentctl/nouns/nouns.h"
#include "core/agentctl/nouns/service.h"
#include "core/model/names.h"
#include "core/model/validate.h"
#include "skep/control.methods.h"

namespace skep::ctl {
namespace {

constexpr int kNameTries = 5;  // random names that are taken before we give up

struct CreateOptions {
  ServiceEdits edits;
  WaitOptions wait;
  bool with_registry_auth = false;
  bool no_resolve_image = false;
};

// An unnamed service gets a random name; taken ones gain a digit.
Result<control::v1::CreateServiceResponse> create_named(Context& context, Client& agent,
                                                        model::v1::ServiceSpec spec) {
  const bool named = !spec.name().empty();
  for (int attempt = 0;; ++attempt) {
    if (!named) {
      spec.set_name(model::random_name(context.random) +
                    (attempt > 0 ? std::to_string(attempt) : ""));
    }
    SKEP_TRY(model::validate_service_spec(spec));
    control::v1::CreateServiceRequest request;
    *request.mutable_spec() = spec;
    auto answer = agent.call<control::v1::methods::CreateService>(kCore, request);
    if (answer || named || answer.error().code != Code::kAlreadyExists ||
        attempt + 1 == kNameTries) {
      return answer;
    }
  }
}

Result<int> create(Context& context, const CreateOptions& options,
                   const std::vector<std::string>& arguments) {
  SKEP_TRY_ASSIGN(model::v1::ServiceSpec spec,
                  options.edits.create(arguments.front(), {arguments.begin() + 1, arguments.end()},
                                       flag_world(context)));
  if (options.with_registry_auth) {
    SKEP_TRY_ASSIGN(*spec.mutable_task()->mutable_container()->mutable_registry_auth(),
                    registry_auth_for(context, arguments.front()));
  }
  SKEP_TRY_ASSIGN(Client * agent, context.agent());
  SKEP_TRY_ASSIGN(const auto created, create_named(context, *agent, std::move(spec)));
  for (const std::string& warning : created.warnings()) {
    context.err << "Warning: " << warning << '\n';
  }
  context.out << created.service().id() << '\n' << std::flush;
  return wait_for_service(context, *agent, created.service(), options.wait);
}

}  // namespace

void add_service_create(Command& service) {
  auto options = std::make_shared<CreateOptions>();
  auto& command = service.add("create", "Create a service");
  command.arguments("[OPTIONS] IMAGE [COMMAND] [ARG...]", 1)
      .stop_at_first_argument()
      .completes("image");
  options->edits.add_flags(command, FlagUse::kCreate);
  command.toggle("--detach,-d", options->wait.detach, "Do not wait until the tasks run");
  command.toggle("--quiet,-q", options->wait.quiet, "Wait without telling the progress");
  command.toggle("--with-registry-auth", options->with_registry_auth,
                 "Give the nodes the registry credentials of 'agentctl login'");
  command.toggle("--no-resolve-image", options->no_resolve_image,
                 "Accepted for scripts: images are resolved by the nodes");
  command.run([options](Context& context, const auto& arguments) {
    return create(context, *options, arguments);
  });
}

}  // namespace skep::ctl
