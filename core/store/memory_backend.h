#pragma once

// The applied state in memory, as the simulator and tests keep it: unsynced batches can be lost.

#include <optional>
#include <vector>

#include "core/store/state_backend.h"
#include "skep/env.h"

namespace skep::store {

class MemoryBackend final : public StateBackend {
 public:
  Result<LoadedState> open() override;
  Status write(const StateBatch& batch) override;
  Status sync() override;
  Status set_aside() override;
  Result<std::unique_ptr<StateCursor>> snapshot() override;
  Status begin_install() override;
  Status install(const std::vector<StoredRow>& rows) override;
  Result<LoadedState> finish_install(const v1::AppliedMark& mark) override;
  [[nodiscard]] std::string description() const override { return "memory state"; }

  /// Power failure: keeps what was synced and a random number of the batches written after it.
  void crash(Random& random);
  /// The next `count` writes or syncs fail with `error`.
  void fail_next(std::size_t count, Error error);
  /// A defect for tests: forgets one row without a trace.
  void lose_row(std::uint32_t table, const std::string& id);
  /// A defect for tests: who reads the state through a cursor comes upon a row that cannot be read.
  void damage_reads(bool damaged) { damaged_ = damaged; }
  enum class FlipIs { kNoticed, kSilent };
  /// A defect of the disk: one bit of one row is another. Noticed by whoever reads that row, as with a checksum; or by
  /// nobody but who knows the hash of all rows. Until the row is written again. False: there is no row.
  bool flip_bit(Random& random, FlipIs how);
  [[nodiscard]] bool is_flipped() const;
  [[nodiscard]] std::size_t unsynced() const { return unsynced_.size(); }

 private:
  struct Content {
    std::map<std::pair<std::uint32_t, std::string>, v1::StoredObject> rows;
    v1::AppliedMark mark;
  };
  static void put(Content& content, const StateBatch& batch);
  Status maybe_fail();

  struct Flip {
    std::pair<std::uint32_t, std::string> row;
    std::string object;  ///< as it is now
    FlipIs how;
  };
  [[nodiscard]] bool is_flipped(const Content& content) const;
  /// A row of them cannot be read.
  [[nodiscard]] bool is_damaged(const Content& content) const {
    return is_flipped(content) && flip_->how == FlipIs::kNoticed;
  }
  class Cursor;
  [[nodiscard]] Content present() const;

  Content durable_;
  Content incoming_;
  std::vector<StateBatch> unsynced_;
  bool damaged_ = false;
  std::optional<Flip> flip_;
  std::size_t failures_ = 0;
  Error failure_{Code::kResourceExhausted, "no space left", "DISK_FULL"};
};

}  // namespace skep::store
