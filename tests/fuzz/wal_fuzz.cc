// Any bytes as a segment of the raft log: recovery answers a log or an error, never crashes, and what
// it accepted it accepts again with the same content. The first byte says how: as they are, or with
// a valid segment header (and records whose checksums are put right) before them.

#include <cstdint>

#include "plugins/consensus/raft/wal.h"
#include "skep/log.h"
#include "skep/testing/manual_env.h"

namespace {

namespace raft = skep::raft;

constexpr std::size_t kSegmentBytes = 8 * 1024;

raft::WalOptions options() {
  raft::WalOptions made;
  made.directory = "/raft";
  made.cluster = "c1";
  made.member = 7;
  made.segment_bytes = kSegmentBytes;
  return made;
}

std::string segment_header() {
  raft::SegmentHeader header;
  header.sequence = 1;
  header.segment_bytes = kSegmentBytes;
  header.member = 7;
  header.cluster = "c1";
  return encode_segment_header(header);
}

/// Takes the input as (type, length, payload)* and chains real records of it.
std::string chained_records(std::string_view input) {
  std::string records;
  std::uint32_t chain = 0;
  while (input.size() >= 2) {
    const auto type = static_cast<raft::RecordType>(input[0]);
    const auto length = std::min<std::size_t>(static_cast<unsigned char>(input[1]), input.size() - 2);
    raft::append_record(records, type, 0, input.substr(2, length), chain);
    input.remove_prefix(2 + length);
  }
  return records;
}

void check(const std::string& segment) {
  skep::testing::MemoryDisk disk;
  SKEP_ASSERT(disk.make_directories("/raft", 0700), "an empty disk takes a directory");
  auto file = disk.open("/raft/0000000000000001.wal", skep::OpenMode::kCreate);
  SKEP_ASSERT(file && (*file)->write(0, segment), "an empty disk takes a file");
  auto first = raft::Wal::open(disk, options());
  if (!first) {
    return;
  }
  auto second = raft::Wal::open(disk, options());
  SKEP_ASSERT(second, "a repaired log opens");
  SKEP_ASSERT((*first)->last_index() == (*second)->last_index() &&
                  (*first)->hard_state() == (*second)->hard_state() &&
                  (*first)->mark() == (*second)->mark(),
              "a repaired log holds the same");
  for (auto index = (*second)->first_index(); index <= (*second)->last_index(); ++index) {
    SKEP_ASSERT((*second)->entries(index, index, 1 << 20), "what recovery accepted can be read");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const bool quiet = [] {
    skep::log::set_sink([](skep::LogLevel, std::string_view) {});
    return true;
  }();
  if (!quiet || size == 0) {
    return 0;
  }
  const std::string_view input(reinterpret_cast<const char*>(data + 1), size - 1);
  std::string segment;
  if (data[0] % 3 == 0) {
    segment = input;
  } else {
    segment = segment_header() + (data[0] % 3 == 1 ? std::string(input) : chained_records(input));
  }
  segment.resize(kSegmentBytes, '\0');
  check(segment);
  return 0;
}
