// The part of ContainerDriver that serves streams: exec, attach, logs; and log rotation.

#include "plugins/runtime/oci/container/attach_session.h"
#include "plugins/runtime/oci/container/container_driver.h"
#include "plugins/runtime/oci/container/exec_session.h"
#include "plugins/runtime/oci/container/log_rotation.h"
#include "plugins/runtime/oci/container/log_session.h"

namespace skep::oci {
namespace {

constexpr std::size_t kSessionsMax = 1024;

Error not_running(const std::string& id) {
  return Error{Code::kFailedPrecondition, "container '" + id + "' does not run", "NOT_RUNNING"};
}

}  // namespace

/// The open streams, by kind. A session that is over is forgotten on a later turn of the loop: it
/// may be in the middle of one of its own functions.
struct ContainerDriver::Sessions {
  template <class Session>
  using Map = std::map<Session*, std::pair<std::string, std::shared_ptr<Session>>>;
  Map<ExecSession> execs;
  Map<AttachSession> attaches;
  Map<LogSession> logs;
  std::uint64_t next_exec = 1;
  std::unique_ptr<LogRotation> rotation;

  [[nodiscard]] Status admit() const {
    if (execs.size() + attaches.size() + logs.size() >= kSessionsMax) {
      return Error{Code::kResourceExhausted, "too many open streams to containers: try again later",
                   "TOO_MANY_STREAMS"};
    }
    return ok();
  }
};

ContainerDriver::ContainerDriver(std::string driver)
    : driver_(std::move(driver)), sessions_(std::make_unique<Sessions>()) {}

ContainerDriver::~ContainerDriver() { stop(); }

/// The callback a session calls when it is over.
template <class Session, class Map>
std::function<void(Session*)> ContainerDriver::forget_from(Map& map) {
  return [this, &map, weak = std::weak_ptr<bool>(alive_)](Session* session) {
    env_->loop.post([&map, session, weak] {
      if (const auto alive = weak.lock()) {
        map.erase(session);
      }
    });
  };
}

void ContainerDriver::start_streams() {
  sessions_->rotation = std::make_unique<LogRotation>(*env_, [this] {
    std::vector<WatchedLog> logs;
    for (const Container* container : table_.all()) {
      const ContainerRecord& record = container->record;
      if (record.state == runtime::v1::CONTAINER_STATE_RUNNING) {
        logs.push_back({engine_->layout().state(record.id),
                        engine_->layout().bundle(record.id) + "/ctl",
                        {record.log_size_max, record.log_files_max}});
      }
    }
    return logs;
  });
  sessions_->rotation->start();
}

void ContainerDriver::stop_streams() {
  const Error why{Code::kUnavailable, "the runtime driver is stopping", "STOPPING"};
  for (const auto& [session, entry] : sessions_->execs) {
    session->abort(why);
  }
  for (const auto& [session, entry] : sessions_->attaches) {
    session->abort(why);
  }
  for (const auto& [session, entry] : sessions_->logs) {
    session->abort(why);
  }
  sessions_ = std::make_unique<Sessions>();
}

void ContainerDriver::end_streams(const std::string& id, int exit_code) {
  for (const auto& [session, entry] : sessions_->attaches) {
    if (entry.first == id) {
      session->on_container_exit(exit_code);
    }
  }
  for (const auto& [session, entry] : sessions_->logs) {
    if (entry.first == id) {
      session->poke();
    }
  }
}

void ContainerDriver::exec(const runtime::v1::ExecInput& first,
                           Stream<runtime::v1::methods::Exec> stream) {
  const auto container = table_.lookup(first.start().container_id());
  if (!container) {
    return stream.finish(container.error());
  }
  const ContainerRecord& record = (*container)->record;
  if (record.state != runtime::v1::CONTAINER_STATE_RUNNING) {
    return stream.finish(not_running(record.id));
  }
  if (auto admitted = sessions_->admit(); !admitted) {
    return stream.finish(std::move(admitted));
  }
  auto session = std::make_shared<ExecSession>(*env_, engine_, std::move(stream),
                                               forget_from<ExecSession>(sessions_->execs));
  sessions_->execs.emplace(session.get(), std::pair{record.id, session});
  session->begin(record, first, sessions_->next_exec++);
}

void ContainerDriver::attach(const runtime::v1::AttachInput& first,
                             Stream<runtime::v1::methods::Attach> stream) {
  const auto container = table_.lookup(first.container_id());
  if (!container) {
    return stream.finish(container.error());
  }
  const ContainerRecord& record = (*container)->record;
  if (record.state != runtime::v1::CONTAINER_STATE_RUNNING) {
    return stream.finish(not_running(record.id));
  }
  if (auto admitted = sessions_->admit(); !admitted) {
    return stream.finish(std::move(admitted));
  }
  auto session = std::make_shared<AttachSession>(*env_, std::move(stream),
                                                 forget_from<AttachSession>(sessions_->attaches));
  sessions_->attaches.emplace(session.get(), std::pair{record.id, session});
  if (auto begun = session->begin(engine_->layout().bundle(record.id), first); !begun) {
    session->abort(std::move(begun).error());
  }
}

void ContainerDriver::logs(const runtime::v1::LogsRequest& request,
                           Stream<runtime::v1::methods::Logs> stream) {
  const auto container = table_.lookup(request.container_id());
  if (!container) {
    return stream.finish(container.error());
  }
  if (auto admitted = sessions_->admit(); !admitted) {
    return stream.finish(std::move(admitted));
  }
  const std::string id = (*container)->record.id;
  const auto has_ended = [this, id] {
    const Container* now = table_.find(id);
    return now == nullptr || now->record.state == runtime::v1::CONTAINER_STATE_EXITED;
  };
  auto session = std::make_shared<LogSession>(*env_, engine_->layout().state(id), std::move(stream),
                                              has_ended, forget_from<LogSession>(sessions_->logs));
  sessions_->logs.emplace(session.get(), std::pair{id, session});
  session->begin(request);
}

}  // namespace skep::oci
