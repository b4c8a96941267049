#pragma once

// Logging for core and plugins alike: a fixed sentence and key=value pairs. The daemon puts spdlog
// behind the sink; a plugin's sink is the host's `log` function. Never log secrets or tokens.

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>

namespace skep {

enum class LogLevel : std::uint8_t { kTrace = 0, kDebug, kInfo, kWarn, kError };

namespace log {

/// A value rendered for a log line; quoted by the sink when it holds spaces.
struct Value {
  std::string text;
  Value(std::string_view s) : text(s) {}            // NOLINT(google-explicit-constructor)
  Value(const std::string& s) : text(s) {}          // NOLINT(google-explicit-constructor)
  Value(const char* s) : text(s) {}                 // NOLINT(google-explicit-constructor)
  Value(bool b) : text(b ? "true" : "false") {}     // NOLINT(google-explicit-constructor)
  template <class Number>
    requires std::is_arithmetic_v<Number>
  Value(Number n) : text(std::to_string(n)) {}      // NOLINT(google-explicit-constructor)
};
struct Field {
  std::string_view key;
  Value value;
};

/// [any thread] Receives finished lines: level, sentence with its fields. One per process or
/// plugin; set before other threads start.
using Sink = std::function<void(LogLevel, std::string_view line)>;
void set_sink(Sink sink);
void set_level(LogLevel level);
[[nodiscard]] bool enabled(LogLevel level);
/// [any thread] Formats and hands to the sink.
void write(LogLevel level, std::string_view sentence, std::initializer_list<Field> fields);

}  // namespace log
}  // namespace skep

/// SKEP_INFO("task started", {"task", id}, {"node", node});
#define SKEP_LOG(level, sentence, ...)                                      \
  do {                                                                      \
    if (::skep::log::enabled(level)) {                                      \
      ::skep::log::write((level), (sentence), {__VA_ARGS__});               \
    }                                                                       \
  } while (false)
#define SKEP_TRACE(...) SKEP_LOG(::skep::LogLevel::kTrace, __VA_ARGS__)
#define SKEP_DEBUG(...) SKEP_LOG(::skep::LogLevel::kDebug, __VA_ARGS__)
#define SKEP_INFO(...) SKEP_LOG(::skep::LogLevel::kInfo, __VA_ARGS__)
#define SKEP_WARN(...) SKEP_LOG(::skep::LogLevel::kWarn, __VA_ARGS__)
#define SKEP_ERROR(...) SKEP_LOG(::skep::LogLevel::kError, __VA_ARGS__)
