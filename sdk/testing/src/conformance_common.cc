#include "expect.h"
#include "skep/plugin.methods.h"
#include "skep/testing/conformance.h"

namespace skep::testing {

std::vector<Case> common_suite(const std::string& kind) {
  return {
      {"status: answers and is healthy",
       [](Probe& probe) -> Status {
         const auto status = probe.call<plugin::v1::methods::Status>({});
         SKEP_TRY(expect_ok(status, "status"));
         return expect(status->healthy(), "a driver that just started is healthy");
       }},
      {"an unknown method is unimplemented, and the driver goes on",
       [kind](Probe& probe) -> Status {
         SKEP_TRY(expect_error(probe.call(kind + "/1/no_such_method", ""), Code::kUnimplemented,
                               "an unknown method"));
         return expect_ok(probe.call<plugin::v1::methods::Status>({}), "status after it");
       }},
      {"a malformed message is an invalid argument, and the driver goes on",
       [kind](Probe& probe) -> Status {
         const std::string verb = kind == "volume"      ? "/1/mount"
                                  : kind == "runtime"   ? "/1/create"
                                  : kind == "network"   ? "/1/create_network"
                                  : kind == "consensus" ? "/1/propose"
                                  : kind == "discovery" ? "/1/register"
                                                        : "";
         if (verb.empty()) {
           return skip("no method to try it with");
         }
         SKEP_TRY(expect_error(probe.call(kind + verb, "\xff\xff\xff\xff"), Code::kInvalidArgument,
                               "a malformed message"));
         return expect_ok(probe.call<plugin::v1::methods::Status>({}), "status after it");
       }},
  };
}

std::vector<Case> suite_of(const std::string& kind, const SuiteOptions& options) {
  if (kind == "volume") {
    return volume_suite();
  }
  if (kind == "network") {
    return network_suite();
  }
  if (kind == "consensus") {
    return consensus_suite();
  }
  return kind == "runtime" ? runtime_suite(options) : std::vector<Case>{};
}

std::vector<CaseResult> run_suite(const std::vector<Case>& cases, Probe& probe) {
  std::vector<CaseResult> results;
  for (const Case& one : cases) {
    CaseResult result;
    result.name = one.name;
    if (auto status = one.run(probe); status) {
      result.passed = true;
    } else {
      result.skipped = status.error().reason == "SKIPPED";
      result.why = status.error().message;
    }
    results.push_back(std::move(result));
  }
  return results;
}

}  // namespace skep::testing
