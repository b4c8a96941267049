#include "core/node/posix_facts.h"

#include <sys/utsname.h>
#include <unistd.h>

namespace skep::node {
namespace {

constexpr std::int64_t kNanoPerCpu = 1'000'000'000;

utsname system_names() {
  utsname names{};
  ::uname(&names);  // fails only for a bad pointer
  return names;
}

}  // namespace

std::string PosixNodeFacts::hostname() { return system_names().nodename; }

model::v1::Platform PosixNodeFacts::platform() {
  model::v1::Platform platform;
  platform.set_os("linux");
  platform.set_architecture(system_names().machine);
  return platform;
}

model::v1::Resources PosixNodeFacts::resources() {
  model::v1::Resources resources;
  const auto cpus = static_cast<std::int64_t>(::sysconf(_SC_NPROCESSORS_ONLN));
  resources.set_nano_cpus((cpus > 0 ? cpus : 1) * kNanoPerCpu);
  resources.set_memory_bytes(static_cast<std::int64_t>(::sysconf(_SC_PHYS_PAGES)) *
                             static_cast<std::int64_t>(::sysconf(_SC_PAGESIZE)));
  return resources;
}

}  // namespace skep::node
