// What another manager sends as its state: chunks as they lie on the wire, and their bytes cut anywhere.
// Nothing may crash; rows come out whole, ascending, and the same however the bytes were cut.

#include <cstdint>
#include <string_view>

#include "core/control/managers/state_fetch.h"
#include "core/control/managers/state_source.h"
#include "tests/fuzz/quiet.h"

namespace skep::control {
namespace {

struct Read {
  std::vector<store::StoredRow> rows;
  bool failed = false;
  bool at_boundary = false;
};

Read read(std::string_view bytes, std::size_t piece) {
  Read out;
  RowReader reader;
  for (std::size_t at = 0; at < bytes.size() && !out.failed; at += piece) {
    auto taken = reader.take(bytes.substr(at, piece));
    out.failed = !taken;
    if (taken) {
      out.rows.insert(out.rows.end(), taken->begin(), taken->end());
    }
  }
  out.at_boundary = reader.at_boundary();
  return out;
}

void check(std::string_view bytes, std::size_t piece) {
  const Read whole = read(bytes, bytes.size() + 1);
  const Read cut = read(bytes, piece);
  SKEP_ASSERT(cut.failed == whole.failed, "where it is cut makes nothing good or bad");
  SKEP_ASSERT(whole.failed || (cut.rows.size() == whole.rows.size() && cut.at_boundary == whole.at_boundary),
              "the same rows come out");
  for (std::size_t i = 0; i < cut.rows.size(); ++i) {
    SKEP_ASSERT(cut.rows[i].table != 0 && !cut.rows[i].id.empty(), "a row has its place");
    SKEP_ASSERT(i == 0 || std::pair(cut.rows[i - 1].table, cut.rows[i - 1].id) <
                              std::pair(cut.rows[i].table, cut.rows[i].id),
                "no row comes twice");
  }
}

}  // namespace
}  // namespace skep::control

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  skep::fuzz::be_quiet();
  if (size == 0) {
    return 0;
  }
  const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::size_t piece = 1 + data[0];
  skep::control::check(input, piece);
  skep::manager::v1::StateChunk chunk;
  if (chunk.ParseFromArray(input.data(), static_cast<int>(input.size()))) {
    (void)skep::control::chunk_checksum(chunk.data());
    skep::control::check(chunk.data(), piece);
  }
  return 0;
}
