#pragma once

// Clients that use a few services as registers and remember what they did and saw, for the check of
// linearizability. Each does one thing at a time and asks any manager.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "skep/control.pb.h"
#include "skep/rpc.h"
#include "skep/testing/manual_env.h"
#include "tests/linearizability/linearizability.h"

namespace skep::sim {

class RegisterClients {
 public:
  /// `any_user`: a person on a machine whose agent runs; nullptr: there is none now.
  RegisterClients(testing::ManualLoop& loop, testing::SeededRandom& random,
                  std::function<rpc::Caller*()> any_user);
  void start(std::size_t clients);
  void stop() { stopped_ = true; }
  /// What is under way is of unknown outcome.
  [[nodiscard]] const std::vector<lin::Operation>& history() const { return history_; }
  /// Operations whose outcome is known.
  [[nodiscard]] std::size_t answered() const;

 private:
  /// What the answer to a write means.
  enum class Outcome { kDone, kRefused, kUnknown };
  static Outcome outcome_of(const Status& status);

  void next(int client);
  void act(int client);
  void read(int client, const std::string& key, bool then_update);
  void create(int client, const std::string& key);
  void update(int client, const std::string& key, const model::v1::Service& read);
  void remove(int client, const std::string& key);
  /// Notes the call; the index of the operation in the history.
  std::size_t begin(lin::Operation operation);
  void finish(std::size_t index, const Status& status);
  /// Calls and hands the answer on once: the real one, or none because the agent died.
  template <class Method>
  void ask(int client, const typename Method::Request& request,
           std::function<void(Result<typename Method::Response>)> then);

  testing::ManualLoop& loop_;
  testing::SeededRandom& random_;
  std::function<rpc::Caller*()> any_user_;
  std::vector<lin::Operation> history_;
  std::uint64_t last_value_ = 0;
  bool stopped_ = false;
};

}  // namespace skep::sim
