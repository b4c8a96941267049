#include "skep/log.h"

#include <atomic>
#include <cstdio>

namespace skep::log {
namespace {

std::atomic<LogLevel> g_level{LogLevel::kInfo};

Sink& sink() {
  static Sink instance = [](LogLevel, std::string_view line) {
    std::fprintf(stderr, "%.*s\n", static_cast<int>(line.size()), line.data());
  };
  return instance;
}

void append_value(std::string& line, const std::string& text) {
  if (!text.empty() && text.find_first_of(" \"=\n") == std::string::npos) {
    line += text;
    return;
  }
  line += '"';
  for (const char c : text) {
    if (c == '\n') {
      line += "\\n";
      continue;
    }
    if (c == '"' || c == '\\') {
      line += '\\';
    }
    line += c;
  }
  line += '"';
}

}  // namespace

void set_sink(Sink new_sink) { sink() = std::move(new_sink); }
void set_level(LogLevel level) { g_level.store(level, std::memory_order_relaxed); }
bool enabled(LogLevel level) { return level >= g_level.load(std::memory_order_relaxed); }

void write(LogLevel level, std::string_view sentence, std::initializer_list<Field> fields) {
  std::string line(sentence);
  for (const Field& field : fields) {
    line.append(" ").append(field.key).append("=");
    append_value(line, field.value.text);
  }
  sink()(level, line);
}

}  // namespace skep::log
