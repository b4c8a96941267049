#pragma once

// Unpacked layers by the digest of their tar (diff id). Two images with the same layer share the
// directory. A layer is there whole or not at all: it is unpacked aside, synced, and renamed.
//
//   <directory>/layers/sha256/HEX/fs          what overlayfs takes as a lower directory
//   <directory>/layers/sha256/HEX/layer.json  {"bytes", "entries"}
//   <directory>/tmp/layer-HEX-N               being unpacked; removed at start
//
// [worker threads, several objects on one directory are fine]

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "plugins/runtime/oci/images/layer_unpack.h"
#include "skep/env.h"

namespace skep::oci {

/// A layer that was fetched: its file and what its digests must be.
struct LayerFile {
  std::string path;
  std::string blob_digest;
  std::string diff_id;
};

class LayerStore {
 public:
  LayerStore(Env& env, std::string directory, UnpackOptions options)
      : env_(env), directory_(std::move(directory)), options_(std::move(options)) {}

  Status prepare();
  [[nodiscard]] bool has(const std::string& diff_id) const;
  /// The lower directory, whether it is there or not.
  [[nodiscard]] std::string path_of(const std::string& diff_id) const;
  /// Content bytes of a layer that is there. kDataLoss when its record is damaged.
  Result<std::uint64_t> bytes_of(const std::string& diff_id) const;
  /// Unpacks those that are missing; all of them or none. One add() runs at a time per directory.
  /// kDataLoss: a digest differs (the file is removed, so that it is fetched again).
  Status add(const std::vector<LayerFile>& files,
             const std::function<void(std::string_view line)>& progress);
  /// Diff ids.
  Result<std::vector<std::string>> list() const;
  Status remove(const std::string& diff_id);

 private:
  struct Fresh {
    std::string diff_id;
    std::string temporary;
  };
  [[nodiscard]] std::string home_of(const std::string& diff_id) const;
  Status unpack(const LayerFile& file, const std::string& temporary);
  Status publish(const std::vector<Fresh>& fresh);

  Env& env_;
  std::string directory_;
  UnpackOptions options_;
};

}  // namespace skep::oci
