#include "plugins/runtime/oci/container/limits.h"

#include <algorithm>
#include <boost/json.hpp>

namespace skep::oci {
namespace {

namespace json = boost::json;

constexpr std::int64_t kMemoryMin = 6LL << 20;  // Docker's; below, the runtime's init is killed
constexpr std::int64_t kPeriodUs = 100'000;
constexpr std::int64_t kQuotaMinUs = 1'000;  // the kernel refuses less
constexpr std::int64_t kNanoPerCpu = 1'000'000'000;
constexpr std::int64_t kSharesPerCpu = 1'024;
constexpr std::int64_t kSharesMin = 2;
constexpr std::int64_t kSharesMax = 262'144;

Error bad(std::string message) {
  return Error{Code::kInvalidArgument, std::move(message), "BAD_RESOURCES"};
}

Result<json::object> memory(const model::v1::ResourceRequirements& wanted,
                            const MachineLimits& machine) {
  const std::int64_t limit = wanted.limits().memory_bytes();
  const std::int64_t reservation = wanted.reservations().memory_bytes();
  const std::int64_t swap = wanted.memory_swap_bytes();
  json::object out;
  if (limit < 0 || reservation < 0 || swap < -1) {
    return bad("a memory limit or reservation is negative");
  }
  if (limit > 0 && limit < kMemoryMin) {
    return bad("memory limit of " + std::to_string(limit) + " bytes is below the minimum of 6 MiB");
  }
  if (limit > 0 && reservation > limit) {
    return bad("memory reservation is above the memory limit");
  }
  if (reservation > 0) {
    out["reservation"] = reservation;
  }
  if (limit == 0) {
    return out;
  }
  out["limit"] = limit;
  if (!machine.swap_accounting) {
    return out;
  }
  // The runtime's "swap" is memory plus swap. Docker's default is as much swap again.
  if (swap > 0 && swap < limit) {
    return bad("memory-swap (memory plus swap) is below the memory limit");
  }
  out["swap"] = swap == 0 ? limit * 2 : swap;
  return out;
}

Result<json::object> cpu(const model::v1::ResourceRequirements& wanted) {
  const std::int64_t limit = wanted.limits().nano_cpus();
  const std::int64_t reservation = wanted.reservations().nano_cpus();
  json::object out;
  if (limit < 0 || reservation < 0) {
    return bad("a CPU limit or reservation is negative");
  }
  if (limit > 0) {
    out["period"] = kPeriodUs;
    out["quota"] = std::max(kQuotaMinUs, limit / (kNanoPerCpu / kPeriodUs));
  }
  if (reservation > 0) {
    const std::int64_t shares = reservation / (kNanoPerCpu / kSharesPerCpu);
    out["shares"] = std::clamp(shares, kSharesMin, kSharesMax);
  }
  return out;
}

}  // namespace

Result<json::object> cgroup_resources(const model::v1::ResourceRequirements& wanted,
                                      const MachineLimits& machine) {
  json::object out;
  SKEP_TRY_ASSIGN(json::object memory_part, memory(wanted, machine));
  SKEP_TRY_ASSIGN(json::object cpu_part, cpu(wanted));
  if (!memory_part.empty()) {
    out["memory"] = std::move(memory_part);
  }
  if (!cpu_part.empty()) {
    out["cpu"] = std::move(cpu_part);
  }
  if (wanted.limits().pids() < 0) {
    return bad("the limit of processes is negative");
  }
  if (wanted.limits().pids() > 0) {
    out["pids"] = json::object{{"limit", wanted.limits().pids()}};
  }
  return out;
}

}  // namespace skep::oci
