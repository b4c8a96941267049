#include "core/node/posix_sandbox.h"

#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>
#include <thread>

#include "skep/log.h"

namespace skep::node {
namespace {

constexpr long kNsfsMagic = 0x6e736673;

struct Sysctl {
  const char* name;
  const char* value;
};
// A new namespace copies most of these from the machine's first one: set what tasks rely on. Some are
// missing or read-only on some kernels, which must not keep a task from starting.
constexpr Sysctl kSysctls[] = {
    {"ipv4/ip_forward", "0"},
    {"ipv4/conf/all/rp_filter", "0"},
    {"ipv4/conf/default/rp_filter", "0"},
    {"ipv4/conf/all/accept_redirects", "0"},
    {"ipv4/conf/default/accept_redirects", "0"},
    {"ipv4/ip_unprivileged_port_start", "0"},
    {"ipv4/ping_group_range", "0 2147483647"},
    {"ipv6/conf/all/accept_dad", "0"},
    {"ipv6/conf/default/accept_dad", "0"},
};

Error system_error(const std::string& what) {
  const int number = errno;
  const Code code = number == EPERM || number == EACCES ? Code::kPermissionDenied
                    : number == ENOSPC || number == ENOMEM || number == EMFILE
                        ? Code::kResourceExhausted
                        : Code::kUnavailable;
  return Error{code, what + ": " + std::strerror(number), "SANDBOX_FAILED"};
}

bool is_namespace(const std::string& path) {
  struct statfs info {};
  return ::statfs(path.c_str(), &info) == 0 && static_cast<long>(info.f_type) == kNsfsMagic;
}

Status raise_loopback() {
  const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) {
    return system_error("socket in the new sandbox");
  }
  struct ifreq request {};
  std::strncpy(request.ifr_name, "lo", IFNAMSIZ - 1);
  auto status = ok();
  if (::ioctl(fd, SIOCGIFFLAGS, &request) != 0) {
    status = system_error("reading the sandbox's loopback");
  } else {
    request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP);
    if (::ioctl(fd, SIOCSIFFLAGS, &request) != 0) {
      status = system_error("raising the sandbox's loopback");
    }
  }
  ::close(fd);
  return status;
}

void set_sysctls() {
  for (const auto& sysctl : kSysctls) {
    const std::string path = std::string("/proc/sys/net/") + sysctl.name;
    const int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
    const std::string_view value = sysctl.value;
    if (fd < 0 || ::write(fd, value.data(), value.size()) < 0) {
      SKEP_DEBUG("sandbox sysctl not set", {"name", sysctl.name}, {"cause", std::strerror(errno)});
    }
    if (fd >= 0) {
      ::close(fd);
    }
  }
}

/// [helper thread] Its namespace becomes a new one, pinned at `path`.
Status become_sandbox(const std::string& path) {
  if (::unshare(CLONE_NEWNET) != 0) {
    return system_error("making a network namespace");
  }
  SKEP_TRY(raise_loopback());
  set_sysctls();
  if (::mount("/proc/thread-self/ns/net", path.c_str(), nullptr, MS_BIND, nullptr) != 0) {
    return system_error("pinning sandbox " + path);
  }
  return ok();
}

Result<std::string> make_sandbox(const std::string& directory, const std::string& id) {
  const std::string path = directory + "/" + id;
  if (is_namespace(path)) {
    return path;
  }
  std::error_code failure;
  std::filesystem::create_directories(directory, failure);
  if (failure) {
    return Error{Code::kUnavailable, directory + ": cannot be made: " + failure.message()};
  }
  const int fd = ::open(path.c_str(), O_RDONLY | O_CREAT | O_CLOEXEC, 0444);
  if (fd < 0) {
    return system_error("making " + path);
  }
  ::close(fd);
  auto status = ok();
  std::thread helper([&] { status = become_sandbox(path); });
  helper.join();
  if (!status) {
    ::unlink(path.c_str());
    return std::move(status).error();
  }
  return path;
}

Status remove_sandbox(const std::string& path) {
  // EINVAL: nothing is mounted there. A crash between two binds may have left several.
  while (is_namespace(path)) {
    if (::umount2(path.c_str(), MNT_DETACH) != 0) {
      return system_error("unpinning sandbox " + path);
    }
  }
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) {
    return system_error("removing " + path);
  }
  return ok();
}

Result<std::vector<std::string>> list_sandboxes(const std::string& directory) {
  std::vector<std::string> ids;
  std::error_code failure;
  std::filesystem::directory_iterator entries(directory, failure);
  if (failure == std::errc::no_such_file_or_directory) {
    return ids;
  }
  for (; !failure && entries != std::filesystem::directory_iterator();
       entries.increment(failure)) {
    ids.push_back(entries->path().filename().string());
  }
  if (failure) {
    return Error{Code::kUnavailable, directory + ": cannot be listed: " + failure.message()};
  }
  return ids;
}

Status check_id(const std::string& id) {
  if (id.empty() || id.front() == '.' || id.find('/') != std::string::npos) {
    return Error{Code::kInvalidArgument, "'" + id + "' cannot name a sandbox"};
  }
  return ok();
}

template <class T>
void run_on_worker(Env& env, std::function<Result<T>()> work,
                   const std::function<void(Result<T>)>& done) {
  auto result = std::make_shared<Result<T>>(Error{Code::kInternal, "no result"});
  auto status = env.workers.run([work = std::move(work), result] { *result = work(); },
                                [result, done] { done(std::move(*result)); });
  if (!status) {
    env.loop.post([done, error = std::move(status).error()] { done(error); });
  }
}

}  // namespace

PosixSandboxMaker::PosixSandboxMaker(Env& env, std::string directory)
    : env_(env), directory_(std::move(directory)) {}

void PosixSandboxMaker::make(const std::string& id,
                             std::function<void(Result<std::string>)> done) {
  run_on_worker<std::string>(
      env_,
      [directory = directory_, id]() -> Result<std::string> {
        SKEP_TRY(check_id(id));
        return make_sandbox(directory, id);
      },
      done);
}

void PosixSandboxMaker::remove(const std::string& id, std::function<void(Status)> done) {
  run_on_worker<Unit>(
      env_,
      [directory = directory_, id]() -> Status {
        SKEP_TRY(check_id(id));
        return remove_sandbox(directory + "/" + id);
      },
      done);
}

void PosixSandboxMaker::list(std::function<void(Result<std::vector<std::string>>)> done) {
  run_on_worker<std::vector<std::string>>(
      env_, [directory = directory_] { return list_sandboxes(directory); }, done);
}

}  // namespace skep::node
