#include "core/node/session.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <algorithm>
#include <chrono>

#include "core/base/hex.h"
#include "skep/dispatch.methods.h"
#include "skep/log.h"

namespace skep::node {
namespace {

namespace methods = dispatch::v1::methods;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr seconds kRpcDeadline{5};
constexpr seconds kReportDeadline{30};  ///< a commit may wait for a new leader
constexpr seconds kDescribeEvery{20};
constexpr seconds kRetryAfter{1};
constexpr seconds kAnnounceDeadline{1};
constexpr seconds kDefaultPeriod{5};
constexpr Duration kSpread = milliseconds(500);  ///< of nodes that all heard the same
constexpr int kHeartbeatsMissedMax = 3;
constexpr std::string_view kIdentityInUse = "IDENTITY_IN_USE";
constexpr std::size_t kUpdatesMax = 500;  ///< about 256 bytes each

/// Equal messages give equal bytes, maps included.
std::string stable_bytes(const model::v1::NodeDescription& message) {
  std::string bytes;
  google::protobuf::io::StringOutputStream output(&bytes);
  google::protobuf::io::CodedOutputStream coded(&output);
  coded.SetSerializationDeterministic(true);
  message.SerializeToCodedStream(&coded);
  coded.Trim();
  return bytes;
}

/// The manager does not know this session (any more): only a new one helps.
bool ends_session(const Error& error) {
  return error.code == Code::kNotFound || error.code == Code::kUnauthenticated ||
         error.code == Code::kPermissionDenied || error.code == Code::kFailedPrecondition;
}

}  // namespace

Session::Session(Env& env, rpc::Caller& caller, const NodeConfig& config, Hooks hooks)
    : env_(env),
      caller_(caller),
      config_(config),
      hooks_(std::move(hooks)),
      boot_id_(base::hex(env.random.bytes(16))) {}

Session::~Session() {
  *alive_ = false;
  close();
  env_.loop.cancel_timer(connect_timer_);
  env_.loop.cancel_timer(description_timer_);
}

template <class F>
auto Session::mine(F callback) {
  return [this, alive = alive_, serial = serial_,
          callback = std::move(callback)](auto&&... arguments) mutable {
    if (*alive && serial_ == serial) {
      callback(std::forward<decltype(arguments)>(arguments)...);
    }
  };
}

void Session::start() {
  connect();
  arm_description();
}

void Session::connect() {
  connect_timer_ = 0;
  ++serial_;
  dispatch::v1::SessionRequest request;
  request.set_node_id(config_.node_id);
  request.set_session_id(last_session_id_);
  request.set_boot_id(boot_id_);
  *request.mutable_description() = hooks_.description();
  description_sent_ = stable_bytes(request.description());
  stream_ = rpc::open<methods::Session>(
      caller_, config_.dispatcher, request, {.deadline = milliseconds(0)},
      mine([this](const dispatch::v1::SessionMessage& message) { on_message(message); }),
      mine([this](const Status& status) {
        if (!status && status.error().reason == kIdentityInUse && !std::exchange(refused_, true)) {
          SKEP_ERROR("the managers refuse this node", {"cause", status.error().message});
          if (config_.on_refused) {
            config_.on_refused(status.error());
          }
        }
        lost(status ? "the manager ended it" : status.error().message);
      }));
  // No first message: the manager is not there, or hangs.
  arm_heartbeat(kRpcDeadline);
}

void Session::on_message(const dispatch::v1::SessionMessage& message) {
  if (const Status admitted = config_.admit ? config_.admit(message) : ok(); !admitted) {
    return lost(admitted.error().message);
  }
  if (config_.on_session) {
    config_.on_session(message);
  }
  if (message.session_id().empty()) {
    return;  // a redirect: the stream ends, and the next session goes to the leader
  }
  if (message.heartbeat_period() > 0) {
    const Duration before = std::exchange(period_, Duration(message.heartbeat_period()));
    if (up() && heartbeat_timer_ != 0 && period_ < before) {
      // The manager counts by the shorter period from the next beat on, and all nodes were told.
      arm_heartbeat(Duration(static_cast<std::int64_t>(
          env_.random.below(static_cast<std::uint64_t>(kSpread.count())))));
    }
  }
  if (up()) {
    return;
  }
  session_id_ = message.session_id();
  last_session_id_ = session_id_;
  heartbeats_missed_ = 0;
  refused_ = false;
  back_off_.reset();  // what broke before is over; when this session breaks, others wait as long as this node
  SKEP_INFO("session with the managers is up", {"node", config_.node_id});
  arm_heartbeat(stopping_                ? Duration(0)
                : period_ > Duration(0) ? period_
                                        : Duration(kDefaultPeriod));
  open_assignments();
  describe();  // drivers may have come since the session was asked for
}

void Session::lost(const std::string& why) {
  if (up()) {
    SKEP_WARN("session with the managers is lost, tasks go on", {"node", config_.node_id},
              {"cause", why});
  } else {
    SKEP_DEBUG("no session with the managers yet", {"node", config_.node_id}, {"cause", why});
  }
  close();
  connect_timer_ = env_.loop.run_after(back_off_.next(env_.random), [this] { connect(); });
}

void Session::close() {
  ++serial_;
  ++assign_serial_;
  session_id_.clear();
  tracker_.reset();
  synced_ = false;
  flushing_ = false;
  describing_ = false;
  for (TimerId* timer : {&heartbeat_timer_, &flush_timer_, &connect_timer_}) {
    env_.loop.cancel_timer(std::exchange(*timer, 0));
  }
  for (auto* stream : {&assignments_, &stream_}) {
    if (const auto open = std::exchange(*stream, nullptr)) {
      open->cancel();
    }
  }
}

void Session::open_assignments() {
  if (const auto old = std::exchange(assignments_, nullptr)) {
    old->cancel();
  }
  tracker_.reset();
  const auto serial = ++assign_serial_;
  dispatch::v1::AssignmentsRequest request;
  request.set_session_id(session_id_);
  assignments_ = rpc::open<methods::Assignments>(
      caller_, config_.dispatcher, request, {.deadline = milliseconds(0)},
      mine([this, serial](const dispatch::v1::AssignmentsMessage& message) {
        if (serial == assign_serial_) {
          on_assignments(message);
        }
      }),
      mine([this, serial](const Status& status) {
        if (serial == assign_serial_) {
          lost(status ? "the manager ended the assignments" : status.error().message);
        }
      }));
}

void Session::on_assignments(const dispatch::v1::AssignmentsMessage& message) {
  auto taken = tracker_.take(message);
  if (!taken) {
    SKEP_WARN("assignments are asked for again", {"cause", taken.error().message});
    return open_assignments();
  }
  if (*taken) {
    hooks_.assignments(std::move(**taken));
    drop_unknown();
    synced_ = true;
    flush();
  }
}

void Session::arm_heartbeat(Duration delay) {
  env_.loop.cancel_timer(heartbeat_timer_);
  heartbeat_timer_ = env_.loop.run_after(delay, [this] {
    heartbeat_timer_ = 0;
    if (up()) {
      return heartbeat();
    }
    if (config_.on_silence) {
      config_.on_silence();
    }
    lost("no manager answered in time");
  });
}

void Session::set_stopping(bool stopping) {
  if (std::exchange(stopping_, stopping) != stopping && up()) {
    env_.loop.cancel_timer(std::exchange(heartbeat_timer_, 0));
    heartbeat();
  }
}

void Session::heartbeat() {
  dispatch::v1::HeartbeatRequest request;
  request.set_session_id(session_id_);
  request.set_stopping(stopping_);
  rpc::call<methods::Heartbeat>(
      caller_, config_.dispatcher, request, {.deadline = kRpcDeadline},
      mine([this](Result<dispatch::v1::HeartbeatResponse> reply) {
        if (reply) {
          heartbeats_missed_ = 0;
          period_ = reply->period() > 0 ? Duration(reply->period()) : period_;
          return arm_heartbeat(period_ > Duration(0) ? period_ : Duration(kDefaultPeriod));
        }
        if (ends_session(reply.error()) || ++heartbeats_missed_ >= kHeartbeatsMissedMax) {
          return lost(reply.error().message);
        }
        arm_heartbeat(kRetryAfter);
      }));
}

void Session::report(const std::string& task_id, const model::v1::TaskStatus& status) {
  statuses_.note(task_id, status);
  if (!flushing_ && flush_timer_ == 0 && synced_) {
    // What else changes in this turn of the loop goes along.
    flush_timer_ = env_.loop.run_after(Duration(0), [this] {
      flush_timer_ = 0;
      flush();
    });
  }
}

void Session::flush() {
  // Only after the first assignments: managers refuse what is not this node's any more.
  if (!synced_ || flushing_ || statuses_.empty()) {
    return;
  }
  const auto updates = statuses_.batch(kUpdatesMax);
  dispatch::v1::UpdateTaskStatusRequest request;
  request.set_session_id(session_id_);
  request.mutable_updates()->Assign(updates.begin(), updates.end());
  flushing_ = true;
  rpc::call<methods::UpdateTaskStatus>(
      caller_, config_.dispatcher, request, {.deadline = kReportDeadline},
      mine([this, updates](Result<dispatch::v1::UpdateTaskStatusResponse> reply) {
        on_flushed(updates, reply ? ok() : Status(std::move(reply).error()));
      }));
}

void Session::on_flushed(const std::vector<dispatch::v1::TaskStatusUpdate>& updates,
                         const Status& status) {
  flushing_ = false;
  if (status) {
    statuses_.acknowledge(updates);
    return flush();
  }
  if (status.error().code == Code::kNotFound || status.error().code == Code::kUnauthenticated) {
    return lost(status.error().message);
  }
  SKEP_WARN("task statuses were not taken, sending again", {"cause", status.error().message});
  drop_unknown();
  env_.loop.cancel_timer(flush_timer_);
  flush_timer_ = env_.loop.run_after(kRetryAfter, [this] {
    flush_timer_ = 0;
    flush();
  });
}

void Session::drop_unknown() {
  statuses_.keep([this](const std::string& task_id) { return hooks_.is_known(task_id); });
}

void Session::arm_description() {
  description_timer_ = env_.loop.run_after(kDescribeEvery, [this] {
    describe();
    arm_description();
  });
}

void Session::describe() {
  if (!up() || describing_) {
    return;
  }
  dispatch::v1::UpdateDescriptionRequest request;
  request.set_session_id(session_id_);
  *request.mutable_description() = hooks_.description();
  std::string bytes = stable_bytes(request.description());
  if (bytes == description_sent_) {
    return;
  }
  describing_ = true;
  // Without an answer the managers may have it or not: then it is told again, also when it is as before.
  description_sent_.clear();
  rpc::call<methods::UpdateDescription>(
      caller_, config_.dispatcher, request, {.deadline = kReportDeadline},
      mine([this, bytes](const Result<dispatch::v1::UpdateDescriptionResponse>& reply) {
        describing_ = false;
        if (reply) {
          description_sent_ = bytes;
          describe();  // it may have changed meanwhile
        }
      }));
}

void Session::announce(Farewell farewell, std::function<void()> done) {
  if (!up()) {
    return env_.loop.post(std::move(done));
  }
  dispatch::v1::HeartbeatRequest request;
  request.set_session_id(session_id_);
  request.set_restarting(farewell == Farewell::kWillBeBack);
  request.set_stopping(stopping_ || farewell == Farewell::kForGood);
  rpc::call<methods::Heartbeat>(
      caller_, config_.dispatcher, request, {.deadline = kAnnounceDeadline},
      [done = std::move(done)](const Result<dispatch::v1::HeartbeatResponse>&) { done(); });
}

}  // namespace skep::node
