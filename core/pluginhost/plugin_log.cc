#include "core/pluginhost/plugin_log.h"

#include <algorithm>
#include <utility>

namespace skep::host {
namespace {

using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace)

constexpr std::size_t kRingLines = 500;
constexpr std::size_t kWaitingMax = 20'000;  // lines for a reader that is slower than the plugin
constexpr std::size_t kReadersMax = 16;
constexpr std::uint64_t kFileShown = 1 << 20;
constexpr Duration kPollEvery = 200ms;

plugin::v1::PluginLogLine line_of(std::string text) {
  plugin::v1::PluginLogLine line;  // without a time: the host wrote it into the text
  line.set_text(std::move(text));
  return line;
}

}  // namespace

PluginLog::~PluginLog() {
  env_.loop.cancel_timer(timer_);
  for (const auto& reader : readers_) {
    reader->stream.finish(Error{Code::kUnavailable, "the agent stops", "BUS_STOPPED"});
  }
}

void PluginLog::add(LogLevel level, std::string text) {
  plugin::v1::PluginLogLine line;
  line.set_at(env_.clock.wall_now());
  line.set_level(static_cast<std::uint32_t>(level));
  line.set_text(std::move(text));
  for (const auto& reader : readers_) {
    if (reader->waiting.size() >= kWaitingMax) {
      ++reader->missed;
      continue;
    }
    if (reader->missed > 0) {
      reader->waiting.push_back(line_of("... " + std::to_string(std::exchange(reader->missed, 0)) +
                                        " lines are not shown: the reader is slower than the plugin"));
    }
    reader->waiting.push_back(line);
    flush(*reader);
  }
  ring_.push_back(std::move(line));
  if (ring_.size() > kRingLines) {
    ring_.pop_front();
  }
}

void PluginLog::serve(const plugin::v1::PluginLogsRequest& request, Stream stream) {
  if (request.follow() && readers_.size() >= kReadersMax) {
    return stream.finish(Error{Code::kResourceExhausted,
                               std::to_string(kReadersMax) + " readers follow plugin '" + request.id() + "' already",
                               "TOO_MANY_READERS"});
  }
  auto reader = std::make_shared<Reader>(Reader{.stream = std::move(stream), .follows = request.follow()});
  auto& lines = reader->waiting;
  lines.assign(ring_.begin(), ring_.end());
  read_file(*reader);
  if (!reader->follows && !reader->partial.empty()) {
    lines.push_back(line_of(reader->partial));
  }
  const std::size_t wanted = request.only_new() ? 0 : request.tail() > 0 ? request.tail() : lines.size();
  lines.erase(lines.begin(), lines.end() - static_cast<std::ptrdiff_t>(std::min(wanted, lines.size())));
  // The handlers keep a reader that only reads what is there; the stream drops them at its end.
  reader->stream.raw()->set_handlers(
      {}, {}, [reader] { reader->gone = true; }, [reader] { flush(*reader); });
  flush(*reader);
  if (reader->follows && !reader->gone) {
    readers_.push_back(std::move(reader));
    poll_later();
  }
}

void PluginLog::read_file(Reader& reader) {
  auto file = env_.disk.open(file_, OpenMode::kRead);
  if (!file) {  // not there yet, or not any more
    reader.offset = 0;
    reader.partial.clear();
    return;
  }
  const auto size = (*file)->size();
  if (!size || *size == reader.offset) {
    return;
  }
  if (*size < reader.offset) {  // it started anew
    reader.offset = 0;
    reader.partial.clear();
  }
  if (*size - reader.offset > kFileShown) {
    reader.offset = *size - kFileShown;
    reader.partial.clear();
  }
  auto content = (*file)->read(reader.offset, *size - reader.offset);
  if (!content) {
    return;
  }
  reader.offset += content->size();
  reader.partial += *content;
  std::size_t begin = 0;
  for (std::size_t end = 0; (end = reader.partial.find('\n', begin)) != std::string::npos; begin = end + 1) {
    reader.waiting.push_back(line_of(reader.partial.substr(begin, end - begin)));
  }
  reader.partial.erase(0, begin);
}

void PluginLog::flush(Reader& reader) {
  while (!reader.gone && !reader.waiting.empty()) {
    const auto sent = reader.stream.send(reader.waiting.front());
    if (!sent && sent.error().code == Code::kResourceExhausted) {
      return;  // goes on with the next credit
    }
    reader.gone = !sent;
    reader.waiting.pop_front();
  }
  if (!reader.follows && !std::exchange(reader.gone, true)) {
    reader.stream.finish(ok());
  }
}

void PluginLog::poll_later() {
  if (timer_ != 0 || readers_.empty()) {
    return;
  }
  timer_ = env_.loop.run_after(kPollEvery, [this] {
    timer_ = 0;
    std::erase_if(readers_, [](const auto& reader) { return reader->gone; });
    for (const auto& reader : readers_) {
      if (reader->waiting.empty()) {  // a slow reader leaves the rest in the file
        read_file(*reader);
        flush(*reader);
      }
    }
    poll_later();
  });
}

}  // namespace skep::host
