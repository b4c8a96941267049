#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <ostream>

#include "core/agentctl/command.h"
#include "core/agentctl/context.h"
#include "core/agentctl/nouns/log_flags.h"
#include "core/agentctl/nouns/nouns.h"
#include "core/agentctl/nouns/service.h"
#include "core/agentctl/text.h"
#include "skep/control.methods.h"
#include "skep/pages.h"

namespace skep::ctl {
namespace {

constexpr std::size_t kHeldMax = 10'000;  // lines that wait for the name of their task

struct LogsOptions {
  LogFlags flags;
  bool details = false;
  bool raw = false;
  bool no_trunc = false;
  bool no_task_ids = false;
  bool no_resolve = false;
};

/// Prints lines with "web.1.TASKID@node    | " in front. Lines of a task that is not known yet wait
/// until the managers named it.
class LogPrinter {
 public:
  LogPrinter(Context& context, Client& agent, const LogsOptions& options, std::string service_id)
      : context_(context), agent_(agent), options_(options), service_id_(std::move(service_id)) {}

  Status prepare() {
    SKEP_TRY_ASSIGN(nodes_, node_names(agent_, !options_.no_resolve && !options_.raw));
    SKEP_TRY_ASSIGN(const auto answer,
                    agent_.list<control::v1::methods::ListTasks>(kCore, request()));
    learn(answer);
    return ok();
  }

  void on_line(const control::v1::ServiceLogLine& line) {
    if (options_.raw || (names_.contains(line.task_id()) && held_.empty())) {
      print(line);
      return;
    }
    held_.push_back(line);
    if (held_.size() > kHeldMax) {
      print_held();  // better a line with an id than one lost
    } else if (!asking_) {
      ask();
    }
  }

  void print_held() {
    for (const auto& line : held_) {
      print(line);
    }
    held_.clear();
  }

 private:
  control::v1::ListTasksRequest request() const {
    control::v1::ListTasksRequest request;
    if (!service_id_.empty()) {
      auto& filter = *request.add_filters();
      filter.set_key("service");
      filter.set_value(service_id_);
    }
    return request;
  }

  void ask() {
    asking_ = true;
    rpc::call_pages<control::v1::methods::ListTasks>(
        agent_.connection().caller(), kCore, request(), {.deadline = kCallDeadline},
        [this](Result<control::v1::ListTasksResponse> answer) {
          asking_ = false;
          if (answer) {
            learn(*answer);
          }
          print_held();
        });
  }

  void learn(const control::v1::ListTasksResponse& answer) {
    for (const auto& task : answer.tasks()) {
      const std::string slot = task.slot() != 0 ? std::to_string(task.slot()) : task.node_id();
      std::string name = fmt::format(
          "{}.{}", task.service_name().empty() ? task.service_id() : task.service_name(), slot);
      if (!options_.no_task_ids) {
        name += "." + shown_id(task.id(), options_.no_trunc);
      }
      names_[task.id()] = {name, slot.size()};
      slot_width_ = std::max(slot_width_, slot.size());
    }
  }

  std::string prefix(const control::v1::ServiceLogLine& line) const {
    const auto known = names_.find(line.task_id());
    const std::string name =
        known != names_.end() ? known->second.first : shown_id(line.task_id(), options_.no_trunc);
    const std::size_t padding =
        known != names_.end() ? slot_width_ - std::min(slot_width_, known->second.second) : 0;
    const auto node = nodes_.find(line.node_id());
    return fmt::format("{}@{}{}    | ", name, node != nodes_.end() ? node->second : line.node_id(),
                       std::string(padding, ' '));
  }

  void print(const control::v1::ServiceLogLine& line) {
    std::ostream& out = line.stream() == 2 ? context_.err : context_.out;
    if (options_.flags.timestamps) {
      out << print_time(line.timestamp()) << ' ';
    }
    out << (options_.raw ? "" : prefix(line)) << line.data() << '\n' << std::flush;
  }

  Context& context_;
  Client& agent_;
  const LogsOptions& options_;
  std::string service_id_;
  std::map<std::string, std::string> nodes_;
  std::map<std::string, std::pair<std::string, std::size_t>>
      names_;  // by task id: name, width of its slot
  std::size_t slot_width_ = 0;
  std::deque<control::v1::ServiceLogLine> held_;
  bool asking_ = false;
};

// A service, or one task by its id.
Result<std::string> service_of(Client& agent, const std::string& reference) {
  auto service = get_service(agent, reference);
  if (service) {
    return service->id();
  }
  if (service.error().code != Code::kNotFound) {
    return std::move(service).error();
  }
  control::v1::GetTaskRequest request;
  request.set_ref(reference);
  auto task = agent.call<control::v1::methods::GetTask>(kCore, request);
  if (!task && task.error().code == Code::kNotFound) {
    return Error{Code::kNotFound,
                 fmt::format("no such service or task: '{}'; 'agentctl service ls' lists services, 'agentctl service ps "
                             "SERVICE' their tasks",
                             reference)};
  }
  SKEP_TRY_ASSIGN(const auto found, std::move(task));
  return found.task().service_id();
}

Result<int> logs(Context& context, const LogsOptions& options, const std::string& reference) {
  control::v1::ServiceLogsRequest request;
  request.set_ref(reference);
  request.set_details(options.details);
  SKEP_TRY(fill_log_request(context, options.flags, request));
  SKEP_TRY_ASSIGN(Client * agent, context.agent());
  SKEP_TRY_ASSIGN(std::string service_id, service_of(*agent, reference));
  LogPrinter printer(context, *agent, options, std::move(service_id));
  SKEP_TRY(printer.prepare());
  auto status = agent->stream<control::v1::methods::ServiceLogs>(
      kCore, request,
      [&printer](const control::v1::ServiceLogLine& line) { printer.on_line(line); });
  printer.print_held();
  SKEP_TRY(std::move(status));
  return 0;
}

}  // namespace

void add_service_logs(Command& service) {
  auto options = std::make_shared<LogsOptions>();
  auto& verb = service.add("logs", "Print what the tasks of a service wrote");
  verb.arguments("[OPTIONS] SERVICE|TASK", 1, 1).completes("service");
  add_log_flags(verb, options->flags, "Lines from the end of each task (default all)");
  verb.toggle("--details", options->details, "Ask for the attributes of the lines too")
      .toggle("--raw", options->raw, "Print lines as they were written")
      .toggle("--no-trunc", options->no_trunc, "Do not cut ids")
      .toggle("--no-task-ids", options->no_task_ids, "Leave task ids out")
      .toggle("--no-resolve", options->no_resolve, "Print node ids instead of names")
      .run([options](Context& context, const auto& arguments) {
        return logs(context, *options, arguments.front());
      });
}

}  // namespace skep::ctl
