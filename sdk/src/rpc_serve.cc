// The answering half of RpcEndpoint: dispatch by method, one answer per call whatever happens.

#include "rpc_core.h"

namespace skep::rpc {
namespace {

/// Carries the one answer of a unary call. Its destructor runs wherever the handler dropped its last
/// copy, so an answer that never came is reported through the loop.
class ReplyGuard {
 public:
  ReplyGuard(std::weak_ptr<EndpointCore> core, std::uint64_t id, std::uint64_t connection)
      : core_(std::move(core)), id_(id), connection_(connection) {}
  ReplyGuard(const ReplyGuard&) = delete;
  ReplyGuard& operator=(const ReplyGuard&) = delete;
  ~ReplyGuard() {
    if (replied_) {
      return;
    }
    if (auto core = core_.lock()) {
      Loop& loop = core->loop();
      loop.post([core = std::move(core), id = id_, connection = connection_] {
        core->answer(id, connection,
                     Error{Code::kInternal, "the handler ended without an answer", "NO_ANSWER"});
      });
    }
  }
  void reply(Result<Body> result) {
    SKEP_ASSERT(!replied_, "a Reply is called exactly once");
    replied_ = true;
    if (const auto core = core_.lock()) {
      core->answer(id_, connection_, std::move(result));
    }
  }

 private:
  std::weak_ptr<EndpointCore> core_;
  std::uint64_t id_;
  std::uint64_t connection_;
  bool replied_ = false;
};

CallContext context_of(const bus::v1::Header& header) {
  CallContext context;
  context.principal = header.principal();
  context.source = header.source();
  context.time_left = std::chrono::milliseconds(
      static_cast<std::int64_t>(std::min<std::uint64_t>(header.deadline_ms(), 1ULL << 53U)));
  context.operation_id = header.operation_id();
  context.trace_id = header.trace_id();
  return context;
}

}  // namespace

void EndpointCore::on_request(const bus::v1::Header& header, Body body) {
  const auto id = header.correlation();
  if (served_.contains(id)) {
    ++stats_.malformed_frames;  // a correlation is unique per connection
    return;
  }
  if (served_.size() >= options_.served_max) {
    return refuse(header, Error{Code::kResourceExhausted,
                                "'" + options_.name + "' is answering " +
                                    std::to_string(options_.served_max) + " calls already",
                                "TOO_MANY_CALLS"});
  }
  const MethodTable::Entry* entry = table_.find(header.method());
  if (entry == nullptr) {
    return refuse(header, unknown_method(header.method()));
  }
  Served served;
  served.answer_type = header.type() == bus::v1::EVENT ? bus::v1::ACK : bus::v1::RESPONSE;
  if (entry->stream) {
    auto stream = std::make_shared<ServerStreamImpl>(weak_from_this(), id, connection_,
                                                     context_of(header));
    served.stream = stream;
    served_.emplace(id, std::move(served));
    return entry->stream(std::move(body), std::move(stream));
  }
  served_.emplace(id, std::move(served));
  const auto guard = std::make_shared<ReplyGuard>(weak_from_this(), id, connection_);
  entry->unary(std::move(body), context_of(header),
               [guard](Result<Body> result) { guard->reply(std::move(result)); });
}

void EndpointCore::answer(std::uint64_t id, std::uint64_t connection, Result<Body> result) {
  const auto it = connection == connection_ ? served_.find(id) : served_.end();
  if (it == served_.end()) {
    ++stats_.late_replies;
    return;
  }
  bus::v1::Header header;
  header.set_type(it->second.answer_type);
  header.set_correlation(id);
  served_.erase(it);
  Body body;
  if (result && result->size() > kBodyMax) {
    set_status(header, Error{Code::kResourceExhausted,
                             "answer of " + std::to_string(result->size()) +
                                 " bytes is above the limit of " + std::to_string(kBodyMax) +
                                 ": ask for less",
                             "MESSAGE_TOO_BIG"});
  } else if (result) {
    body = *std::move(result);
  } else {
    set_status(header, result.error());
  }
  (void)send_frame(header, std::move(body));  // a carrier that refuses an answer disconnects us
}

void EndpointCore::on_cancel_request(std::uint64_t id) {
  const auto it = served_.find(id);
  if (it == served_.end()) {
    return;  // answered meanwhile
  }
  const auto stream = it->second.stream.lock();
  answer(id, connection_, Error{Code::kCancelled, "the caller cancelled the call", "CANCELLED"});
  if (stream) {
    stream->on_cancel();
  }
}

void EndpointCore::refuse(const bus::v1::Header& request, Error error) {
  bus::v1::Header header;
  header.set_type(request.type() == bus::v1::EVENT ? bus::v1::ACK : bus::v1::RESPONSE);
  header.set_correlation(request.correlation());
  set_status(header, error);
  (void)send_frame(header, {});
}

Error EndpointCore::unknown_method(const std::string& method) const {
  std::vector<std::string> names;
  for (const auto& [name, entry] : table_.entries()) {
    names.push_back(name);
  }
  std::string message = "'" + options_.name + "' has no method '" + method + "'";
  if (const auto nearest = nearest_name(method, names); !nearest.empty()) {
    message += "; did you mean '" + nearest + "'?";
  }
  return Error{Code::kUnimplemented, std::move(message), "UNKNOWN_METHOD"};
}

}  // namespace skep::rpc
