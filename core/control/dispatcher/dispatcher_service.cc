#include "core/control/dispatcher/dispatcher_service.h"

#include <algorithm>
#include <utility>

#include "skep/log.h"

namespace skep::control {
namespace {

namespace methods = dispatch::v1::methods;

Status check_principal(const bus::v1::Principal& principal, const std::string& node_id) {
  if (principal.kind() == "core" || (principal.kind() == "node" && principal.id() == node_id)) {
    return ok();
  }
  return Error{Code::kPermissionDenied, "only node '" + node_id + "' itself may speak for it",
               "NOT_THIS_NODE"};
}

/// Says where to look next, when there is a next.
void refuse_session(rpc::TypedServerStream<methods::Session> stream, Error error,
                    const std::function<dispatch::v1::SessionMessage()>& redirect) {
  if (error.code == Code::kUnavailable) {
    // Without credit for it the node tries the next manager it knows.
    static_cast<void>(stream.send(redirect()));
  }
  stream.finish(std::move(error));
}

Error not_leading() {
  return Error{Code::kUnavailable, "this manager no longer leads; look for the leader",
               "NOT_LEADER"};
}

}  // namespace

template <class F>
std::function<void()> DispatcherService::guarded(F f) {
  return [alive = std::weak_ptr<char>(alive_), f = std::move(f)] {
    if (!alive.expired()) {
      f();
    }
  };
}

DispatcherService::DispatcherService(const LoopContext& context, Dispatcher::Settings settings)
    : context_(context),
      dispatcher_(context.view, context.env.random, std::move(settings)),
      alive_(std::make_shared<char>()) {}

DispatcherService::~DispatcherService() {
  stop();
}

void DispatcherService::register_methods(rpc::MethodTable& table, const Access& access) {
  const auto& service = access.service;
  table.on_stream<methods::Session>([access](const auto& request, SessionStream stream) {
    if (auto self = access.service(); !self) {
      return refuse_session(std::move(stream), std::move(self).error(), access.redirect);
    }
    const auto gone = std::make_shared<bool>(false);
    stream.raw()->set_handlers([](rpc::Body) {}, [] {}, [gone] { *gone = true; }, [] {});
    access.confirm([access, request, stream, gone](Status sure) {
      auto self = sure ? access.service() : Result<DispatcherService*>(std::move(sure).error());
      if (!*gone) {
        self ? (*self)->open_session(request, stream)
             : refuse_session(stream, std::move(self).error(), access.redirect);
      }
    });
  });
  table.on_stream<methods::Assignments>([service](const auto& request, AssignmentStream stream) {
    auto self = service();
    if (!self) {
      return stream.finish(std::move(self).error());
    }
    (*self)->open_assignments(request, std::move(stream));
  });
  table.on<methods::Heartbeat>([service](const auto& request, const rpc::CallContext& context,
                                         rpc::Reply<dispatch::v1::HeartbeatResponse> reply) {
    auto self = service();
    if (!self) {
      return reply(std::move(self).error());
    }
    if (auto status = (*self)->check_caller(context, request.session_id()); !status) {
      return reply(std::move(status).error());
    }
    reply((*self)->dispatcher_.heartbeat(request, (*self)->now()));
    (*self)->arm();
  });
  table.on<methods::UpdateTaskStatus>(
      [service](const auto& request, const rpc::CallContext& context,
                rpc::Reply<dispatch::v1::UpdateTaskStatusResponse> reply) {
        auto self = service();
        if (!self) {
          return reply(std::move(self).error());
        }
        (*self)->update(&Dispatcher::update_tasks, request, context, [reply](Status status) {
          status ? reply(dispatch::v1::UpdateTaskStatusResponse())
                 : reply(std::move(status).error());
        });
      });
  table.on<methods::UpdateDescription>(
      [service](const auto& request, const rpc::CallContext& context,
                rpc::Reply<dispatch::v1::UpdateDescriptionResponse> reply) {
        auto self = service();
        if (!self) {
          return reply(std::move(self).error());
        }
        (*self)->update(&Dispatcher::update_description, request, context, [reply](Status status) {
          status ? reply(dispatch::v1::UpdateDescriptionResponse())
                 : reply(std::move(status).error());
        });
      });
}

Status DispatcherService::check_caller(const rpc::CallContext& context,
                                       const std::string& session_id) const {
  const std::string node_id = dispatcher_.node_of(session_id);
  return node_id.empty() ? ok()
                         : check_principal(context.principal, node_id);  // unknown: it says so
}

template <class Request>
void DispatcherService::update(Status (Dispatcher::*method)(const Request&, std::uint64_t,
                                                            TimePoint, Effects&),
                               const Request& request, const rpc::CallContext& context, Done done) {
  if (auto status = check_caller(context, request.session_id()); !status) {
    return done(std::move(status));
  }
  const std::uint64_t token = ++last_token_;
  Effects effects;
  if (auto status = (dispatcher_.*method)(request, token, now(), effects); !status) {
    return done(std::move(status));
  }
  waiting_.emplace(token, std::move(done));
  perform(std::move(effects));
}

void DispatcherService::start() {
  perform(dispatcher_.start(now()));
}

void DispatcherService::on_commit(const store::Commit& commit) {
  perform(dispatcher_.on_commit(commit, now()));
}

void DispatcherService::set_managers(std::vector<std::string> managers) {
  perform(dispatcher_.set_managers(std::move(managers)));
}

void DispatcherService::stop() {
  if (alive_ == nullptr) {
    return;
  }
  alive_.reset();
  context_.env.loop.cancel_timer(std::exchange(timer_, 0));
  while (!streams_.empty()) {
    end_streams(std::string(streams_.begin()->first), not_leading());
  }
  for (auto& [token, done] : std::exchange(waiting_, {})) {
    done(not_leading());
  }
}

void DispatcherService::open_session(const dispatch::v1::SessionRequest& request,
                                     SessionStream stream) {
  if (auto status = check_principal(stream.context().principal, request.node_id()); !status) {
    return stream.finish(std::move(status));
  }
  Effects effects;
  auto opened = dispatcher_.open_session(request, now(), effects);
  if (!opened) {
    perform(std::move(effects));  // an alarm
    return stream.finish(std::move(opened).error());
  }
  const std::string id = *opened;
  auto closed = guarded([this, id] {
    if (const auto it = streams_.find(id); it != streams_.end()) {
      it->second.session.reset();
      end_streams(id, Error{Code::kCancelled, "the session's stream was closed", "SESSION_CLOSED"});
      perform(dispatcher_.session_closed(id, now()));
    }
  });
  stream.raw()->set_handlers([](rpc::Body) {}, [] {}, closed,
                             guarded([this, id] { send_session(id); }));
  streams_[id].session.emplace(std::move(stream));
  perform(std::move(effects));
}

void DispatcherService::open_assignments(const dispatch::v1::AssignmentsRequest& request,
                                         AssignmentStream stream) {
  const std::string id = request.session_id();
  if (auto status = check_caller(stream.context(), id); !status) {
    return stream.finish(std::move(status));
  }
  Effects effects;
  if (auto status = dispatcher_.open_assignments(id, now(), effects); !status) {
    return stream.finish(std::move(status));
  }
  Streams& streams = streams_[id];
  if (streams.assignments) {
    streams.assignments->finish(
        Error{Code::kConflict, "the node opened a newer stream", "STREAM_REPLACED"});
  }
  streams.queue.clear();
  const std::uint64_t generation = ++last_generation_;
  streams.generation = generation;
  auto closed = guarded([this, id, generation] {
    const auto it = streams_.find(id);
    if (it != streams_.end() && it->second.generation == generation) {
      it->second.assignments.reset();
      it->second.queue.clear();
      dispatcher_.assignments_closed(id);
    }
  });
  stream.raw()->set_handlers([](rpc::Body) {}, [] {}, closed,
                             guarded([this, id] { pump_assignments(id); }));
  streams.assignments.emplace(std::move(stream));
  perform(std::move(effects));
}

void DispatcherService::perform(Effects effects) {
  for (auto& variant : effects) {
    if (auto* send = std::get_if<effect::SendSession>(&variant)) {
      streams_[send->session_id].unsent = std::move(send->message);
      send_session(send->session_id);
    } else if (auto* assign = std::get_if<effect::SendAssignments>(&variant)) {
      auto& queue = streams_[assign->session_id].queue;
      queue.assign(std::make_move_iterator(assign->messages.begin()),
                   std::make_move_iterator(assign->messages.end()));
      pump_assignments(assign->session_id);
    } else if (auto* end = std::get_if<effect::EndSession>(&variant)) {
      end_streams(end->session_id, end->error);
    } else if (auto* propose = std::get_if<effect::Propose>(&variant)) {
      context_.proposer.propose(
          std::move(propose->transaction),
          [this, alive = std::weak_ptr<char>(alive_)](Result<std::uint64_t> result) {
            if (!alive.expired()) {
              perform(dispatcher_.committed(result, now()));
            }
          });
    } else if (auto* reply = std::get_if<effect::Reply>(&variant)) {
      if (auto node = waiting_.extract(reply->token); !node.empty()) {
        node.mapped()(std::move(reply->status));
      }
    }
  }
  arm();
}

void DispatcherService::send_session(const std::string& session_id) {
  const auto it = streams_.find(session_id);
  if (it == streams_.end() || !it->second.session || !it->second.unsent) {
    return;
  }
  const auto status = it->second.session->send(*it->second.unsent);
  if (status || status.error().code != Code::kResourceExhausted) {
    it->second.unsent.reset();  // a broken stream is told by its handler
  }
}

void DispatcherService::pump_assignments(const std::string& session_id) {
  const auto it = streams_.find(session_id);
  if (it == streams_.end() || !it->second.assignments || it->second.queue.empty()) {
    return;
  }
  auto& queue = it->second.queue;
  while (!queue.empty()) {
    const auto status = it->second.assignments->send(queue.front());
    if (!status && status.error().code == Code::kResourceExhausted) {
      return;  // goes on when the node gives credit
    }
    if (!status && status.error().code != Code::kCancelled) {
      SKEP_ERROR("assignments cannot be sent", {"session", session_id},
                 {"reason", status.error().message});
    }
    queue.pop_front();
  }
  perform(dispatcher_.assignments_sent(session_id, now()));
}

void DispatcherService::end_streams(const std::string& session_id, const Error& error) {
  auto node = streams_.extract(session_id);
  if (node.empty()) {
    return;
  }
  if (node.mapped().assignments) {
    node.mapped().assignments->finish(Error(error));
  }
  if (node.mapped().session) {
    node.mapped().session->finish(Error(error));
  }
}

void DispatcherService::arm() {
  if (alive_ == nullptr) {
    return;
  }
  const TimePoint next = dispatcher_.next_wakeup();
  if (next == timer_at_ && timer_ != 0) {
    return;
  }
  context_.env.loop.cancel_timer(std::exchange(timer_, 0));
  timer_at_ = next;
  if (next == TimePoint::max()) {
    return;
  }
  timer_ =
      context_.env.loop.run_after(std::max<Duration>(next - now(), Duration{0}), guarded([this] {
                                    timer_ = 0;
                                    perform(dispatcher_.on_time(now()));
                                  }));
}

}  // namespace skep::control
