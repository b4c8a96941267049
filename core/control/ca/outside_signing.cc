#include "core/control/ca/outside_signing.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "core/control/ca/external_ca.h"
#include "core/link/outside.h"
#include "skep/log.h"

namespace skep::control {
namespace {

struct Asking : std::enable_shared_from_this<Asking> {
  Asking(Env& e, bus::HttpsClient& h, OutsideQuestion q, OutsideDone d)
      : env(e), https(h), question(std::move(q)), done(std::move(d)), deadline(e.clock.now() + 2 * kOutsideLimit) {}

  void next();
  void on_answer(Result<bus::HttpsAnswer> answer);
  void refuse(const Error& error);

  Env& env;
  bus::HttpsClient& https;
  const OutsideQuestion question;
  const OutsideDone done;
  const TimePoint deadline;
  std::size_t at = 0;
  std::string refusals;
};

void Asking::next() {
  if (at == question.authorities.size()) {
    return done(Error{Code::kUnavailable,
                      "no external certificate authority signed: " + refusals +
                          "; see to it, or change the list by 'agentctl swarm update --external-ca'",
                      "EXTERNAL_CA"});
  }
  const Duration left = deadline - env.clock.now();
  if (left <= Duration(0)) {
    refuse({Code::kTimeout, "not asked, the others took all the time", "NO_TIME"});
    return next();
  }
  const auto& authority = question.authorities[at];
  https.post({authority.url(), authority.certificate() + "\n" + question.trusted, question.body,
              std::min(left, kOutsideLimit)},
             [self = shared_from_this()](Result<bus::HttpsAnswer> answer) { self->on_answer(std::move(answer)); });
}

void Asking::on_answer(Result<bus::HttpsAnswer> answer) {
  auto made = answer ? read_signing_answer(*answer) : Result<std::string>(std::move(answer).error());
  auto good = made ? question.check(*made) : Result<std::string>(std::move(made).error());
  if (good) {
    return done(std::move(good));
  }
  refuse(good.error());
  next();
}

void Asking::refuse(const Error& error) {
  const std::string& url = question.authorities[at].url();
  SKEP_WARN("an external certificate authority did not sign", {"url", url}, {"cause", error.message});
  refusals += (refusals.empty() ? "" : "; ") + url + ": " + error.message;
  ++at;
}

}  // namespace

void ask_outside(Env& env, bus::HttpsClient* https, OutsideQuestion question, OutsideDone done) {
  if (https == nullptr) {
    return env.loop.post([done = std::move(done)] {
      done(Error{Code::kFailedPrecondition, "this manager cannot reach servers outside the swarm", "EXTERNAL_CA"});
    });
  }
  std::make_shared<Asking>(env, *https, std::move(question), std::move(done))->next();
}

void make_certificate(Env& env, bus::HttpsClient* https, const Order& order, OutsideDone done) {
  if (order.outside.empty()) {
    return done(sign(order, env.clock.wall_now()));
  }
  OutsideQuestion question;
  question.authorities = order.outside;
  question.trusted = order.trusted;
  question.body = signing_question(order.request, order.identity);
  question.check = [&env, order](const std::string& made) -> Result<std::string> {
    SKEP_TRY_ASSIGN(const std::string good,
                    link::check_signed(made, order.request, order.identity, order.root.certificate,
                                       env.clock.wall_now(), order.life));
    return good + order.cross_signed;
  };
  ask_outside(env, https, std::move(question), std::move(done));
}

}  // namespace skep::control
