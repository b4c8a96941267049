#include "plugins/runtime/oci/container/record.h"

#include <boost/json.hpp>

namespace skep::oci {
namespace {

namespace json = boost::json;

/// Reads typed fields; a missing or wrong one leaves the default, so that newer and older agents
/// read each other's records.
class Fields {
 public:
  explicit Fields(const json::object& object) : object_(object) {}

  void text(std::string_view key, std::string& out) const {
    if (const auto* value = object_.if_contains(key); value != nullptr && value->is_string()) {
      out = value->get_string();
    }
  }
  template <class Number>
  void number(std::string_view key, Number& out) const {
    if (const auto* value = object_.if_contains(key); value != nullptr && value->is_int64()) {
      out = static_cast<Number>(value->get_int64());
    }
  }
  void flag(std::string_view key, bool& out) const {
    if (const auto* value = object_.if_contains(key); value != nullptr && value->is_bool()) {
      out = value->get_bool();
    }
  }
  [[nodiscard]] const json::object* child(std::string_view key) const {
    const auto* value = object_.if_contains(key);
    return value == nullptr ? nullptr : value->if_object();
  }
  [[nodiscard]] const json::array* list(std::string_view key) const {
    const auto* value = object_.if_contains(key);
    return value == nullptr ? nullptr : value->if_array();
  }

 private:
  const json::object& object_;
};

}  // namespace

std::string encode_record(const ContainerRecord& record) {
  json::object labels;
  for (const auto& [key, value] : record.labels) {
    labels[key] = value;
  }
  json::array command;
  for (const std::string& word : record.command) {
    command.emplace_back(word);
  }
  const json::object out{{"id", record.id},
                         {"name", record.name},
                         {"labels", std::move(labels)},
                         {"image", record.image},
                         {"imageId", record.image_id},
                         {"runtime", record.runtime},
                         {"command", std::move(command)},
                         {"state", static_cast<int>(record.state)},
                         {"pid", record.pid},
                         {"conmonPid", record.conmon_pid},
                         {"createdAt", record.created_at},
                         {"startedAt", record.started_at},
                         {"finishedAt", record.finished_at},
                         {"exitCode", record.exit_code},
                         {"oomKilled", record.oom_killed},
                         {"stopSignal", record.stop_signal},
                         {"stopGrace", record.stop_grace},
                         {"tty", record.tty},
                         {"openStdin", record.open_stdin},
                         {"logSizeMax", record.log_size_max},
                         {"logFilesMax", static_cast<std::int64_t>(record.log_files_max)}};
  return json::serialize(out);
}

Result<ContainerRecord> decode_record(const std::string& text) {
  boost::system::error_code error;
  const json::value parsed = json::parse(text, error);
  const json::object* object = error ? nullptr : parsed.if_object();
  ContainerRecord record;
  if (object != nullptr) {
    Fields(*object).text("id", record.id);
  }
  if (record.id.empty()) {
    return Error{Code::kDataLoss, "the container record is damaged", "DAMAGED_RECORD"};
  }
  const Fields fields(*object);
  fields.text("name", record.name);
  fields.text("image", record.image);
  fields.text("imageId", record.image_id);
  fields.text("runtime", record.runtime);
  int state = 0;
  fields.number("state", state);
  record.state = runtime::v1::ContainerState_IsValid(state)
                     ? static_cast<runtime::v1::ContainerState>(state)
                     : runtime::v1::CONTAINER_STATE_UNKNOWN;
  fields.number("pid", record.pid);
  fields.number("conmonPid", record.conmon_pid);
  fields.number("createdAt", record.created_at);
  fields.number("startedAt", record.started_at);
  fields.number("finishedAt", record.finished_at);
  fields.number("exitCode", record.exit_code);
  fields.flag("oomKilled", record.oom_killed);
  fields.number("stopSignal", record.stop_signal);
  fields.number("stopGrace", record.stop_grace);
  fields.flag("tty", record.tty);
  fields.flag("openStdin", record.open_stdin);
  fields.number("logSizeMax", record.log_size_max);
  fields.number("logFilesMax", record.log_files_max);
  if (const json::object* labels = fields.child("labels")) {
    for (const auto& [key, value] : *labels) {
      if (value.is_string()) {
        record.labels[key] = value.get_string();
      }
    }
  }
  if (const json::array* command = fields.list("command")) {
    for (const json::value& word : *command) {
      if (word.is_string()) {
        record.command.emplace_back(word.get_string());
      }
    }
  }
  return record;
}

runtime::v1::ExitStatus to_exit(const ContainerRecord& record) {
  runtime::v1::ExitStatus exit;
  exit.set_exit_code(record.exit_code);
  exit.set_oom_killed(record.oom_killed);
  exit.set_finished_at(record.finished_at);
  return exit;
}

runtime::v1::ContainerInfo to_info(const ContainerRecord& record) {
  runtime::v1::ContainerInfo info;
  info.set_container_id(record.id);
  info.set_name(record.name);
  info.mutable_labels()->insert(record.labels.begin(), record.labels.end());
  info.set_image(record.image);
  info.set_image_id(record.image_id);
  info.set_state(record.state);
  info.set_created_at(record.created_at);
  info.set_started_at(record.started_at);
  info.set_runtime(record.runtime);
  info.mutable_command()->Assign(record.command.begin(), record.command.end());
  if (record.state == runtime::v1::CONTAINER_STATE_RUNNING) {
    info.set_pid(record.pid);
  }
  if (record.state == runtime::v1::CONTAINER_STATE_EXITED) {
    *info.mutable_exit() = to_exit(record);
  }
  return info;
}

}  // namespace skep::oci
