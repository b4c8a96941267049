#pragma once

// --external-ca of the verbs of `agentctl swarm`: certificate authorities outside the swarm.

#include <string>
#include <vector>

#include "core/agentctl/command.h"
#include "core/agentctl/context.h"
#include "skep/model.pb.h"

namespace skep::ctl {

/// A PEM file that holds something: nothing at all would ask for a new root.
Result<std::string> read_pem(Context& context, const char* flag, const std::string& path);

class ExternalCaFlag {
 public:
  using List = google::protobuf::RepeatedPtrField<model::v1::ExternalCa>;
  enum class Empty { kRefused, kClears };  ///< what `--external-ca ""` is

  /// Adds the flag; this outlives the command.
  void add_to(Command& command, const std::string& help, Empty empty = Empty::kRefused);
  [[nodiscard]] bool given() const { return given_; }
  /// All that were given, with the files they name.
  [[nodiscard]] Result<List> read(Context& context) const;

 private:
  struct Given {
    model::v1::ExternalCa authority;
    std::string file;
  };
  /// protocol=cfssl,url=https://...[,cacert=FILE][,OPTION=VALUE]
  static Result<Given> parse(const std::string& text);

  std::vector<Given> authorities_;
  bool given_ = false;
};

}  // namespace skep::ctl
