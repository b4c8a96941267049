#include "plugins/consensus/raft/wal_format.h"

#include <array>

#include "plugins/consensus/raft/bytes.h"
#include "plugins/consensus/raft/crc32c.h"

namespace skep::raft {
namespace {

constexpr std::string_view kSegmentMagic = "SKEPWAL1";
constexpr std::uint64_t kWatermarkMagic = 0x31'4B'52'41'4D'4C'41'57;  // "WALMARK1"
constexpr std::uint32_t kFormat = 1;
constexpr char kRecordEnd = '\x5A';
constexpr std::uint64_t kMembersMax = 1024;

Error malformed(std::string_view what) {
  return Error{Code::kDataLoss, "malformed " + std::string(what), "LOG_DAMAGED"};
}

/// Its last byte is never zero: a header that was written in part shows it.
std::uint32_t header_check(std::uint32_t chain, std::string_view first_bytes) {
  return crc32c(chain, first_bytes) | 0x8000'0000U;
}

}  // namespace

std::string encode_segment_header(const SegmentHeader& header) {
  ByteWriter out;
  out.raw(kSegmentMagic);
  out.u32(kFormat);
  out.u32(kSegmentHeaderBytes);
  out.u64(header.sequence);
  out.u64(header.first_index);
  out.u64(header.last_term);
  out.u64(header.previous_end);
  out.u64(header.segment_bytes);
  out.u64(header.member);
  out.u64(header.key_id);
  out.u32(header.chain);
  out.str16(header.cluster);
  out.str16(header.wrapped_key);
  std::string bytes = out.take();
  SKEP_ASSERT(bytes.size() <= kSegmentHeaderBytes - 4, "cluster id and key were checked for length");
  bytes.resize(kSegmentHeaderBytes - 4);
  ByteWriter crc;
  crc.u32(crc32c(0, bytes));
  return bytes + crc.take();
}

Result<SegmentHeader> decode_segment_header(std::string_view bytes) {
  if (bytes.size() != kSegmentHeaderBytes || !bytes.starts_with(kSegmentMagic)) {
    return malformed("segment header");
  }
  ByteReader crc(bytes.substr(kSegmentHeaderBytes - 4));
  if (crc.u32() != crc32c(0, bytes.substr(0, kSegmentHeaderBytes - 4))) {
    return malformed("segment header (checksum)");
  }
  ByteReader in(bytes.substr(kSegmentMagic.size(), kSegmentHeaderBytes - 4 - kSegmentMagic.size()));
  const std::uint32_t format = in.u32();
  if (format != kFormat) {
    return Error{Code::kFailedPrecondition,
                 "the log has format " + std::to_string(format) +
                     ", this build reads format 1; use the build that wrote it",
                 "LOG_FORMAT"};
  }
  in.u32();
  SegmentHeader header;
  header.sequence = in.u64();
  header.first_index = in.u64();
  header.last_term = in.u64();
  header.previous_end = in.u64();
  header.segment_bytes = in.u64();
  header.member = in.u64();
  header.key_id = in.u64();
  header.chain = in.u32();
  header.cluster = in.str16();
  header.wrapped_key = in.str16();
  if (!in.good()) {
    return malformed("segment header");
  }
  return header;
}

std::uint64_t record_bytes(std::uint64_t payload_bytes) {
  const std::uint64_t bare = kRecordHeaderBytes + payload_bytes + 1;
  return (bare + kRecordAlign - 1) / kRecordAlign * kRecordAlign;
}

void append_record(std::string& out, RecordType type, std::uint8_t flags, std::string_view payload,
                   std::uint32_t& chain) {
  SKEP_ASSERT(payload.size() <= kRecordPayloadMax, "payloads are limited where they enter");
  ByteWriter header;
  header.u32(static_cast<std::uint32_t>(payload.size()));
  header.u8(static_cast<std::uint8_t>(type));
  header.u8(flags);
  header.u16(0);
  const std::string_view end(&kRecordEnd, 1);
  std::uint32_t crc = crc32c(chain, header.view());
  crc = crc32c(crc32c(crc, payload), end);
  header.u32(crc);
  header.u32(header_check(chain, header.view()));
  const std::size_t start = out.size();
  out.append(header.view()).append(payload).append(end);
  out.resize(start + record_bytes(payload.size()), '\0');
  chain = crc;
}

std::optional<RecordHeader> decode_record_header(std::string_view bytes, std::uint32_t chain) {
  ByteReader in(bytes.substr(0, kRecordHeaderBytes));
  RecordHeader header;
  header.length = in.u32();
  header.type = in.u8();
  header.flags = in.u8();
  in.u16();
  header.crc = in.u32();
  const std::uint32_t header_crc = in.u32();
  if (!in.good() || header.length > kRecordPayloadMax || header.type == 0 ||
      header_crc != header_check(chain, bytes.substr(0, 12))) {
    return std::nullopt;
  }
  return header;
}

bool record_is_intact(const RecordHeader& header, std::string_view record, std::uint32_t chain) {
  const std::size_t covered = kRecordHeaderBytes + header.length + 1;
  if (record.size() < covered || record[covered - 1] != kRecordEnd) {
    return false;
  }
  const std::uint32_t crc = crc32c(chain, record.substr(0, 8));
  return crc32c(crc, record.substr(kRecordHeaderBytes, header.length + 1)) == header.crc;
}

std::string encode_entry(const Entry& entry) {
  ByteWriter out;
  out.u64(entry.index);
  out.u64(entry.term);
  out.u8(static_cast<std::uint8_t>(entry.kind));
  out.raw(entry.data);
  return out.take();
}

Result<Entry> decode_entry(std::string_view payload) {
  ByteReader in(payload);
  Entry entry;
  entry.index = in.u64();
  entry.term = in.u64();
  const std::uint8_t kind = in.u8();
  entry.data = std::string(in.rest());
  if (!in.good() || entry.data.size() > kEntryBytesMax || kind < 1 || kind > 3) {
    return malformed("entry record");
  }
  entry.kind = static_cast<EntryKind>(kind);
  return entry;
}

std::string encode_hard_state(const HardState& state) {
  ByteWriter out;
  out.u64(state.term);
  out.u64(state.vote);
  out.u64(state.commit);
  return out.take();
}

Result<HardState> decode_hard_state(std::string_view payload) {
  ByteReader in(payload);
  HardState state;
  state.term = in.u64();
  state.vote = in.u64();
  state.commit = in.u64();
  if (!in.finished()) {
    return malformed("hard state record");
  }
  return state;
}

std::string encode_index(Index index) {
  ByteWriter out;
  out.u64(index);
  return out.take();
}

Result<Index> decode_index(std::string_view payload) {
  ByteReader in(payload);
  const Index index = in.u64();
  if (!in.finished()) {
    return malformed("index record");
  }
  return index;
}

std::string encode_watermark(const Watermark& watermark) {
  ByteWriter out;
  out.u64(kWatermarkMagic);
  out.u64(watermark.sequence);
  out.u64(watermark.synced_end);
  out.u32(watermark.chain);
  out.u32(crc32c(0, out.view()));
  return out.take();
}

Result<Watermark> decode_watermark(std::string_view payload) {
  ByteReader in(payload);
  const std::uint64_t magic = in.u64();
  Watermark watermark;
  watermark.sequence = in.u64();
  watermark.synced_end = in.u64();
  watermark.chain = in.u32();
  const std::uint32_t crc = in.u32();
  if (!in.finished() || magic != kWatermarkMagic ||
      crc != crc32c(0, payload.substr(0, kWatermarkBytes - 4))) {
    return malformed("watermark record");
  }
  return watermark;
}

namespace {

void write_members(ByteWriter& out, const std::vector<Member>& members) {
  out.u32(static_cast<std::uint32_t>(members.size()));
  for (const Member& member : members) {
    out.u64(member.id);
    out.u8(member.learner ? 1 : 0);
    out.str16(member.node_id);
    out.str16(member.address);
  }
}

bool read_members(ByteReader& in, std::vector<Member>& members) {
  const std::uint32_t count = in.u32();
  for (std::uint32_t i = 0; i < count && i < kMembersMax && in.good(); ++i) {
    Member member;
    member.id = in.u64();
    member.learner = in.u8() != 0;
    member.node_id = in.str16();
    member.address = in.str16();
    members.push_back(std::move(member));
  }
  return in.good() && count <= kMembersMax;
}

}  // namespace

std::string encode_membership(const Membership& membership) {
  ByteWriter out;
  write_members(out, membership.members);
  write_members(out, membership.learners_next);
  out.u8(membership.auto_leave ? 1 : 0);
  out.u32(static_cast<std::uint32_t>(membership.outgoing.size()));
  for (const MemberId id : membership.outgoing) {
    out.u64(id);
  }
  return out.take();
}

Result<Membership> decode_membership(std::string_view bytes) {
  ByteReader in(bytes);
  Membership membership;
  if (!read_members(in, membership.members) || !read_members(in, membership.learners_next)) {
    return malformed("membership");
  }
  membership.auto_leave = in.u8() != 0;
  const std::uint32_t outgoing = in.u32();
  for (std::uint32_t i = 0; i < outgoing && i < kMembersMax && in.good(); ++i) {
    membership.outgoing.insert(in.u64());
  }
  if (!in.finished() || outgoing > kMembersMax) {
    return malformed("membership");
  }
  return membership;
}

std::string encode_mark(const SnapshotMark& mark) {
  ByteWriter out;
  out.u64(mark.index);
  out.u64(mark.term);
  out.u8(mark.fetched ? 1 : 0);
  out.raw(encode_membership(mark.membership));
  return out.take();
}

Result<SnapshotMark> decode_mark(std::string_view payload) {
  ByteReader in(payload);
  SnapshotMark mark;
  mark.index = in.u64();
  mark.term = in.u64();
  mark.fetched = in.u8() != 0;
  if (!in.good()) {
    return malformed("snapshot mark record");
  }
  SKEP_TRY_ASSIGN(mark.membership, decode_membership(in.rest()));
  return mark;
}

}  // namespace skep::raft
