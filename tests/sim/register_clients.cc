#include "register_clients.h"

#include <algorithm>

#include "core/control/errors.h"
#include "skep/control.methods.h"

namespace skep::sim {

namespace {

using namespace std::chrono_literals;
namespace methods = control::v1::methods;

constexpr std::size_t kKeys = 3;
constexpr std::chrono::milliseconds kDeadline{20'000};
constexpr Duration kGiveUp = 25s;  // whoever was asked is gone and never answers
constexpr const char* kLabel = "value";

std::string value_of(const model::v1::Service& service) {
  const auto found = service.spec().labels().find(kLabel);
  return found == service.spec().labels().end() ? std::string("unlabelled") : found->second;
}

model::v1::ServiceSpec spec_of(const std::string& key, const std::string& value) {
  model::v1::ServiceSpec spec;
  spec.set_name(key);
  spec.mutable_replicated()->set_replicas(0);
  spec.mutable_task()->mutable_container()->set_image("app:1");
  (*spec.mutable_labels())[kLabel] = value;
  return spec;
}

/// Nobody looked at the request, or it was refused: it is in no log and never will be.
bool surely_refused(const Error& error) {
  return control::is_refusal(error.code) ||
         (error.code == Code::kUnavailable &&
          (error.reason == "NO_LEADER" || error.reason == "NOT_LEADER" ||
           error.reason == "PROPOSAL_DROPPED" || error.reason == "NODE_UNREACHABLE"));
}

}  // namespace

RegisterClients::RegisterClients(testing::ManualLoop& loop, testing::SeededRandom& random,
                                 std::function<rpc::Caller*()> any_user)
    : loop_(loop), random_(random), any_user_(std::move(any_user)) {}

void RegisterClients::start(std::size_t clients) {
  for (std::size_t i = 1; i <= clients; ++i) {
    next(static_cast<int>(i));
  }
}

RegisterClients::Outcome RegisterClients::outcome_of(const Status& status) {
  return status                          ? Outcome::kDone
         : surely_refused(status.error()) ? Outcome::kRefused
                                          : Outcome::kUnknown;
}

std::size_t RegisterClients::begin(lin::Operation operation) {
  operation.called = (loop_.now() - TimePoint{}).count();
  history_.push_back(std::move(operation));
  return history_.size() - 1;
}

void RegisterClients::finish(std::size_t index, const Status& status) {
  lin::Operation& operation = history_[index];
  switch (outcome_of(status)) {
    case Outcome::kDone:
      operation.returned = (loop_.now() - TimePoint{}).count();
      break;
    case Outcome::kRefused:
      // Says nothing and did nothing: as a read that never came back.
      operation.kind = lin::Kind::kRead;
      operation.returned = lin::kNever;
      break;
    case Outcome::kUnknown:
      break;
  }
  next(operation.client);
}

std::size_t RegisterClients::answered() const {
  return static_cast<std::size_t>(
      std::count_if(history_.begin(), history_.end(),
                    [](const lin::Operation& operation) { return operation.returned != lin::kNever; }));
}

void RegisterClients::next(int client) {
  if (!stopped_) {
    loop_.run_after(std::chrono::milliseconds(20 + random_.below(900)), [this, client] { act(client); });
  }
}

void RegisterClients::act(int client) {
  const std::string key = "r" + std::to_string(1 + random_.below(kKeys));
  switch (random_.below(10)) {
    case 0:
    case 1: return create(client, key);
    case 2: return remove(client, key);
    case 3:
    case 4:
    case 5: return read(client, key, /*then_update=*/false);
    default: return read(client, key, /*then_update=*/true);
  }
}

template <class Method>
void RegisterClients::ask(int client, const typename Method::Request& request,
                          std::function<void(Result<typename Method::Response>)> then) {
  rpc::Caller* user = any_user_();
  if (user == nullptr) {
    return then(Error{Code::kUnavailable, "no agent runs", "NO_LEADER"});
  }
  struct Pending {
    bool answered = false;
    TimerId timer = 0;
  };
  auto pending = std::make_shared<Pending>();
  pending->timer = loop_.run_after(kGiveUp, [pending, then] {
    pending->answered = true;
    then(Error{Code::kTimeout, "no answer", "NO_ANSWER"});
  });
  static_cast<void>(client);
  rpc::call<Method>(*user, "core", request, {.deadline = kDeadline},
                    [this, pending, then](Result<typename Method::Response> answer) {
                      if (!std::exchange(pending->answered, true)) {
                        loop_.cancel_timer(pending->timer);
                        then(std::move(answer));
                      }
                    });
}

void RegisterClients::read(int client, const std::string& key, bool then_update) {
  const std::size_t index = begin({.client = client, .kind = lin::Kind::kRead, .key = key});
  control::v1::GetServiceRequest request;
  request.set_ref(key);
  ask<methods::GetService>(
      client, request,
      [this, index, client, key, then_update](Result<control::v1::GetServiceResponse> answer) {
        if (!answer) {
          const bool absent = answer.error().code == Code::kNotFound;
          return finish(index, absent ? ok() : Status(Error{Code::kTimeout, "not read"}));
        }
        history_[index].value = value_of(answer->service());
        history_[index].returned = (loop_.now() - TimePoint{}).count();
        then_update ? update(client, key, answer->service()) : next(client);
      });
}

void RegisterClients::create(int client, const std::string& key) {
  const std::string value = "v" + std::to_string(++last_value_);
  const std::size_t index =
      begin({.client = client, .kind = lin::Kind::kCreate, .key = key, .value = value});
  control::v1::CreateServiceRequest request;
  *request.mutable_spec() = spec_of(key, value);
  ask<methods::CreateService>(client, request, [this, index](const auto& answer) {
    finish(index, answer ? ok() : Status(answer.error()));
  });
}

void RegisterClients::update(int client, const std::string& key, const model::v1::Service& read) {
  const std::string value = "v" + std::to_string(++last_value_);
  const std::size_t index = begin({.client = client,
                                   .kind = lin::Kind::kUpdate,
                                   .key = key,
                                   .expected = value_of(read),
                                   .value = value});
  control::v1::UpdateServiceRequest request;
  request.set_ref(read.id());
  request.set_version(read.meta().version());
  *request.mutable_spec() = read.spec();
  (*request.mutable_spec()->mutable_labels())[kLabel] = value;
  ask<methods::UpdateService>(client, request, [this, index](const auto& answer) {
    finish(index, answer ? ok() : Status(answer.error()));
  });
}

void RegisterClients::remove(int client, const std::string& key) {
  const std::size_t index = begin({.client = client, .kind = lin::Kind::kRemove, .key = key});
  control::v1::RemoveServiceRequest request;
  request.set_ref(key);
  ask<methods::RemoveService>(client, request, [this, index](const auto& answer) {
    finish(index, answer ? ok() : Status(answer.error()));
  });
}

}  // namespace skep::sim
