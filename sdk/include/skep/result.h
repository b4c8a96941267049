#pragma once

// Result<T> and Status: how everything outside the program's control is reported. Values of these
// types never cross the plugin door; skep.bus.v1.Status carries the same facts over the bus.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace skep {

/// Why something failed. One table (core/model/codes.h) maps these to HTTP statuses and exit codes.
/// Numbers travel on the bus and are for ever.
enum class Code : std::uint8_t {
  kInvalidArgument = 1,      ///< The request is wrong in itself; repeating it cannot help.
  kNotFound = 2,             ///< What the request names does not exist.
  kAlreadyExists = 3,        ///< It exists already, with other properties.
  kConflict = 4,             ///< Somebody changed the object since it was read: read again, retry.
  kFailedPrecondition = 5,   ///< The system is not in a state for this (volume in use, no swarm).
  kPermissionDenied = 6,     ///< The caller may not do this.
  kUnauthenticated = 7,      ///< Who the caller is was not proven (wrong credentials).
  kResourceExhausted = 8,    ///< A limit or a disk is full.
  kUnavailable = 9,          ///< Not reachable now; retrying can help.
  kTimeout = 10,             ///< The deadline passed; the effect is unknown.
  kCancelled = 11,           ///< The caller gave up.
  kUnimplemented = 12,       ///< No such method or feature here.
  kDataLoss = 13,            ///< Stored data is damaged.
  kInternal = 14,            ///< A defect of ours.
};

/// Lower-case name of a code as printed to people, for example "not-found".
std::string_view code_name(Code code);

/// A failure: what happened, in words for a person, and what can be done.
struct [[nodiscard]] Error {
  Code code = Code::kInternal;
  std::string message;      ///< lower case, no full stop, quoted ids, next step when known
  std::string reason = {};  ///< stable UPPER_SNAKE key for programs, may be empty

  /// Prefixes "context: ". Add context once, where the reader gains a noun.
  Error with_context(std::string_view context) && {
    message.insert(0, ": ").insert(0, context);
    return std::move(*this);
  }
  /// True when the same request may succeed later without anybody changing it.
  [[nodiscard]] bool retryable() const {
    return code == Code::kUnavailable || code == Code::kTimeout ||
           code == Code::kResourceExhausted;
  }
};

struct Unit {};

namespace internal {
/// Ends the process: a claim that holds by construction did not.
[[noreturn]] inline void assertion_failed(const char* expression, const char* why, const char* file,
                                          int line) {
  std::fprintf(stderr, "%s:%d: assertion '%s' failed: %s\n", file, line, expression, why);
  std::abort();
}
}  // namespace internal

/// Asserts an invariant, in release builds too. Never for input.
#define SKEP_ASSERT(condition, why)                                                 \
  do {                                                                              \
    if (!(condition)) [[unlikely]] {                                                \
      ::skep::internal::assertion_failed(#condition, (why), __FILE__, __LINE__);    \
    }                                                                               \
  } while (false)
#define SKEP_UNREACHABLE() \
  ::skep::internal::assertion_failed("reachable", "every case returns", __FILE__, __LINE__)

/// A value or an Error. Names follow std::expected.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value)  // NOLINT(google-explicit-constructor)
      : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error)  // NOLINT(google-explicit-constructor)
      : state_(std::in_place_index<1>, std::move(error)) {}

  [[nodiscard]] bool has_value() const { return state_.index() == 0; }
  explicit operator bool() const { return has_value(); }

  T& operator*() & { return checked_value(); }
  const T& operator*() const& { return const_cast<Result*>(this)->checked_value(); }
  T&& operator*() && { return std::move(checked_value()); }
  T* operator->() { return &checked_value(); }
  const T* operator->() const { return &const_cast<Result*>(this)->checked_value(); }
  Error& error() & { return checked_error(); }
  const Error& error() const& { return const_cast<Result*>(this)->checked_error(); }
  Error&& error() && { return std::move(checked_error()); }
  T value_or(T fallback) && { return has_value() ? std::move(checked_value()) : fallback; }

 private:
  T& checked_value() {
    SKEP_ASSERT(has_value(), "a Result is asked for its value only after it was tested");
    return *std::get_if<0>(&state_);
  }
  Error& checked_error() {
    SKEP_ASSERT(!has_value(), "a Result is asked for its error only after it was tested");
    return *std::get_if<1>(&state_);
  }
  std::variant<T, Error> state_;
};

using Status = Result<Unit>;
inline Status ok() {
  return Unit{};
}

}  // namespace skep

#define SKEP_CONCAT_IMPL(a, b) a##b
#define SKEP_CONCAT(a, b) SKEP_CONCAT_IMPL(a, b)
/// Returns the error of `expr` from the enclosing function, if it has one.
#define SKEP_TRY(expr)                                     \
  do {                                                     \
    if (auto skep_try_result = (expr); !skep_try_result) { \
      return std::move(skep_try_result).error();           \
    }                                                      \
  } while (false)
/// `SKEP_TRY_ASSIGN(const Thing thing, make_thing());`
#define SKEP_TRY_ASSIGN(lhs, expr) \
  SKEP_TRY_ASSIGN_IMPL(SKEP_CONCAT(skep_try_, __LINE__), lhs, expr)
#define SKEP_TRY_ASSIGN_IMPL(tmp, lhs, expr) \
  auto tmp = (expr);                         \
  if (!tmp) {                                \
    return std::move(tmp).error();           \
  }                                          \
  lhs = *std::move(tmp)
