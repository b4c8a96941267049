#include "core/control/api/log_broker.h"

#include <utility>

#include "core/control/api/lookup.h"
#include "core/model/defaults.h"
#include "skep/runtime.methods.h"

namespace skep::control {
namespace {

constexpr std::size_t kLineBytesMax = 128 << 10;  // a longer line is sent in pieces
constexpr std::uint32_t kStreamMax = 2;

}  // namespace

LogStream::LogStream(store::Store& store, rpc::Caller& caller, LogTarget target,
                     control::v1::ServiceLogsRequest request, Stream stream,
                     std::function<void(LogStream*)> on_end)
    : store_(store),
      caller_(caller),
      target_(std::move(target)),
      request_(std::move(request)),
      stream_(std::move(stream)),
      on_end_(std::move(on_end)) {}

LogStream::~LogStream() {
  store_.unsubscribe(subscription_);
}

std::shared_ptr<LogStream> LogStream::open(store::Store& store, rpc::Caller& caller,
                                           LogTarget target,
                                           const control::v1::ServiceLogsRequest& request,
                                           Stream stream, std::function<void(LogStream*)> on_end) {
  const auto raw = stream.raw();
  const std::shared_ptr<LogStream> self(new LogStream(store, caller, std::move(target), request,
                                                      std::move(stream), std::move(on_end)));
  const std::weak_ptr<LogStream> weak = self;
  raw->set_handlers([](rpc::Body) {}, [] {},
                    [weak] {
                      if (const auto log = weak.lock()) {
                        log->end();
                      }
                    },
                    [weak] {
                      if (const auto log = weak.lock()) {
                        log->pump();
                      }
                    });
  if (auto status = self->find_tasks(); !status) {
    self->on_end_ = nullptr;
    self->finish(std::move(status));
    return nullptr;
  }
  if (request.follow()) {
    self->subscription_ = store.subscribe([weak](const store::Commit& commit) {
      const auto log = weak.lock();
      for (const auto& event : commit.events) {
        const auto* task = event.after_as<model::v1::Task>();
        if (log != nullptr && task != nullptr && !log->ended_ &&
            (log->service_id_.empty() ? log->sources_.contains(task->id())
                                      : task->service_id() == log->service_id_)) {
          log->consider(*task);
        }
      }
    });
  }
  self->pump();
  self->finish_if_done();
  return self->ended_ ? nullptr : self;
}

Status LogStream::find_tasks() {
  const store::View& view = store_.view();
  if (const auto service = find_service(view, request_.ref())) {
    service_id_ = (*service)->id();
    for (const auto& [id, task] : view.tasks_of_service(service_id_)) {
      consider(*task);
    }
    return ok();
  }
  const auto task = find_task(view, request_.ref());
  if (!task) {
    return Error{Code::kNotFound, "no service or task '" + request_.ref() + "'", "NOT_FOUND"};
  }
  sources_[(*task)->id()].done = true;  // until it has a container
  consider(**task);
  return ok();
}

void LogStream::consider(const model::v1::Task& task) {
  const std::string& container = task.status().container().container_id();
  const auto known = sources_.find(task.id());
  if (container.empty() || (known != sources_.end() && !known->second.node_id.empty())) {
    return;  // no container yet, or its log is being read already
  }
  Source& source = sources_[task.id()];
  source.node_id = task.node_id();
  source.done = true;
  const auto target = target_(task);
  if (!target) {
    return note(task, target.error().message);
  }
  if (open_sources_ >= kTasksMax) {
    return note(task, "more than " + std::to_string(kTasksMax) +
                          " tasks have logs; ask for this task alone");
  }
  runtime::v1::LogsRequest request;
  request.set_container_id(container);
  request.set_follow(request_.follow());
  request.set_since(request_.since());
  request.set_tail(request_.tail());
  source.done = false;
  ++open_sources_;
  const std::string id = task.id();
  const std::weak_ptr<LogStream> weak = weak_from_this();
  auto stream = rpc::open<runtime::v1::methods::Logs>(
      caller_, *target, request, {.deadline = std::chrono::milliseconds{0}},
      [weak, id](const runtime::v1::LogLine& line) {
        if (const auto log = weak.lock()) {
          log->on_line(id, line.timestamp(), line.stream(), line.data(), line.partial());
        }
      },
      [weak, id](Status status) {
        if (const auto log = weak.lock()) {
          log->source_done(id, status);
        }
      });
  if (const auto it = sources_.find(id); it != sources_.end() && !it->second.done) {
    it->second.stream = std::move(stream);
    if (held_) {
      it->second.stream->hold_credit(true);
    }
  }
}

void LogStream::on_line(const std::string& task_id, std::int64_t timestamp, std::uint32_t stream,
                        const std::string& data, bool partial) {
  const auto it = sources_.find(task_id);
  if (ended_ || it == sources_.end() || stream > kStreamMax) {
    return;
  }
  std::string& line = it->second.partial[stream];
  line += data;
  if (partial && line.size() < kLineBytesMax) {
    return;
  }
  control::v1::ServiceLogLine out;
  out.set_timestamp(timestamp);
  out.set_stream(stream);
  out.set_data(std::exchange(line, {}));
  out.set_task_id(task_id);
  out.set_node_id(it->second.node_id);
  queue_.push_back(std::move(out));
  pump();
}

void LogStream::note(const model::v1::Task& task, const std::string& text) {
  control::v1::ServiceLogLine out;
  out.set_stream(kStreamMax);
  out.set_data("(log of task " + task_name(task) + " cannot be read: " + text + ")");
  out.set_task_id(task.id());
  out.set_node_id(task.node_id());
  queue_.push_back(std::move(out));
  pump();
}

void LogStream::source_done(const std::string& task_id, const Status& status) {
  const auto it = sources_.find(task_id);
  if (it == sources_.end() || it->second.done) {
    return;
  }
  it->second.done = true;
  it->second.stream.reset();
  --open_sources_;
  const auto task = store_.view().get<model::v1::Task>(task_id);
  if (!ended_ && !status && task != nullptr) {
    note(*task, status.error().message);
  }
  finish_if_done();
}

void LogStream::pump() {
  const auto self = shared_from_this();
  while (!ended_ && !queue_.empty()) {
    const auto status = stream_.send(queue_.front());
    if (!status && status.error().code == Code::kResourceExhausted) {
      return hold_sources(true);
    }
    if (!status) {
      return finish(status.error());
    }
    queue_.pop_front();
  }
  hold_sources(false);
  finish_if_done();
}

void LogStream::hold_sources(bool hold) {
  if (std::exchange(held_, hold) == hold) {
    return;
  }
  for (auto& [id, source] : sources_) {
    if (source.stream != nullptr) {
      source.stream->hold_credit(hold);
    }
  }
}

void LogStream::finish_if_done() {
  // Following a service goes on even while none of its tasks runs; following one task ends with it.
  const bool may_grow = request_.follow() && !service_id_.empty();
  const bool waits =
      request_.follow() && service_id_.empty() && sources_.begin()->second.node_id.empty();
  if (!ended_ && open_sources_ == 0 && queue_.empty() && !may_grow && !waits) {
    finish(ok());
  }
}

void LogStream::finish(Status status) {
  if (!ended_) {
    stream_.finish(std::move(status));
    end();
  }
}

void LogStream::end() {
  if (std::exchange(ended_, true)) {
    return;
  }
  const auto self = shared_from_this();
  store_.unsubscribe(std::exchange(subscription_, 0));
  for (auto& [id, source] : sources_) {
    if (source.stream != nullptr) {
      std::exchange(source.stream, nullptr)->cancel();
    }
  }
  queue_.clear();
  if (auto on_end = std::exchange(on_end_, nullptr)) {
    on_end(this);
  }
}

}  // namespace skep::control
