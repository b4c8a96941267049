#include "plugins/volume/local/mounter.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <sys/mount.h>

#include <cerrno>
#include <fstream>
#include <sstream>

#include "skep/posix_env.h"

namespace skep::local {
namespace {

/// mount(2) of NFS takes an address, people write a name: "addr=HOST" becomes "addr=IP".
Result<std::string> resolve_address(const std::string& data) {
  const auto begin = data.rfind("addr=", 0) == 0 ? 0 : data.find(",addr=");
  if (begin == std::string::npos) {
    return data;
  }
  const auto name_begin = data.find('=', begin) + 1;
  const auto name_end = std::min(data.find(',', name_begin), data.size());
  const std::string name = data.substr(name_begin, name_end - name_begin);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int error = ::getaddrinfo(name.c_str(), nullptr, &hints, &found); error != 0) {
    return Error{Code::kUnavailable,
                 "server '" + name + "' cannot be resolved: " + ::gai_strerror(error), "BAD_SERVER"};
  }
  char text[INET6_ADDRSTRLEN] = {};
  ::getnameinfo(found->ai_addr, found->ai_addrlen, text, sizeof(text), nullptr, 0, NI_NUMERICHOST);
  ::freeaddrinfo(found);
  return data.substr(0, name_begin) + text + data.substr(name_end);
}

/// mountinfo writes blanks as \040 and so on.
std::string unescape(const std::string& text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size()) {
      out += static_cast<char>(std::stoi(text.substr(i + 1, 3), nullptr, 8));
      i += 3;
    } else {
      out += text[i];
    }
  }
  return out;
}

}  // namespace

Status KernelMounter::mount(const MountSpec& spec, const std::string& target) {
  SKEP_TRY_ASSIGN(const std::string data, resolve_address(spec.data));
  const bool bind = (spec.flags & MS_BIND) != 0;
  if (::mount(spec.device.c_str(), target.c_str(), bind ? nullptr : spec.type.c_str(), spec.flags,
              data.empty() ? nullptr : data.c_str()) != 0) {
    const int error = errno;
    if (error == ENODEV) {
      return Error{Code::kFailedPrecondition,
                   "this node's kernel has no file system '" + spec.type +
                       "': load its module or choose nodes that have it with a constraint",
                   "NO_FILE_SYSTEM"};
    }
    return errno_error(error, "mount '" + spec.device + "' (" + spec.type + ")");
  }
  // The kernel ignores ro on the first bind: it takes a remount.
  if (bind && (spec.flags & MS_RDONLY) != 0 &&
      ::mount(nullptr, target.c_str(), nullptr, MS_REMOUNT | spec.flags, nullptr) != 0) {
    const int error = errno;
    ::umount2(target.c_str(), MNT_DETACH);
    return errno_error(error, "make the mount of '" + spec.device + "' read-only");
  }
  return ok();
}

Status KernelMounter::unmount(const std::string& target) {
  if (::umount2(target.c_str(), UMOUNT_NOFOLLOW) == 0 || errno == EINVAL || errno == ENOENT) {
    return ok();
  }
  return errno_error(errno, "unmount '" + target + "'");
}

Result<int> KernelMounter::count(const std::string& target) {
  std::ifstream file("/proc/self/mountinfo");
  if (!file) {
    return Error{Code::kInternal, "/proc/self/mountinfo cannot be read: is /proc mounted?"};
  }
  int found = 0;
  std::string line;
  while (std::getline(file, line)) {
    std::istringstream fields(line);
    std::string field;
    for (int i = 0; i < 5; ++i) {
      fields >> field;
    }
    found += unescape(field) == target ? 1 : 0;
  }
  return found;
}

}  // namespace skep::local
