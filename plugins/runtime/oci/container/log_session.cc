#include "plugins/runtime/oci/container/log_session.h"

#include <sys/inotify.h>

#include <array>
#include <cerrno>

#include "plugins/runtime/oci/container/log_line.h"
#include "skep/posix_env.h"

namespace skep::oci {
namespace {

constexpr std::size_t kBlock = 128 * 1024;

}  // namespace

LogSession::LogSession(Env& env, std::string directory, Stream stream,
                       std::function<bool()> has_ended, std::function<void(LogSession*)> on_over)
    : env_(env),
      directory_(std::move(directory)),
      stream_(std::move(stream)),
      has_ended_(std::move(has_ended)),
      on_over_(std::move(on_over)),
      reader_(std::make_shared<LogReader>(directory_)) {}

LogSession::~LogSession() {
  on_over_ = nullptr;  // the owner is letting go already
  over();
}

void LogSession::begin(const runtime::v1::LogsRequest& request) {
  request_ = request;
  set_handlers();
  if (request.follow()) {
    if (auto watching = watch_directory(); !watching) {
      return abort(std::move(watching).error());
    }
  }
  read_more();
}

void LogSession::set_handlers() {
  const std::weak_ptr<LogSession> weak = weak_from_this();
  stream_.raw()->set_handlers([](const rpc::Body&) {}, [] {},
                              [weak] {
                                if (const auto self = weak.lock()) {
                                  self->over();
                                }
                              },
                              [weak] {
                                if (const auto self = weak.lock(); self && !self->over_) {
                                  self->send_pending();
                                }
                              });
}

Status LogSession::watch_directory() {
  inotify_ = UniqueFd(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!inotify_.valid() || ::inotify_add_watch(inotify_.get(), directory_.c_str(),
                                               IN_MODIFY | IN_MOVED_TO | IN_CREATE) < 0) {
    return errno_error(errno, directory_ + ": watch");
  }
  watch_ = env_.loop.watch_readable(inotify_.get(), [this] {
    std::array<char, 16 * 1024> events;
    while (::read(inotify_.get(), events.data(), events.size()) > 0) {
    }
    poke();
  });
  return ok();
}

void LogSession::poke() {
  if (!over_) {
    poked_ = true;
    if (!reading_ && pending_.empty()) {
      read_more();
    }
  }
}

void LogSession::read_more() {
  if (reading_ || over_) {
    return;
  }
  reading_ = true;
  poked_ = false;
  const bool ended_before = has_ended_();
  auto text = std::make_shared<Result<std::string>>(std::string());
  const std::weak_ptr<LogSession> weak = weak_from_this();
  auto status = env_.workers.run(
      [reader = reader_, text, position = !std::exchange(positioned_, true),
       tail = request_.tail()] {
        Status positioned = ok();
        if (position) {
          positioned = tail < 0 ? reader->seek_start()
                                : reader->seek_tail(static_cast<std::uint64_t>(tail));
        }
        *text = positioned ? reader->read(kBlock) : Result<std::string>(positioned.error());
      },
      [weak, text, ended_before] {
        if (const auto self = weak.lock(); self && !self->over_) {
          self->reading_ = false;
          self->on_text(std::move(*text), ended_before);
        }
      });
  if (!status) {
    abort(std::move(status).error());
  }
}

void LogSession::on_text(Result<std::string> text, bool ended_before) {
  if (!text) {
    return abort(std::move(text).error());
  }
  if (text->empty()) {
    if (!request_.follow() || ended_before) {
      stream_.finish(ok());
      return over();
    }
    if (poked_) {
      read_more();
    }
    return;
  }
  std::string_view rest = *text;
  while (!rest.empty()) {
    const auto end = rest.find('\n');
    const auto record = parse_log_line(rest.substr(0, end));
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    if (!record || record->timestamp < request_.since()) {
      continue;
    }
    runtime::v1::LogLine line;
    line.set_timestamp(record->timestamp);
    line.set_stream(record->stream);
    line.set_partial(record->partial);
    line.set_data(std::string(record->content));
    pending_.push_back(std::move(line));
  }
  send_pending();
}

void LogSession::send_pending() {
  while (!pending_.empty()) {
    const Status sent = stream_.send(pending_.front());
    if (!sent && sent.error().code == Code::kResourceExhausted) {
      return;
    }
    if (!sent) {
      return over();
    }
    pending_.pop_front();
  }
  if (!reading_) {
    read_more();
  }
}

void LogSession::abort(Error why) {
  if (!over_) {
    stream_.finish(std::move(why));
    over();
  }
}

void LogSession::over() {
  if (std::exchange(over_, true)) {
    return;
  }
  if (watch_ != 0) {
    env_.loop.unwatch(std::exchange(watch_, 0));
  }
  pending_.clear();
  if (on_over_) {
    on_over_(this);
  }
}

}  // namespace skep::oci
