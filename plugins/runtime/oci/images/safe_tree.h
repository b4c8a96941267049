#pragma once

// A directory into which an archive is unpacked that somebody hostile may have made. Every path is
// resolved by the kernel beneath the root (openat2), so neither "..", an absolute name nor a
// symbolic link of the archive leads out; symbolic links of the same layer are followed inside it,
// as Docker does. Paths are deep at most kDepthMax, so that the tree can always be removed again.
// [one thread]

#include <string>
#include <string_view>
#include <vector>

#include "plugins/runtime/oci/images/fd.h"
#include "skep/result.h"

namespace skep::oci {

inline constexpr std::size_t kDepthMax = 256;

/// An entry's name without "./", "//" and "..": its parts; none for the root itself.
/// kInvalidArgument: it leads out of the root, holds NUL, or is too deep.
Result<std::vector<std::string>> clean_entry_path(std::string_view raw);

/// Where an entry goes: a directory fd (O_PATH) and a name in it without '/'.
struct Place {
  OwnedFd parent;
  std::string name;
};

enum class Missing { kError, kCreate };

class SafeTree {
 public:
  /// Takes an existing directory.
  static Result<SafeTree> open(const std::string& directory);

  /// Opens (or makes, mode 0755) the directories above `parts`' last. kInvalidArgument when one of
  /// them is not a directory; kNotFound with Missing::kError.
  Result<Place> place(const std::vector<std::string>& parts, Missing missing);
  /// Opens the directory itself (O_RDONLY), never through a symbolic link as its last part; the
  /// root for no parts. kNotFound when there is no directory of that name.
  Result<OwnedFd> directory(const std::vector<std::string>& parts);
  /// Removes what lies at the place, also a whole directory; success when nothing does.
  Status remove(const Place& place);

 private:
  explicit SafeTree(OwnedFd root, std::string path)
      : root_(std::move(root)), path_(std::move(path)) {}
  Result<OwnedFd> open_directory(const std::string& path, std::size_t parts_after);
  Result<OwnedFd> make_directories(const std::vector<std::string>& parts, std::size_t count);
  [[nodiscard]] Status check_depth(int fd, std::size_t parts_after) const;

  OwnedFd root_;
  std::string path_;  ///< real path of the root
};

}  // namespace skep::oci
