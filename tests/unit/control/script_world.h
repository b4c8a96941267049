#pragma once

// The world of the script tests: the real store, the real manager loops, virtual time, a proposer that
// commits at once, and nodes that do what the script says. What the managers wrote is told as lines.

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/control/control_loop.h"
#include "core/store/store.h"
#include "skep/testing/manual_env.h"

namespace skep::control::testing {

namespace pb = model::v1;

class ScriptWorld {
 public:
  ScriptWorld();
  ~ScriptWorld();

  /// Runs one line of a script; returns what the managers did, or "error: ...".
  std::string run(const std::string& line);

 private:
  class DirectProposer;
  using Words = std::vector<std::string>;

  void lead();
  void settle();
  bool act_as_nodes();
  void commit(store::Transaction transaction);
  void tell(const store::Commit& commit);
  std::string describe(const store::Event& event);
  std::string describe_task(const pb::Task* before, const pb::Task* after);
  std::string task_name(const pb::Task& task);
  pb::Task find_task(const std::string& name) const;
  pb::Service find_service(const std::string& name) const;

  void command_node(const Words& words);
  void command_service(const Words& words);
  void command_update(const Words& words);
  void command_rollback(const Words& words);
  void command_report(const Words& words, const std::string& line);
  void apply_words(pb::ServiceSpec& spec, const Words& words, std::size_t from);

  skep::testing::ManualEnv env_;
  store::Store store_;
  std::unique_ptr<DirectProposer> proposer_;
  std::vector<std::unique_ptr<ControlLoop>> loops_;
  std::vector<std::string> lines_;
  std::map<std::string, std::string> names_;    // task id to "web.1#2"
  std::map<std::string, int> incarnations_;     // slot to how many tasks it had
  bool silent_ = false;  // the script's own writes are not told
  bool auto_nodes_ = false;
};

}  // namespace skep::control::testing
