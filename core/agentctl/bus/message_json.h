#pragma once

// Messages as JSON, for `bus call` and `bus trace` only: full Protobuf reads the descriptors of the
// SDK's .proto files, which are built into agentctl. The messages everybody else uses are lite; the
// two live side by side because nothing generated registers a descriptor.

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "skep/result.h"

namespace skep::ctl {

struct MethodInfo {
  std::string name;     ///< "volume/1/mount"
  std::string request;  ///< "skep.volume.v1.MountRequest"
  std::string response;
  bool streams_in = false;
  bool streams_out = false;
};

class MessageJson {
 public:
  MessageJson();
  ~MessageJson();
  MessageJson(const MessageJson&) = delete;
  MessageJson& operator=(const MessageJson&) = delete;

  /// kNotFound names the nearest method.
  [[nodiscard]] Result<MethodInfo> method(std::string_view name) const;
  [[nodiscard]] const std::vector<MethodInfo>& methods() const { return methods_; }
  /// kInvalidArgument: not JSON, or not of this type.
  [[nodiscard]] Result<std::string> to_bytes(const std::string& type,
                                             const std::string& json) const;
  /// Fields as the .proto names them, also those at their defaults when `whole`.
  [[nodiscard]] Result<std::string> to_json(const std::string& type, const std::string& bytes,
                                            bool pretty, bool whole) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
  std::vector<MethodInfo> methods_;
};

}  // namespace skep::ctl
