#include <fmt/format.h>

#include <csignal>
#include <ostream>

#include "core/agentctl/context.h"
#include "core/agentctl/nouns/service.h"
#include "core/agentctl/progress/progress.h"
#include "skep/control.methods.h"

namespace skep::ctl {
namespace {

constexpr std::chrono::milliseconds kPollInterval{100};

Result<std::vector<model::v1::Task>> tasks_of(Client& agent, const std::string& service_id) {
  control::v1::ListTasksRequest request;
  auto& filter = *request.add_filters();
  filter.set_key("service");
  filter.set_value(service_id);
  SKEP_TRY_ASSIGN(auto answer, agent.list<control::v1::methods::ListTasks>(kCore, request));
  return std::vector<model::v1::Task>(answer.tasks().begin(), answer.tasks().end());
}

}  // namespace

Result<int> wait_for_service(Context& context, Client& agent, const model::v1::Service& changed,
                             const WaitOptions& options, bool rolling_back) {
  if (options.detach) {
    return 0;
  }
  bool interrupted = false;
  const auto interrupt =
      agent.connection().watch_signal(SIGINT, [&interrupted] { interrupted = true; });
  ProgressPrinter printer(context.terminal.output, context.terminal.columns);
  SKEP_TRY_ASSIGN(model::v1::Service service, get_service(agent, changed.id()));
  ServiceProgress progress(rolling_back, changed.update_status());
  while (!interrupted) {
    SKEP_TRY_ASSIGN(const auto tasks, tasks_of(agent, changed.id()));
    const ProgressView view = progress.update(service, tasks, agent.connection().loop().now());
    if (!options.quiet) {
      context.out << printer.show(view) << std::flush;
    }
    if (view.outcome) {
      SKEP_TRY(*view.outcome);
      return 0;
    }
    agent.wait(kPollInterval, [&interrupted] { return interrupted; });
    if (!interrupted) {
      SKEP_TRY_ASSIGN(service, get_service(agent, changed.id()));
    }
  }
  context.out << fmt::format(
      "\nThe operation goes on in the background.\nUse 'agentctl service ps {}' to see its "
      "progress.\n",
      service.spec().name());
  return 0;
}

}  // namespace skep::ctl
