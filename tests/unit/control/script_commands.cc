// The commands that make and change objects.

#include <stdexcept>

#include "core/control/orchestrator/update.h"
#include "core/model/names.h"
#include "core/model/task_state.h"
#include "core/model/task_status.h"
#include "core/model/units.h"
#include "core/model/validate.h"
#include "script_world.h"

namespace skep::control::testing {

namespace {

std::pair<std::string, std::string> split(const std::string& word) {
  const auto at = word.find('=');
  return at == std::string::npos ? std::pair(word, std::string())
                                 : std::pair(word.substr(0, at), word.substr(at + 1));
}

template <class T>
T must(Result<T> result) {
  if (!result) {
    throw std::runtime_error(result.error().message);
  }
  return *std::move(result);
}

std::int64_t duration_ns(const std::string& text) {
  return must(model::parse_duration(text)).count();
}

/// As the command line: one at a time unless said otherwise.
pb::UpdateConfig one_at_a_time() {
  pb::UpdateConfig config;
  config.set_parallelism(1);
  return config;
}

bool apply_update_word(pb::UpdateConfig& config, const std::string& key, const std::string& value) {
  if (key == "parallelism") {
    config.set_parallelism(std::stoull(value));
  } else if (key == "delay") {
    config.set_delay(duration_ns(value));
  } else if (key == "monitor") {
    config.set_monitor(duration_ns(value));
  } else if (key == "ratio") {
    config.set_max_failure_ratio(std::stof(value));
  } else if (key == "action") {
    config.set_failure_action(value == "rollback"   ? pb::UpdateConfig::ROLLBACK
                              : value == "continue" ? pb::UpdateConfig::CONTINUE
                                                    : pb::UpdateConfig::PAUSE);
  } else if (key == "order") {
    config.set_order(value == "start-first" ? pb::UpdateConfig::START_FIRST
                                            : pb::UpdateConfig::STOP_FIRST);
  } else {
    return false;
  }
  return true;
}

bool apply_restart_word(pb::RestartPolicy& policy, const std::string& key,
                        const std::string& value) {
  if (key == "restart") {
    policy.set_condition(value == "none"         ? pb::RestartPolicy::NONE
                         : value == "on-failure" ? pb::RestartPolicy::ON_FAILURE
                                                 : pb::RestartPolicy::ANY);
  } else if (key == "restart-delay") {
    policy.set_delay(duration_ns(value));
  } else if (key == "attempts") {
    policy.set_attempts_max(std::stoull(value));
  } else if (key == "window") {
    policy.set_window(duration_ns(value));
  } else {
    return false;
  }
  return true;
}

void add_port(pb::ServiceSpec& spec, std::string text) {
  pb::PublishedPort& port = *spec.mutable_endpoint()->add_ports();
  if (text.ends_with("/host")) {
    port.set_mode(pb::PublishedPort::HOST);
    text.resize(text.size() - 5);
  }
  const auto colon = text.find(':');
  if (colon != std::string::npos) {
    port.set_published_port(static_cast<std::uint32_t>(std::stoul(text)));
    text.erase(0, colon + 1);
  }
  port.set_target_port(static_cast<std::uint32_t>(std::stoul(text)));
}

bool apply_placement_word(pb::TaskSpec& task, const std::string& key, const std::string& value) {
  if (key == "constraint") {
    task.mutable_placement()->add_constraints(value);
  } else if (key == "spread") {
    task.mutable_placement()->add_preferences()->set_spread_by(value);
  } else if (key == "max-per-node") {
    task.mutable_placement()->set_max_replicas_per_node(std::stoull(value));
  } else if (key == "arch") {
    task.mutable_placement()->add_platforms()->set_architecture(value);
  } else if (key == "cpu") {
    task.mutable_resources()->mutable_reservations()->set_nano_cpus(must(model::parse_cpus(value)));
  } else if (key == "memory") {
    task.mutable_resources()->mutable_reservations()->set_memory_bytes(
        must(model::parse_bytes(value)));
  } else {
    return false;
  }
  return true;
}

}  // namespace

void ScriptWorld::apply_words(pb::ServiceSpec& spec, const Words& words, std::size_t from) {
  pb::TaskSpec& task = *spec.mutable_task();
  for (std::size_t i = from; i < words.size(); ++i) {
    const auto [key, value] = split(words[i]);
    if (key == "replicas") {
      spec.mutable_replicated()->set_replicas(std::stoull(value));
    } else if (key == "mode" && value == "global") {
      spec.mutable_global();
    } else if (key == "mode" && value == "global-job") {
      spec.mutable_global_job();
    } else if (key == "completions") {
      spec.mutable_replicated_job()->set_total_completions(std::stoull(value));
    } else if (key == "concurrent") {
      spec.mutable_replicated_job()->set_max_concurrent(std::stoull(value));
    } else if (key == "image") {
      task.mutable_container()->set_image(value);
    } else if (key == "grace") {
      task.mutable_container()->set_stop_grace(duration_ns(value));
    } else if (key == "force") {
      task.set_force_update(task.force_update() + 1);
    } else if (key == "publish") {
      add_port(spec, value);
    } else if (key == "no-constraints") {
      task.mutable_placement()->clear_constraints();
    } else if (key.starts_with("rollback-")) {
      pb::UpdateConfig config = spec.has_rollback() ? spec.rollback() : one_at_a_time();
      apply_update_word(config, key.substr(9), value);
      *spec.mutable_rollback() = config;
    } else if (!apply_placement_word(task, key, value) &&
               !apply_restart_word(*task.mutable_restart(), key, value)) {
      pb::UpdateConfig config = spec.has_update() ? spec.update() : one_at_a_time();
      if (!apply_update_word(config, key, value)) {
        throw std::runtime_error("unknown word '" + words[i] + "'");
      }
      *spec.mutable_update() = config;
    }
  }
}

void ScriptWorld::command_node(const Words& words) {
  pb::Node node;
  if (const auto known = store_.view().get<pb::Node>(words.at(1))) {
    node = *known;
  } else {
    node.set_id(words.at(1));
    node.mutable_status()->set_state(pb::NODE_STATE_READY);
    auto& description = *node.mutable_description();
    description.set_hostname(words.at(1));
    description.mutable_platform()->set_os("linux");
    description.mutable_platform()->set_architecture("x86_64");
    description.mutable_resources()->set_nano_cpus(4'000'000'000);
    description.mutable_resources()->set_memory_bytes(std::int64_t{8} << 30);
    description.mutable_engine()->add_drivers("runtime/oci");
  }
  for (std::size_t i = 2; i < words.size(); ++i) {
    const auto [key, value] = split(words[i]);
    if (key == "state") {
      node.mutable_status()->set_state(value == "down" ? pb::NODE_STATE_DOWN
                                                       : pb::NODE_STATE_READY);
    } else if (key == "availability") {
      node.mutable_spec()->set_availability(value == "drain"   ? pb::AVAILABILITY_DRAIN
                                            : value == "pause" ? pb::AVAILABILITY_PAUSE
                                                               : pb::AVAILABILITY_ACTIVE);
    } else if (key.starts_with("label.")) {
      (*node.mutable_spec()->mutable_labels())[key.substr(6)] = value;
    } else if (key == "cpus") {
      node.mutable_description()->mutable_resources()->set_nano_cpus(
          must(model::parse_cpus(value)));
    } else if (key == "memory") {
      node.mutable_description()->mutable_resources()->set_memory_bytes(
          must(model::parse_bytes(value)));
    } else if (key == "arch") {
      node.mutable_description()->mutable_platform()->set_architecture(value);
    } else if (key == "no-drivers") {
      node.mutable_description()->mutable_engine()->clear_drivers();
    } else {
      throw std::runtime_error("unknown word '" + words[i] + "'");
    }
  }
  store::Transaction transaction;
  transaction.put(std::move(node));
  commit(std::move(transaction));
}

void ScriptWorld::command_service(const Words& words) {
  pb::Service service;
  service.set_id("id-" + words.at(1));
  service.mutable_spec()->set_name(words.at(1));
  service.mutable_spec()->mutable_task()->mutable_container()->set_image("v1");
  apply_words(*service.mutable_spec(), words, 2);
  must(model::validate_service_spec(service.spec()));
  store::Transaction transaction;
  transaction.put(std::move(service));
  commit(std::move(transaction));
}

void ScriptWorld::command_update(const Words& words) {
  pb::Service service = find_service(words.at(1));
  pb::ServiceSpec spec = service.spec();
  apply_words(spec, words, 2);
  must(model::validate_service_spec(spec));
  if (model::is_new_version(service.spec(), spec)) {
    service.set_spec_version(service.meta().version());
  }
  *service.mutable_previous_spec() = service.spec();
  *service.mutable_spec() = std::move(spec);
  service.clear_update_status();
  store::Transaction transaction;
  transaction.put(std::move(service));
  commit(std::move(transaction));
}

void ScriptWorld::command_rollback(const Words& words) {
  pb::Service service = must(begin_rollback(find_service(words.at(1)), find_service(words.at(1)).meta().version(),
                                            env_.loop.wall_now(), "manually requested rollback"));
  store::Transaction transaction;
  transaction.put(std::move(service));
  commit(std::move(transaction));
}

void ScriptWorld::command_report(const Words& words, const std::string& line) {
  const auto quote = line.find('"');
  const std::string error =
      quote == std::string::npos ? "" : line.substr(quote + 1, line.rfind('"') - quote - 1);
  store::Transaction transaction;
  for (std::size_t i = 1; i < words.size() && words[i].front() != '"'; ++i) {
    const auto [name, state] = split(words[i]);
    pb::Task task = find_task(name);
    pb::TaskStatus status;
    status.set_state(must(model::parse_task_state(state)));
    status.set_timestamp(env_.loop.wall_now());
    status.set_error(error);
    if (!model::apply_status(task, status)) {
      throw std::runtime_error("a task cannot go back to '" + state + "'");
    }
    transaction.put(std::move(task));
  }
  commit(std::move(transaction));
}

}  // namespace skep::control::testing
