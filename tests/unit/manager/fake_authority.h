#pragma once

// Certificate authorities outside a swarm, without the network: they read cfssl's questions and sign as
// cfssl does.

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <map>
#include <string>
#include <vector>

#include "core/bus/https_client.h"
#include "core/control/ca/external_ca.h"
#include "core/link/root.h"

namespace skep::control {

class FakeAuthorities final : public bus::HttpsClient {
 public:
  explicit FakeAuthorities(Env& env) : env_(env) {}

  /// Whoever is asked there signs with that root.
  void add(const std::string& url, const link::CertifiedKey& root) { signers_[url] = root; }
  void say(const std::string& url, Result<bus::HttpsAnswer> answer) { answers_.insert_or_assign(url, std::move(answer)); }

  void post(bus::HttpsPost request, Done done) override {
    asked.push_back(request.url);
    bodies.push_back(request.body);
    roots.push_back(request.roots);
    const Duration wait = silent ? request.limit : delay;
    env_.loop.run_after(wait, [this, request = std::move(request), done = std::move(done)] {
      last_answer = env_.loop.now();
      done(silent ? Result<bus::HttpsAnswer>(Error{Code::kTimeout, "it did not answer in time"}) : answer(request));
    });
  }

  std::vector<std::string> asked;  // urls, in order
  std::vector<std::string> bodies;
  std::vector<std::string> roots;
  bool silent = false;   // nobody answers
  bool vouches = false;  // they have a profile "CA"
  std::string wanted_root;  // what they vouch for
  TimePoint last_answer{};
  Duration delay = std::chrono::milliseconds(3);

 private:
  Result<bus::HttpsAnswer> answer(const bus::HttpsPost& request) {
    const auto signer = signers_.find(request.url);
    if (signer == signers_.end()) {
      const auto said = answers_.find(request.url);
      return said == answers_.end() ? Result<bus::HttpsAnswer>(Error{Code::kUnavailable, "nobody is there"}) : said->second;
    }
    const auto question = boost::json::parse(request.body);
    const std::string csr(question.at("certificate_request").as_string());
    if (question.as_object().contains("profile")) {
      return vouches ? signed_answer(*link::cross_sign(signer->second, wanted_root))
                     : bus::HttpsAnswer{400, R"({"success":false,"errors":[{"message":"no profile 'CA'"}]})"};
    }
    const auto& subject = question.at("subject").as_object();
    const std::string name(subject.at("CN").as_string());
    const auto& names = subject.at("names").as_array().at(0).as_object();
    const std::string unit(names.at("OU").as_string());
    const auto role = unit == "swarm-manager"          ? link::Role::kManager
                      : unit == "swarm-locked-manager" ? link::Role::kLockedManager
                                                       : link::Role::kWorker;
    return signed_answer(*link::sign_request(signer->second, csr, {name, role, std::string(names.at("O").as_string())},
                                             env_.clock.wall_now(), std::chrono::hours(24)));
  }
  static bus::HttpsAnswer signed_answer(const std::string& certificate) {
    return {200, boost::json::serialize(boost::json::value{
                     {"success", true}, {"result", {{"certificate", certificate}}}, {"errors", boost::json::array()}})};
  }

  Env& env_;
  std::map<std::string, link::CertifiedKey> signers_;
  std::map<std::string, Result<bus::HttpsAnswer>> answers_;
};

}  // namespace skep::control
