#include "core/agentd/logging.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

namespace skep::agentd {
namespace {

spdlog::level::level_enum to_spdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kTrace:
      return spdlog::level::trace;
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarn:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

}  // namespace

void start_logging(LogLevel level) {
  auto logger = spdlog::stderr_color_mt("agentd");
  logger->set_pattern("%Y-%m-%dT%H:%M:%S.%f%z %^%l%$ %v");
  logger->set_level(to_spdlog(level));
  logger->flush_on(spdlog::level::info);
  spdlog::set_default_logger(logger);
  log::set_level(level);
  log::set_sink([logger](LogLevel line_level, std::string_view line) {
    logger->log(to_spdlog(line_level), spdlog::string_view_t(line.data(), line.size()));
  });
}

void stop_logging() {
  spdlog::default_logger()->flush();
}

}  // namespace skep::agentd
