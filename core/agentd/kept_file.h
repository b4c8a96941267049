#pragma once

// A small file without which nothing else is of use. It ends in a checksum and is kept twice (PATH
// and PATH.copy), so that one lost or damaged copy heals, and what is damaged is never believed.
//
//   file = payload LF "check " 16 hex digits LF      FNV-1a of the payload, 64 bits

#include <string>
#include <string_view>

#include "skep/env.h"

namespace skep::agentd {

class KeptFile {
 public:
  /// `disk` outlives it.
  KeptFile(Disk& disk, std::string path) : disk_(disk), path_(std::move(path)) {}

  /// The payload of the first whole copy; the other one is made like it. kNotFound: there is none.
  /// kDataLoss: none is whole; the message names the file and what is wrong with it.
  Result<std::string> read();
  /// Both copies, each atomically.
  Status write(std::string_view payload);
  /// Both copies; success when there was none.
  Status remove();
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  [[nodiscard]] std::string copy_path() const { return path_ + ".copy"; }
  Result<std::string> read_one(const std::string& path);
  Status write_one(const std::string& path, std::string_view payload);

  Disk& disk_;
  const std::string path_;
};

}  // namespace skep::agentd
