#include "core/link/https.h"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "core/link/https_exchange.h"
#include "core/link/tcp_socket.h"

namespace skep::link {
namespace {

Error too_slow() { return {Code::kTimeout, "it did not answer in time", "NO_ANSWER"}; }

}  // namespace

/// One request, from the connection to the answer.
struct HttpsSender::Exchange : std::enable_shared_from_this<Exchange> {
  Exchange(Env& e, Waiting w, CertifiedKey pair) : env(e), post(std::move(w.request)), done(std::move(w.done)),
      deadline(w.deadline), own(std::move(pair)) {}
  ~Exchange() { release(); }

  void begin();
  void on_tcp(Result<bus::Fd> connected);
  void on_readable();
  void flush();
  void finish(Result<bus::HttpsAnswer> result);
  /// Touches the loop only for what is there: the last reference may be the loop's own, when it ends.
  void stop_waiting() {
    for (WatchId* watch : {&read_watch, &write_watch}) {
      if (*watch != 0) {
        env.loop.unwatch(std::exchange(*watch, 0));
      }
    }
    if (timer != 0) {
      env.loop.cancel_timer(std::exchange(timer, 0));
    }
  }
  void release() {
    attempt.reset();
    stop_waiting();
  }

  Env& env;
  const bus::HttpsPost post;
  Done done;
  const TimePoint deadline;
  const CertifiedKey own;
  std::function<void()> on_end;
  model::HttpsUrl url;
  std::unique_ptr<TcpConnect> attempt;
  std::unique_ptr<HttpsStream> stream;
  bus::Fd fd;
  std::string output;
  WatchId read_watch = 0;
  WatchId write_watch = 0;
  TimerId timer = 0;
};

void HttpsSender::Exchange::begin() {
  const Duration left = deadline - env.clock.now();
  auto parsed = model::parse_https_url(post.url);
  if (!parsed || left <= Duration(0)) {
    return finish(parsed ? too_slow() : std::move(parsed).error());
  }
  url = *std::move(parsed);
  timer = env.loop.run_after(left, [this] {
    timer = 0;
    finish(too_slow());
  });
  attempt = std::make_unique<TcpConnect>(env, HostPort{url.host, url.port}, left,
                                         [this](Result<bus::Fd> connected) { on_tcp(std::move(connected)); });
}

void HttpsSender::Exchange::on_tcp(Result<bus::Fd> connected) {
  if (!connected) {
    return finish(std::move(connected).error());
  }
  fd = *std::move(connected);
  auto begun = HttpsStream::begin(url, post, own, env.clock.wall_now(), output);
  if (!begun) {
    return finish(std::move(begun).error());
  }
  stream = *std::move(begun);
  read_watch = env.loop.watch_readable(fd.get(), [this] { on_readable(); });
  flush();
}

void HttpsSender::Exchange::on_readable() {
  std::array<char, 16384> buffer;
  const auto count = ::recv(fd.get(), buffer.data(), buffer.size(), 0);
  if (count < 0) {
    if (errno == EAGAIN || errno == EINTR) {
      return;
    }
    return finish(Error{Code::kUnavailable, std::string("the connection broke: ") + std::strerror(errno), "BROKEN_OFF"});
  }
  if (count == 0) {
    return finish(stream->end());
  }
  auto answer = stream->receive({buffer.data(), static_cast<std::size_t>(count)}, output);
  if (!answer) {
    return finish(std::move(answer).error());
  }
  if (*answer) {
    return finish(std::move(**answer));
  }
  flush();
}

void HttpsSender::Exchange::flush() {
  while (!output.empty()) {
    const auto count = ::send(fd.get(), output.data(), output.size(), MSG_NOSIGNAL);
    if (count >= 0) {
      output.erase(0, static_cast<std::size_t>(count));
      continue;
    }
    if (errno == EINTR) {
      continue;
    }
    if (errno != EAGAIN) {
      // What it said before it closed is still to be read, and tells more.
      output.clear();
    } else if (write_watch == 0) {
      write_watch = env.loop.watch_writable(fd.get(), [this] { flush(); });
    }
    break;
  }
  if (output.empty() && write_watch != 0) {
    env.loop.unwatch(std::exchange(write_watch, 0));
  }
}

void HttpsSender::Exchange::finish(Result<bus::HttpsAnswer> result) {
  const auto keep = shared_from_this();
  // Through the loop: whoever calls this goes on in objects that end here.
  stop_waiting();
  env.loop.post([keep, result = std::make_shared<Result<bus::HttpsAnswer>>(std::move(result))] {
    const auto call = std::exchange(keep->done, nullptr);
    if (call == nullptr) {
      return;
    }
    keep->release();
    keep->on_end();
    call(std::move(*result));
  });
}

HttpsSender::HttpsSender(Env& env, std::function<CertifiedKey()> own) : env_(env), own_(std::move(own)) {}

HttpsSender::~HttpsSender() {
  for (const auto& [key, exchange] : active_) {
    exchange->done = nullptr;
    exchange->release();
  }
}

void HttpsSender::post(bus::HttpsPost request, Done done) {
  if (waiting_.size() >= kWaitingMax) {
    return env_.loop.post([done = std::move(done)] {
      done(Error{Code::kResourceExhausted, "too many requests wait for such servers already", "TOO_MANY"});
    });
  }
  const TimePoint deadline = env_.clock.now() + request.limit;
  waiting_.push_back({std::move(request), std::move(done), deadline});
  begin_next();
}

void HttpsSender::begin_next() {
  while (!waiting_.empty() && active_.size() < kActiveMax) {
    auto exchange = std::make_shared<Exchange>(env_, std::move(waiting_.front()), own_());
    waiting_.pop_front();
    exchange->on_end = [this, key = exchange.get(), alive = std::weak_ptr<char>(alive_)] {
      if (!alive.expired()) {
        ended(key);
      }
    };
    active_.emplace(exchange.get(), exchange);
    exchange->begin();
  }
}

void HttpsSender::ended(const Exchange* exchange) {
  active_.erase(exchange);
  begin_next();
}

}  // namespace skep::link
