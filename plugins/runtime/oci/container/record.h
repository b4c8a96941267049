#pragma once

// What a container is, on disk: one JSON file in its state directory. It says enough to find,
// stop, report and remove the container after a crash of the agent or of the machine.

#include <map>
#include <string>
#include <vector>

#include "skep/result.h"
#include "skep/runtime.pb.h"

namespace skep::oci {

struct ContainerRecord {
  std::string id;
  std::string name;
  std::map<std::string, std::string> labels;
  std::string image;
  std::string image_id;
  std::string runtime;  ///< driver name: "oci", "process"
  std::vector<std::string> command;
  runtime::v1::ContainerState state = runtime::v1::CONTAINER_STATE_CREATED;
  int pid = 0;  ///< of the container's first process, as the node sees it
  int conmon_pid = 0;
  std::int64_t created_at = 0;  ///< wall clock, ns
  std::int64_t started_at = 0;
  std::int64_t finished_at = 0;
  int exit_code = 0;
  bool oom_killed = false;
  int stop_signal = 15;
  std::int64_t stop_grace = 0;  ///< ns; 0 = not given
  bool tty = false;
  bool open_stdin = false;
  std::int64_t log_size_max = 0;
  std::uint32_t log_files_max = 0;
};

std::string encode_record(const ContainerRecord& record);
/// kDataLoss: not a record (a torn write after a power loss, for example).
Result<ContainerRecord> decode_record(const std::string& text);

runtime::v1::ContainerInfo to_info(const ContainerRecord& record);
runtime::v1::ExitStatus to_exit(const ContainerRecord& record);

}  // namespace skep::oci
