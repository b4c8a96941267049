#include "core/node/record.h"

#include <openssl/evp.h>

#include <array>

#include "core/base/hex.h"
#include "core/model/validate_task.h"

namespace skep::node {
namespace {

std::string base64(const std::string& bytes) {
  std::string text(4 * ((bytes.size() + 2) / 3) + 1, '\0');
  const int size = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()),
                                   reinterpret_cast<const unsigned char*>(bytes.data()),
                                   static_cast<int>(bytes.size()));
  text.resize(static_cast<std::size_t>(size));
  return text;
}

Result<std::string> from_base64(const std::string& text) {
  std::string bytes(text.size() / 4 * 3 + 1, '\0');
  const int size = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(bytes.data()),
                                   reinterpret_cast<const unsigned char*>(text.data()),
                                   static_cast<int>(text.size()));
  if (size < 0) {
    return Error{Code::kDataLoss, "label '" + std::string(kRecordLabel) + "' is not base64"};
  }
  std::size_t padding = 0;
  while (padding < 2 && padding < text.size() && text[text.size() - 1 - padding] == '=') {
    ++padding;
  }
  bytes.resize(static_cast<std::size_t>(size) - padding);
  return bytes;
}

/// What adoption without node.db needs: identity, how to stop, check and release; no environment,
/// command or credential.
v1::TaskRecord label_record(const v1::TaskRecord& record) {
  v1::TaskRecord copy = record;
  auto& task = *copy.mutable_task();
  const auto grace = task.spec().container().stop_grace();
  const auto image = task.spec().container().image();
  task.clear_meta();
  task.clear_status();
  task.clear_service_labels();
  task.clear_spec();
  task.mutable_spec()->mutable_container()->set_stop_grace(grace);
  task.mutable_spec()->mutable_container()->set_image(image);
  const auto ports = copy.status().ports();
  copy.clear_status();
  *copy.mutable_status()->mutable_ports() = ports;
  for (auto& use : *copy.mutable_volumes()) {
    use.clear_mount();
  }
  return copy;
}

}  // namespace

std::string task_name(const model::v1::Task& task) {
  const std::string place = task.slot() == 0 ? task.node_id() : std::to_string(task.slot());
  return task.service_name() + "." + place + "." + task.id();
}

std::string container_id_for(const std::string& installation_id, const std::string& task_id) {
  const std::string input = "skep container " + installation_id + "/" + task_id;
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  const int done = EVP_Digest(input.data(), input.size(), digest.data(), &size, EVP_sha256(), nullptr);
  SKEP_ASSERT(done == 1 && size == 32, "SHA-256 is always there");
  return base::hex({reinterpret_cast<const char*>(digest.data()), size});
}

v1::TaskRecord make_record(const model::v1::Task& task, const NodeConfig& config, WallTime now) {
  v1::TaskRecord record;
  *record.mutable_task() = task;
  record.mutable_task()->clear_status();
  record.set_container_id(container_id_for(config.installation_id, task.id()));
  record.set_name(task_name(task));
  record.set_runtime(task.spec().runtime().empty() ? config.default_runtime : task.spec().runtime());
  auto& status = *record.mutable_status();
  if (task.status().state() >= model::v1::TASK_STATE_ACCEPTED) {
    status = task.status();  // managers know more than this node remembers: states never go back
    return record;
  }
  status.set_timestamp(now);
  status.set_state(model::v1::TASK_STATE_ACCEPTED);
  status.set_message("accepted");
  return record;
}

v1::TaskRecord without_credentials(const v1::TaskRecord& record) {
  v1::TaskRecord copy = record;
  auto& container = *copy.mutable_task()->mutable_spec()->mutable_container();
  if (!container.registry_auth().empty()) {
    container.clear_registry_auth();
    copy.set_credentials_missing(true);
  }
  return copy;
}

std::map<std::string, std::string> container_labels(const v1::TaskRecord& record,
                                                    const NodeConfig& config) {
  const auto& task = record.task();
  std::map<std::string, std::string> labels(task.spec().container().labels().begin(),
                                            task.spec().container().labels().end());
  labels["com.docker.swarm.node.id"] = config.node_id;
  labels["com.docker.swarm.service.id"] = task.service_id();
  labels["com.docker.swarm.service.name"] = task.service_name();
  labels["com.docker.swarm.task"] = "";
  labels["com.docker.swarm.task.id"] = task.id();
  labels["com.docker.swarm.task.name"] = record.name();
  labels[kInstallationLabel] = config.installation_id;
  labels[kRecordLabel] = base64(model::deterministic_bytes(label_record(record)));
  return labels;
}

Result<v1::TaskRecord> record_from_container(const runtime::v1::ContainerInfo& container,
                                             const NodeConfig& config) {
  const auto installation = container.labels().find(kInstallationLabel);
  const auto label = container.labels().find(kRecordLabel);
  if (installation == container.labels().end() || label == container.labels().end() ||
      installation->second != config.installation_id) {
    return Error{Code::kNotFound, "container '" + container.container_id() + "' is not a task's"};
  }
  SKEP_TRY_ASSIGN(const std::string bytes, from_base64(label->second));
  v1::TaskRecord record;
  if (!record.ParseFromString(bytes) || record.task().id().empty() ||
      record.container_id() != container.container_id()) {
    return Error{Code::kDataLoss, "label '" + std::string(kRecordLabel) + "' of container '" +
                                      container.container_id() + "' is damaged"};
  }
  record.set_adopted(true);
  return record;
}

void merge_facts(v1::TaskRecord& record, const v1::TaskRecord& from_label) {
  if (record.planned()) {
    return;  // the label is written from a planned record: this one knows at least as much
  }
  *record.mutable_volumes() = from_label.volumes();
  *record.mutable_endpoints() = from_label.endpoints();
  *record.mutable_health_check() = from_label.health_check();
  record.set_image_id(from_label.image_id());
  record.set_hostname(from_label.hostname());
  record.set_stop_signal(from_label.stop_signal());
  record.set_needs_sandbox(from_label.needs_sandbox());
  record.set_sandbox(from_label.sandbox());
  record.set_sandbox_path(from_label.sandbox_path());
  record.set_files(from_label.files());
  record.set_planned(true);
}

}  // namespace skep::node
