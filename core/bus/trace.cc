#include "core/bus/trace.h"

#include <deque>
#include <memory>

#include "skep/plugin.methods.h"

namespace skep::bus {
namespace {

using Trace = plugin::v1::methods::Trace;

constexpr std::size_t kLinesMax = 1024;
constexpr std::size_t kBodyShownMax = 32 << 10;

/// One client that watches. The tap runs inside the router, so lines leave through the loop.
class Tracer : public std::enable_shared_from_this<Tracer> {
 public:
  Tracer(Bus& bus, Loop& loop, Clock& clock, std::string filter,
         rpc::TypedServerStream<Trace> stream)
      : bus_(bus), loop_(loop), clock_(clock), filter_(std::move(filter)), stream_(std::move(stream)) {}

  void start() {
    tap_ = bus_.add_tap([self = weak_from_this()](const TraceFrame& frame) {
      if (const auto tracer = self.lock()) {
        tracer->on_frame(frame);
      }
    });
    // The handlers keep the tracer until the stream ends.
    stream_.raw()->set_handlers({}, {}, [self = shared_from_this()] { self->bus_.remove_tap(self->tap_); },
                                [self = shared_from_this()] { self->flush(); });
  }

 private:
  void on_frame(const TraceFrame& frame) {
    const auto& header = frame.header;
    if (header.method() == Trace::kName || !matches(frame)) {
      return;  // its own traffic would never end
    }
    if (lines_.size() >= kLinesMax) {
      ++missed_;
      return;
    }
    plugin::v1::TraceLine line;
    line.set_at(clock_.wall_now());
    line.set_direction(frame.incoming ? "in" : "out");
    line.set_participant(frame.participant);
    line.set_header(header.SerializeAsString());
    line.set_body(std::string(frame.body.substr(0, kBodyShownMax)));
    lines_.push_back(std::move(line));
    if (lines_.size() == 1) {
      loop_.post([self = shared_from_this()] { self->flush(); });
    }
  }

  [[nodiscard]] bool matches(const TraceFrame& frame) const {
    return filter_.empty() || frame.header.target().find(filter_) != std::string::npos ||
           frame.header.method().find(filter_) != std::string::npos ||
           frame.participant.find(filter_) != std::string::npos;
  }

  void flush() {
    if (missed_ > 0) {
      plugin::v1::TraceLine line;
      line.set_at(clock_.wall_now());
      line.set_direction("missed");
      line.set_participant(std::to_string(missed_) + " frames: the reader is too slow");
      if (!stream_.send(line)) {
        return;
      }
      missed_ = 0;
    }
    while (!lines_.empty() && stream_.send(lines_.front())) {
      lines_.pop_front();
    }
  }

  Bus& bus_;
  Loop& loop_;
  Clock& clock_;
  std::string filter_;
  rpc::TypedServerStream<Trace> stream_;
  std::deque<plugin::v1::TraceLine> lines_;
  std::uint64_t missed_ = 0;
  std::uint64_t tap_ = 0;
};

}  // namespace

void serve_trace(Bus& bus, Loop& loop, Clock& clock) {
  bus.table().on_stream<Trace>([&bus, &loop, &clock](const plugin::v1::TraceRequest& request,
                                                     rpc::TypedServerStream<Trace> stream) {
    std::make_shared<Tracer>(bus, loop, clock, request.filter(), std::move(stream))->start();
  });
}

}  // namespace skep::bus
