// Any bytes as messages of other members to a raft member: it takes or refuses them and never breaks
// by itself. A member may find an invariant broken only when two leaders of one term speak, which
// authenticated members never do; that is caught like the driver does.

#include <cstdint>

#include "plugins/consensus/raft/raft.h"
#include "plugins/consensus/raft/wal.h"
#include "skep/log.h"
#include "skep/testing/manual_env.h"

namespace {

namespace raft = skep::raft;

/// One member of three over a log in memory.
class Member {
 public:
  Member() {
    raft::WalOptions options;
    options.directory = "/raft";
    options.cluster = "c";
    options.member = 1;
    options.segment_bytes = 64 * 1024;
    auto opened = raft::Wal::open(disk_, options);
    SKEP_ASSERT(opened, "an empty disk takes a log");
    wal_ = *std::move(opened);
    raft::RaftOptions raft_options;
    raft_options.id = 1;
    raft_options.ready_bytes_max = 8 * 1024;
    raft_options.random = [this](std::uint64_t bound) { return random_.below(bound); };
    raft::Membership members;
    for (raft::MemberId id = 1; id <= 3; ++id) {
      members.members.push_back({id, "n", "a", false});
    }
    raft_.emplace(raft_options, *wal_, raft::HardState{}, members, 0);
  }

  void feed(std::string_view input) {
    while (input.size() >= 2) {
      const auto command = static_cast<unsigned char>(input[0]);
      const auto length = std::min<std::size_t>(static_cast<unsigned char>(input[1]), input.size() - 2);
      const std::string_view bytes = input.substr(2, length);
      input.remove_prefix(2 + length);
      if (command % 4 == 0) {
        raft_->tick();
      } else if (auto message = raft::decode_message(bytes, "c")) {
        message->to = 1;
        (void)raft_->step(*std::move(message));
      }
      if (!settle()) {
        return;
      }
    }
  }

 private:
  bool settle() {
    for (int round = 0; raft_->has_ready(); ++round) {
      SKEP_ASSERT(round < 1000, "rounds end");
      const raft::Ready ready = raft_->ready();
      if (ready.snapshot && !wal_->set_mark(*ready.snapshot)) {
        return false;
      }
      if (ready.must_sync && (!wal_->append(ready.entries, ready.hard_state) || !wal_->sync())) {
        return false;  // Larger than this small log takes.
      }
      raft_->advance(ready);
    }
    return true;
  }

  skep::testing::MemoryDisk disk_;
  skep::testing::SeededRandom random_{1};
  std::unique_ptr<raft::Wal> wal_;
  std::optional<raft::Raft> raft_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const bool quiet = [] {
    skep::log::set_sink([](skep::LogLevel, std::string_view) {});
    return true;
  }();
  if (!quiet) {
    return 0;
  }
  try {
    Member().feed({reinterpret_cast<const char*>(data), size});
  } catch (const raft::BrokenInvariant&) {
    return 0;
  }
  return 0;
}
