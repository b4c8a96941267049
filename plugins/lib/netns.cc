#include "plugins/lib/netns.h"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <cerrno>
#include <thread>

#include "skep/posix_env.h"

namespace skep::lib {

Status in_network_namespace(const std::string& path, const std::function<Status()>& work) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    return errno_error(errno, "sandbox '" + path + "'");
  }
  Status status = ok();
  std::thread([&] {
    if (::setns(fd, CLONE_NEWNET) != 0) {
      // EINVAL: the pin is a plain file, the namespace behind it is gone.
      status = errno == EINVAL
                   ? Status(Error{Code::kNotFound, "sandbox '" + path + "' is gone"})
                   : Status(errno_error(errno, "enter sandbox '" + path + "'"));
      return;
    }
    status = work();
  }).join();
  ::close(fd);
  return status;
}

}  // namespace skep::lib
