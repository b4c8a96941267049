#pragma once

// What one plugin wrote, and who reads it: the lines of an in-process plugin are in a ring, those of
// a host process, its last words included, in its file. Outlives restarts of the plugin. Loop thread
// only.

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "skep/env.h"
#include "skep/log.h"
#include "skep/plugin.methods.h"
#include "skep/rpc.h"

namespace skep::host {

class PluginLog {
 public:
  using Stream = rpc::TypedServerStream<plugin::v1::methods::PluginLogs>;

  /// `file` is where its host process writes; it may be missing, and may start anew.
  PluginLog(Env& env, std::string file) : env_(env), file_(std::move(file)) {}
  ~PluginLog();
  PluginLog(const PluginLog&) = delete;
  PluginLog& operator=(const PluginLog&) = delete;

  /// A line of an in-process plugin.
  void add(LogLevel level, std::string text);
  /// Sends what is there, at most the last MiB of a file, and with `follow` what comes until the caller
  /// leaves. A reader that is slower than the plugin is told how many lines it missed. At most 16 readers
  /// follow one plugin, then kResourceExhausted.
  void serve(const plugin::v1::PluginLogsRequest& request, Stream stream);

 private:
  struct Reader {
    Stream stream;
    bool follows = false;
    std::uint64_t offset = 0;  // of the file, read so far
    std::string partial = {};  // the line that stands unfinished there
    std::deque<plugin::v1::PluginLogLine> waiting = {};
    std::size_t missed = 0;
    bool gone = false;
  };

  void read_file(Reader& reader);
  static void flush(Reader& reader);
  void poll_later();

  Env& env_;
  std::string file_;
  std::deque<plugin::v1::PluginLogLine> ring_;
  std::vector<std::shared_ptr<Reader>> readers_;  // that follow
  TimerId timer_ = 0;
};

}  // namespace skep::host
