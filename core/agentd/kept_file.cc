#include "core/agentd/kept_file.h"

#include <cinttypes>
#include <cstdio>

#include "skep/log.h"

namespace skep::agentd {
namespace {

constexpr std::size_t kTrailerBytes = 24;  // LF "check " 16 digits LF

std::string trailer_of(std::string_view payload) {
  std::uint64_t hash = 14'695'981'039'346'656'037U;
  for (const char c : payload) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 1'099'511'628'211U;
  }
  char text[kTrailerBytes + 1] = {};
  std::snprintf(text, sizeof(text), "\ncheck %016" PRIx64 "\n", hash);
  return text;
}

/// Lost or damaged: the other copy can help. Anything else is the disk's word.
bool healable(const Error& error) {
  return error.code == Code::kNotFound || error.code == Code::kDataLoss;
}

}  // namespace

Result<std::string> KeptFile::read_one(const std::string& path) {
  SKEP_TRY_ASSIGN(std::string content, disk_.read_file(path));
  const std::size_t size = content.size() < kTrailerBytes ? 0 : content.size() - kTrailerBytes;
  if (content.size() < kTrailerBytes || content.substr(size) != trailer_of(content.substr(0, size))) {
    return Error{Code::kDataLoss, path + ": is damaged (its checksum is wrong)", "DAMAGED_FILE"};
  }
  content.resize(size);
  return content;
}

Status KeptFile::write_one(const std::string& path, std::string_view payload) {
  return disk_.write_file_atomic(path, std::string(payload) + trailer_of(payload), 0600);
}

Result<std::string> KeptFile::read() {
  auto first = read_one(path_);
  if (!first && !healable(first.error())) {
    return first;
  }
  auto second = read_one(copy_path());
  if (first) {
    if (!second || *second != *first) {
      if (auto status = write_one(copy_path(), *first); !status) {
        SKEP_WARN("the copy of a file cannot be made", {"cause", status.error().message});
      }
    }
    return first;
  }
  if (second) {
    SKEP_WARN("a file was lost or damaged and is taken from its copy", {"path", path_},
              {"cause", first.error().message});
    if (auto status = write_one(path_, *second); !status) {
      SKEP_WARN("a file cannot be healed", {"cause", status.error().message});
    }
    return second;
  }
  if (first.error().code == Code::kNotFound && second.error().code == Code::kNotFound) {
    return first;
  }
  const bool lost = first.error().code == Code::kNotFound;
  return Error{Code::kDataLoss,
               path_ + (lost ? ": is missing" : ": is damaged (its checksum is wrong)") + ", and " +
                   copy_path() + " does not help (" + second.error().message + ")",
               "DAMAGED_FILE"};
}

Status KeptFile::write(std::string_view payload) {
  SKEP_TRY(write_one(path_, payload));
  return write_one(copy_path(), payload);
}

Status KeptFile::remove() {
  // The copy first: as long as the file is there, nothing is forgotten.
  for (const std::string& path : {copy_path(), path_}) {
    auto status = disk_.remove(path);
    if (!status && status.error().code != Code::kNotFound) {
      return status;
    }
  }
  return ok();
}

}  // namespace skep::agentd
