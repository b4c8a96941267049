#pragma once

// The suites every driver of a kind must pass, in-tree or third-party, in-process or isolated:
// `agentctl plugin verify FILE.so` and skep_add_conformance_test() run them over the real bus. A case
// calls the driver and judges the answers; it leaves nothing behind.

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "skep/result.h"
#include "skep/rpc.h"

namespace skep::testing {

/// Calls one driver and waits for the answer.
class Probe {
 public:
  virtual ~Probe() = default;
  virtual Result<rpc::Body> call(std::string_view method, const rpc::Body& body) = 0;
  /// Opens a stream and waits for its end; every chunk that came.
  virtual Result<std::vector<rpc::Body>> stream(std::string_view method, const rpc::Body& first) = 0;
  /// What the core answers to the driver, for kinds that tell it something.
  virtual rpc::MethodTable& core() = 0;
  /// Lets messages come until `holds`; false when `limit` passed first.
  virtual bool wait(const std::function<bool()>& holds, std::chrono::milliseconds limit) = 0;
  /// Ends the driver's process or thread with no warning and brings it back; kUnimplemented where that
  /// cannot be done (in-process).
  virtual Status crash() = 0;

  template <class M>
  Result<typename M::Response> call(const typename M::Request& request) {
    SKEP_TRY_ASSIGN(const rpc::Body body, call(M::kName, request.SerializeAsString()));
    return rpc::parse<typename M::Response>(body);
  }
};

struct SuiteOptions {
  std::string image;  ///< of runtime/1 drivers with images: a reference or archive with /bin/sh
};

struct Case {
  std::string name;  ///< a claim: "mount: the same mount id twice is one reference"
  std::function<Status(Probe&)> run;
};
struct CaseResult {
  std::string name;
  bool passed = false;
  bool skipped = false;
  std::string why = {};  ///< of a failure or skip
};

/// What holds for every kind: status, unknown methods, malformed messages.
std::vector<Case> common_suite(const std::string& kind);
std::vector<Case> volume_suite();
std::vector<Case> runtime_suite(const SuiteOptions& options);
/// Makes network namespaces: needs CAP_SYS_ADMIN, and is best run in a namespace of its own.
std::vector<Case> network_suite();
/// One member; its cases share the log, so run them all, in order, on one Probe.
std::vector<Case> consensus_suite();
/// Empty for kinds that have no suite yet.
std::vector<Case> suite_of(const std::string& kind, const SuiteOptions& options);

std::vector<CaseResult> run_suite(const std::vector<Case>& cases, Probe& probe);

}  // namespace skep::testing
