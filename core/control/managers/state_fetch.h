#pragma once

// Fetches the state from another manager when the log no longer reaches back to what this one holds
// (consensus/1/fetch_snapshot), and puts it in place on disk and in memory, whole or not at all. A
// transfer that breaks goes on where it was. Loop thread only.

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/bus/peers.h"
#include "core/control/managers/raft_mail.h"
#include "core/store/disk_state.h"
#include "skep/consensus.pb.h"
#include "skep/env.h"
#include "skep/manager.pb.h"
#include "skep/rpc.h"

namespace skep::control {

/// Rows out of the bytes of a transfer. Pure. kDataLoss: these are no rows, or not ascending by table and id as
/// every state is read: a row that came twice would count twice in the sum, and once in the state.
class RowReader {
 public:
  Result<std::vector<store::StoredRow>> take(std::string_view bytes);
  [[nodiscard]] bool at_boundary() const { return bytes_.empty(); }

 private:
  static constexpr std::size_t kRowBytesMax = 4 << 20;
  std::string bytes_;
  std::pair<std::uint32_t, std::string> last_;
};

class StateFetch {
 public:
  struct Hooks {
    /// The state is about to be replaced: nothing is applied until `installed`.
    std::function<void()> installing;
    /// It was replaced (true) or stays (false).
    std::function<void(bool replaced)> installed;
  };
  using Done = std::function<void(Result<std::uint64_t>)>;

  /// `peers` nullptr: nothing can be fetched.
  StateFetch(Env& env, bus::Peers* peers, const RaftMail& mail, store::Store& store,
             store::DiskState& disk, Hooks hooks);
  ~StateFetch();
  StateFetch(const StateFetch&) = delete;
  StateFetch& operator=(const StateFetch&) = delete;

  /// Answers the index of a state that holds `index`, once it is in place; an error after a few
  /// tries (consensus asks again, perhaps naming another source). `source` 0: nobody leads, any manager will do.
  /// One at a time: kConflict. A manager
  /// whose state is damaged is not asked again as long as there is another one; kDataLoss: there is none.
  void fetch(std::uint64_t index, std::uint64_t source, Done done);
  void stop();
  /// Chunks taken so far, for tests and `info`.
  [[nodiscard]] std::uint64_t chunks_taken() const { return chunks_taken_; }

 private:
  [[nodiscard]] std::uint64_t fit_source(std::uint64_t wanted) const;
  void unfit(const Error& error);
  void begin();
  void open();
  void go_on();
  void retry();
  void close_stream();
  void on_chunk(const manager::v1::StateChunk& chunk, std::uint64_t generation);
  void take(const manager::v1::StateChunk& chunk);
  void on_ended(Status status, std::uint64_t generation);
  void install(std::vector<store::StoredRow> rows, bool last);
  void finish();
  void broken(const Error& error);
  void answer(Result<std::uint64_t> result);
  template <class F>
  auto guarded(F f);

  Env& env_;
  bus::Peers* const peers_;
  const RaftMail& mail_;
  store::Store& store_;
  store::DiskState& disk_;
  const Hooks hooks_;
  Done done_;
  std::uint64_t min_index_ = 0;
  std::uint64_t wanted_ = 0;       // the source that consensus named
  std::set<std::uint64_t> unfit_;  // members whose state is damaged, or that stood in and did not help
  // The transfer; kept when it broke, so that the same source can go on with it.
  std::uint64_t source_ = 0;
  std::string snapshot_id_;
  std::uint64_t next_chunk_ = 0;
  store::v1::AppliedMark mark_;
  RowReader reader_;
  store::StateHash hash_{};
  std::shared_ptr<rpc::ClientStream> stream_;
  std::uint64_t generation_ = 0;                 // of the stream
  std::deque<manager::v1::StateChunk> waiting_;  // while rows are written; at most a window
  bool writing_ = false;
  bool saw_last_ = false;
  int failures_ = 0;
  std::uint64_t chunks_taken_ = 0;
  TimerId retry_timer_ = 0;
  TimerId silence_timer_ = 0;  // of a source that stands in
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace skep::control
