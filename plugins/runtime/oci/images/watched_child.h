#pragma once

// Runs a program to its end, hands its lines on while it runs, and ends it when the caller's work
// is cancelled. [worker thread]

#include <atomic>
#include <functional>
#include <string_view>

#include "plugins/runtime/oci/images/fd.h"
#include "skep/env.h"

namespace skep::oci {

/// Says "stop" to everybody who works; once set it stays set. [any thread]
class Cancel {
 public:
  Cancel();
  void set();
  [[nodiscard]] bool is_set() const { return set_.load(); }
  /// Readable once set.
  [[nodiscard]] int fd() const { return event_.get(); }

 private:
  std::atomic<bool> set_ = false;
  OwnedFd event_;
};

struct ChildOptions {
  Duration deadline = std::chrono::minutes(1);
  std::size_t output_max = 16u << 20;  ///< of stdout; more is an error, because it is parsed
  std::function<void(std::string_view line)> on_line = {};  ///< each line of stdout
};

/// A non-zero exit is a value. kTimeout and kCancelled: it was killed. kNotFound: no such program.
/// kResourceExhausted: it printed more than allowed.
Result<ProcessResult> run_child(Env& env, const ProcessSpec& spec, const ChildOptions& options,
                                const Cancel& cancel);

}  // namespace skep::oci
