#pragma once

// Gives the state on disk to managers that are behind, in chunks (manager/1/fetch_state). Each
// transfer reads one consistent snapshot; it can be resumed for a while after its stream broke, as
// the last chunks are kept. Loop thread only.

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/store/disk_state.h"
#include "skep/env.h"
#include "skep/manager.methods.h"
#include "skep/rpc.h"

namespace skep::control {

class StateSource {
 public:
  static constexpr std::size_t kChunkBytes = 192 << 10;
  static constexpr std::size_t kChunksKept = 16;  ///< two windows of a stream, and some
  static constexpr std::size_t kTransfersMax = 4;
  static constexpr Duration kIdle = std::chrono::seconds{60};

  using Stream = rpc::TypedServerStream<manager::v1::methods::FetchState>;

  StateSource(Env& env, store::DiskState& disk);
  ~StateSource();
  StateSource(const StateSource&) = delete;
  StateSource& operator=(const StateSource&) = delete;

  /// kNotFound SNAPSHOT_GONE, kResourceExhausted TOO_MANY_TRANSFERS, kUnavailable STATE_BEHIND: the saved state does not
  /// hold min_index yet, perhaps it never will.
  void serve(const manager::v1::FetchStateRequest& request, Stream stream);
  /// Ends all transfers: the state on disk is about to be replaced, or the manager stops.
  void drop_all(const Error& error);

 private:
  struct Transfer;
  void begin(const manager::v1::FetchStateRequest& request, Stream stream);
  void attach(Transfer& transfer, std::uint64_t next, Stream stream);
  void pump(const std::string& id);
  void read_on(Transfer& transfer);
  void take_rows(Transfer& transfer, const std::vector<store::StoredRow>& rows);
  void end(const std::string& id, const Error& error);
  void arm_idle(Transfer& transfer);

  Env& env_;
  store::DiskState& disk_;
  std::map<std::string, std::unique_ptr<Transfer>> transfers_;
  std::size_t starting_ = 0;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

/// Of a chunk's data.
std::uint64_t chunk_checksum(std::string_view data);

}  // namespace skep::control
