#pragma once

// Bytes of the write-ahead log. All numbers are little-endian.
//
//   log      := segment+                       files 0000000000000001.wal, ... without a gap
//   segment  := header record* zero*           exactly header.segment_bytes long, preallocated
//   header   := "SKEPWAL1" format:u32 size:u32 sequence:u64 first_index:u64 last_term:u64
//               previous_end:u64 segment_bytes:u64 member:u64 key_id:u64 chain:u32
//               cluster:str16 wrapped_key:str16 zero* crc:u32          (512 bytes, one sector)
//   record   := length:u32 type:u8 flags:u8 zero:u16 crc:u32 header_crc:u32 payload end:u8 zero*
//               padded to 16 bytes, so that a record's header never straddles a sector
//   crc        = crc32c(previous record's crc, first 8 bytes, payload, end)
//   header_crc = crc32c(previous record's crc, first 12 bytes), highest bit set
//
// A record that was altered, lost, moved or put between others breaks the chain. `end` and the last
// byte of a header are never zero, and space that was never written is zero: that tells a torn write
// from a damaged record.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "plugins/consensus/raft/types.h"
#include "skep/result.h"

namespace skep::raft {

inline constexpr std::size_t kSectorBytes = 512;
inline constexpr std::size_t kSegmentHeaderBytes = 512;
inline constexpr std::size_t kRecordHeaderBytes = 16;
inline constexpr std::size_t kRecordAlign = 16;
/// Entry data, its fields, and what a seal may add.
inline constexpr std::size_t kRecordPayloadMax = kEntryBytesMax + 1024;

struct SegmentHeader {
  std::uint64_t sequence = 0;
  Index first_index = 1;           ///< the index that follows the last one of the segment before
  Term last_term = 0;              ///< term of first_index - 1
  std::uint64_t previous_end = 0;  ///< where the records of the segment before end
  std::uint64_t segment_bytes = 0;
  MemberId member = kNobody;
  std::uint64_t key_id = 0;   ///< data key the records are sealed with; 0: not sealed
  std::uint32_t chain = 0;    ///< crc of the record before the first one
  std::string cluster;        ///< at most 128 bytes
  std::string wrapped_key;    ///< at most 240 bytes; the data key as only its owner can open it
};

std::string encode_segment_header(const SegmentHeader& header);
/// kDataLoss: not a header or damaged. kFailedPrecondition: of a newer format.
Result<SegmentHeader> decode_segment_header(std::string_view bytes);

enum class RecordType : std::uint8_t {
  kEntry = 1,
  kHardState = 2,
  kTruncate = 3,   ///< entries above an index are void
  kWatermark = 4,  ///< everything before a position was synced when this was written
  kMark = 5,       ///< a SnapshotMark: entries up to it are void
  kSegmentEnd = 6, ///< the next segment exists
};
inline constexpr std::uint8_t kFlagSealed = 1;

struct RecordHeader {
  std::uint32_t length = 0;  ///< of the payload
  std::uint8_t type = 0;
  std::uint8_t flags = 0;
  std::uint32_t crc = 0;  ///< the chain after this record
};

/// Bytes a record with such a payload takes in the file.
std::uint64_t record_bytes(std::uint64_t payload_bytes);
/// Appends one record to `out` and moves `chain` on.
void append_record(std::string& out, RecordType type, std::uint8_t flags, std::string_view payload,
                   std::uint32_t& chain);
/// nullopt: not the header of the record that follows `chain`. `bytes` holds kRecordHeaderBytes.
std::optional<RecordHeader> decode_record_header(std::string_view bytes, std::uint32_t chain);
/// True when `record` (whole, padding included) is the intact record of `header` after `chain`.
bool record_is_intact(const RecordHeader& header, std::string_view record, std::uint32_t chain);

/// Payload of kWatermark. It proves itself without the chain, so that it is also found behind damage.
struct Watermark {
  std::uint64_t sequence = 0;
  std::uint64_t synced_end = 0;
  std::uint32_t chain = 0;
};
inline constexpr std::size_t kWatermarkBytes = 32;

std::string encode_entry(const Entry& entry);
std::string encode_hard_state(const HardState& state);
std::string encode_index(Index index);
std::string encode_watermark(const Watermark& watermark);
std::string encode_mark(const SnapshotMark& mark);
Result<Entry> decode_entry(std::string_view payload);
Result<HardState> decode_hard_state(std::string_view payload);
Result<Index> decode_index(std::string_view payload);
Result<Watermark> decode_watermark(std::string_view payload);
Result<SnapshotMark> decode_mark(std::string_view payload);
std::string encode_membership(const Membership& membership);
Result<Membership> decode_membership(std::string_view bytes);

}  // namespace skep::raft
