#pragma once

// Applies one tar entry after another to a directory; the rules are in layer_unpack.h. For .cc
// files: it speaks libarchive's types. [one thread]

#include <sys/types.h>

#include <cstdint>
#include <ctime>
#include <string>
#include <string_view>
#include <vector>

#include "plugins/runtime/oci/images/layer_unpack.h"
#include "plugins/runtime/oci/images/safe_tree.h"

struct archive;
struct archive_entry;

namespace skep::oci {

class LayerWriter {
 public:
  LayerWriter(SafeTree tree, const UnpackOptions& options)
      : tree_(std::move(tree)), options_(options) {}

  /// Writes the entry; its data is read from `source`.
  Status write(archive* source, archive_entry* entry);
  /// Gives directories their modes, owners and times, which writing into them would have changed.
  Status finish();

  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }
  [[nodiscard]] std::uint64_t entries() const { return entries_; }

 private:
  struct Metadata {
    mode_t mode = 0;
    uid_t owner = 0;
    gid_t group = 0;
    timespec modified = {};
  };
  struct Directory {
    std::vector<std::string> parts;
    Metadata metadata;
  };
  using Parts = std::vector<std::string>;

  static Result<Metadata> metadata_of(archive_entry* entry, std::string_view name);
  Status write_whiteout(const Parts& parts);
  Status write_opaque(const Parts& parts);
  Status hide_lower(const Place& place);
  Status write_directory(const Parts& parts, archive_entry* entry);
  Status write_file(const Place& place, archive* source, archive_entry* entry);
  Status write_data(int fd, archive* source, archive_entry* entry, const std::string& name);
  Status write_symlink(const Place& place, archive_entry* entry);
  Status write_hard_link(const Place& place, std::string_view target);
  Status write_device(const Place& place, archive_entry* entry);
  Status write_attributes(int fd, archive_entry* entry, const std::string& name);
  Status apply(int fd, const Metadata& metadata, const std::string& name);
  Status apply_beside(const Place& place, const Metadata& metadata);
  Status mark_opaque(int fd);

  SafeTree tree_;
  const UnpackOptions& options_;
  std::vector<Directory> directories_;  ///< at most one per entry
  std::uint64_t bytes_ = 0;
  std::uint64_t entries_ = 0;
};

}  // namespace skep::oci
