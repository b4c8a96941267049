#pragma once

// Judgements of the conformance suites: an Error that says what was expected and what came.

#include <string>

#include "skep/result.h"

namespace skep::testing {

inline Status expect(bool holds, const std::string& claim) {
  return holds ? ok() : Status(Error{Code::kFailedPrecondition, claim});
}

template <class T>
Status expect_ok(const Result<T>& result, const std::string& what) {
  return result ? ok()
                : Status(Error{Code::kFailedPrecondition, what + " should succeed, and answered " +
                                                              std::string(code_name(result.error().code)) +
                                                              ": " + result.error().message});
}

template <class T>
Status expect_error(const Result<T>& result, Code code, const std::string& what) {
  if (result) {
    return Error{Code::kFailedPrecondition,
                 what + " should answer " + std::string(code_name(code)) + ", and succeeded"};
  }
  if (result.error().code != code) {
    return Error{Code::kFailedPrecondition, what + " should answer " + std::string(code_name(code)) +
                                                ", and answered " +
                                                std::string(code_name(result.error().code)) + ": " +
                                                result.error().message};
  }
  return expect(!result.error().message.empty(), what + " should say why it fails");
}

/// What `capabilities` answers must name a scope; the same for every kind that has one.
template <class Capabilities>
Status expect_scope(const Result<Capabilities>& answer) {
  SKEP_TRY(expect_ok(answer, "capabilities"));
  return expect(answer->scope() == "local" || answer->scope() == "global",
                "scope is '" + answer->scope() + "'; it must be local or global");
}

/// Marks a case as not applicable to this driver.
inline Status skip(const std::string& why) { return Error{Code::kUnimplemented, why, "SKIPPED"}; }

}  // namespace skep::testing
