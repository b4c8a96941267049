// Any bytes as a backup file: it is read or refused, in bounded memory, and nothing but a file that
// was written whole is read to its end.

#include <cstdint>

#include "core/store/backup/backup_file.h"
#include "tests/fuzz/quiet.h"

namespace {

/// A file over the input.
class InputFile final : public skep::File {
 public:
  explicit InputFile(std::string_view bytes) : bytes_(bytes) {}
  skep::Result<std::string> read(std::uint64_t offset, std::size_t size) override {
    SKEP_ASSERT(size <= skep::store::kBackupFrameMax, "no read is larger than a frame");
    return offset >= bytes_.size() ? std::string() : std::string(bytes_.substr(offset, size));
  }
  skep::Status write(std::uint64_t, std::string_view) override { return refuse(); }
  skep::Status sync() override { return refuse(); }
  skep::Status truncate(std::uint64_t) override { return refuse(); }
  skep::Status allocate(std::uint64_t) override { return refuse(); }
  skep::Result<std::uint64_t> size() override { return bytes_.size(); }

 private:
  static skep::Status refuse() { return skep::Error{skep::Code::kUnimplemented, "read only"}; }
  const std::string_view bytes_;
};

void check(std::string_view bytes) {
  InputFile file(bytes);
  skep::store::BackupReader reader(file, "input");
  if (!reader.header()) {
    return;
  }
  for (;;) {
    const auto rows = reader.rows();
    if (!rows || rows->empty()) {
      return;
    }
    for (const auto& row : *rows) {
      SKEP_ASSERT(row.table != 0 && !row.id.empty(), "rows have names");
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  skep::fuzz::be_quiet();
  check({reinterpret_cast<const char*>(data), size});
  return 0;
}
