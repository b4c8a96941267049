#include "plugins/runtime/oci/container/cgroups.h"

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <set>
#include <sstream>

#include "skep/posix_env.h"

namespace skep::oci {
namespace {

namespace fs = std::filesystem;

std::string read_text(const std::string& path) {
  return PosixDisk().read_file(path).value_or(std::string());
}

std::uint64_t number(const std::string& text) {
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

/// The number after "key " at the beginning of a line.
std::uint64_t keyed(const std::string& text, const std::string& key) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with(key + " ")) {
      return number(line.substr(key.size() + 1));
    }
  }
  return 0;
}

/// `directory` and all below, deepest first.
std::vector<std::string> tree(const std::string& directory) {
  std::vector<std::string> found;
  std::error_code error;
  for (fs::recursive_directory_iterator it(directory, error), end; !error && it != end;
       it.increment(error)) {
    if (it->is_directory(error)) {
      found.push_back(it->path().string());
    }
  }
  std::reverse(found.begin(), found.end());
  found.push_back(directory);
  return found;
}

}  // namespace

Cgroups::Cgroups(const std::string& mounts) {
  std::istringstream lines(mounts);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    std::string source;
    std::string point;
    std::string type;
    std::string options;
    fields >> source >> point >> type >> options;
    if (type == "cgroup2") {
      unified_mount_ = point;
      hierarchies_.push_back({point, {}});
    } else if (type == "cgroup") {
      std::vector<std::string> names;
      std::istringstream words(options);
      for (std::string word; std::getline(words, word, ',');) {
        names.push_back(word);
      }
      hierarchies_.push_back({point, std::move(names)});
    }
  }
  unified_only_ = hierarchies_.size() == 1 && !unified_mount_.empty();
}

std::string Cgroups::controller(const std::string& name) const {
  for (const Hierarchy& hierarchy : hierarchies_) {
    if (std::find(hierarchy.controllers.begin(), hierarchy.controllers.end(), name) !=
        hierarchy.controllers.end()) {
      return hierarchy.mount;
    }
  }
  return unified_only_ ? unified_mount_ : std::string();
}

bool Cgroups::swap_accounting() const {
  if (unified_only_) {
    return true;  // the OCI runtime ignores it where the kernel has none
  }
  return ::access((controller("memory") + "/memory.memsw.limit_in_bytes").c_str(), F_OK) == 0;
}

std::uint64_t Cgroups::oom_kills(const std::string& path) const {
  const std::string memory = controller("memory") + path;
  return keyed(read_text(memory + (unified_only_ ? "/memory.events" : "/memory.oom_control")),
               "oom_kill");
}

Result<runtime::v1::StatsResponse> Cgroups::stats(const std::string& path) const {
  const std::string memory = controller("memory") + path;
  const std::string pids = controller("pids") + path;
  if (::access(memory.c_str(), F_OK) != 0) {
    return Error{Code::kNotFound, "the container does not run: it has no cgroup"};
  }
  constexpr std::uint64_t kUnlimited = 1ULL << 60;
  runtime::v1::StatsResponse out;
  std::uint64_t limit = 0;
  std::uint64_t reclaimable = 0;
  if (unified_only_) {
    out.set_cpu_usage_ns(keyed(read_text(unified_mount_ + path + "/cpu.stat"), "usage_usec") * 1000);
    out.set_memory_bytes(number(read_text(memory + "/memory.current")));
    reclaimable = keyed(read_text(memory + "/memory.stat"), "inactive_file");
    limit = number(read_text(memory + "/memory.max"));
  } else {
    out.set_cpu_usage_ns(number(read_text(controller("cpuacct") + path + "/cpuacct.usage")));
    out.set_memory_bytes(number(read_text(memory + "/memory.usage_in_bytes")));
    reclaimable = keyed(read_text(memory + "/memory.stat"), "total_inactive_file");
    limit = number(read_text(memory + "/memory.limit_in_bytes"));
  }
  out.set_memory_bytes(out.memory_bytes() - std::min(out.memory_bytes(), reclaimable));
  out.set_memory_limit_bytes(limit >= kUnlimited ? 0 : limit);
  out.set_pids(number(read_text(pids + "/pids.current")));
  return out;
}

std::vector<int> Cgroups::processes(const std::string& path) const {
  std::set<int> pids;
  for (const Hierarchy& hierarchy : hierarchies_) {
    for (const std::string& directory : tree(hierarchy.mount + path)) {
      std::istringstream lines(read_text(directory + "/cgroup.procs"));
      for (int pid = 0; lines >> pid;) {
        pids.insert(pid);
      }
    }
  }
  pids.erase(0);  // outside our pid namespace
  return {pids.begin(), pids.end()};
}

void Cgroups::kill_all(const std::string& path) const {
  constexpr int kRounds = 100;
  for (int round = 0; round < kRounds; ++round) {
    const std::vector<int> pids = processes(path);
    if (pids.empty()) {
      return;
    }
    for (const int pid : pids) {
      ::kill(pid, SIGKILL);
    }
    ::poll(nullptr, 0, 10);
  }
}

Status Cgroups::remove(const std::string& path) const {
  SKEP_ASSERT(path.starts_with("/skep-"), "only our own cgroups are removed");
  for (const Hierarchy& hierarchy : hierarchies_) {
    const std::string top = hierarchy.mount + path;
    if (::access(top.c_str(), F_OK) != 0) {
      continue;
    }
    for (const std::string& directory : tree(top)) {
      if (::rmdir(directory.c_str()) != 0 && errno != ENOENT) {
        const int error = errno;
        return Error{error == EBUSY ? Code::kFailedPrecondition : Code::kInternal,
                     errno_error(error, directory + ": remove cgroup").message};
      }
    }
  }
  return ok();
}

void Cgroups::remove_empty(const std::string& path) const {
  for (const Hierarchy& hierarchy : hierarchies_) {
    std::string part = path;
    // The kernel refuses a group that is in use; then its parents are, too.
    while (!part.empty() && (::rmdir((hierarchy.mount + part).c_str()) == 0 || errno == ENOENT)) {
      part.resize(part.rfind('/'));
    }
  }
}

std::vector<std::string> Cgroups::children(const std::string& path) const {
  std::set<std::string> names;
  for (const Hierarchy& hierarchy : hierarchies_) {
    std::error_code error;
    for (fs::directory_iterator it(hierarchy.mount + path, error), end; !error && it != end;
         it.increment(error)) {
      if (it->is_directory(error)) {
        names.insert(it->path().filename().string());
      }
    }
  }
  return {names.begin(), names.end()};
}

bool Cgroups::holds(const std::string& proc_cgroup, const std::string& path) {
  std::istringstream lines(proc_cgroup);
  for (std::string line; std::getline(lines, line);) {
    const auto colon = line.find(':', line.find(':') + 1);
    const std::string own = colon == std::string::npos ? std::string() : line.substr(colon + 1);
    if (own == path || own.starts_with(path + "/")) {
      return true;
    }
  }
  return false;
}

}  // namespace skep::oci
