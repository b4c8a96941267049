#pragma once

// A client that follows changes (control/1/watch) and goes on at another manager again and again, as a dashboard
// does whose agent is restarted. What it is told must be what was committed: in order, without a gap, nothing twice
// in one stream and nothing before it was committed.

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/store/store.h"
#include "skep/control.pb.h"
#include "skep/rpc.h"
#include "skep/testing/manual_env.h"

namespace skep::sim {

class WatchClient {
 public:
  /// `users`: people on the machines whose managers run. Draws from randomness of its own.
  WatchClient(testing::ManualLoop& loop, std::uint64_t seed, std::function<std::vector<rpc::Caller*>()> users,
              std::function<void(const std::string&)> violate);
  void start();
  /// While single messages get lost, which no stream over TCP would survive.
  void pause();
  void go_on();
  /// What the first manager that applied an entry saw of it: the truth.
  void on_commit(const store::Commit& commit);
  /// In the end: what was committed so long ago must have been told.
  void check_told(Duration within) const;
  [[nodiscard]] std::size_t told() const { return told_; }
  [[nodiscard]] std::size_t resumed() const { return resumed_; }

 private:
  using Key = std::pair<std::string, std::string>;  // table, id
  struct Change {
    std::uint64_t version = 0;
    std::string action;
    Key key;
    TimePoint at;
  };
  void open();
  void open_later();
  void on_event(const control::v1::WatchEvent& event);
  void on_synced(std::uint64_t version);
  void on_change(const control::v1::WatchEvent& event);
  void on_end(const Status& status);
  /// The first change above that version.
  [[nodiscard]] std::size_t above(std::uint64_t version) const;

  testing::ManualLoop& loop_;
  testing::SeededRandom random_;
  std::function<std::vector<rpc::Caller*>()> users_;
  std::function<void(const std::string&)> violate_;
  std::vector<Change> truth_;
  std::shared_ptr<rpc::ClientStream> stream_;
  std::uint64_t generation_ = 0;  // of the stream: what an earlier one still says does not count
  std::uint64_t whole_ = 0;       // the last commit that came whole; 0: begin with what is there
  std::uint64_t newest_ = 0;      // the commit whose changes come now
  std::size_t next_ = 0;          // in truth_
  bool paused_ = false;
  bool synced_ = false;
  std::set<Key> present_;
  std::size_t told_ = 0;
  std::size_t resumed_ = 0;
};

}  // namespace skep::sim
