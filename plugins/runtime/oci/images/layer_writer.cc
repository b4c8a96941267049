#include "plugins/runtime/oci/images/layer_writer.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <array>
#include <cerrno>

#include "skep/posix_env.h"

namespace skep::oci {
namespace {

constexpr std::string_view kWhiteout = ".wh.";
constexpr std::string_view kOpaque = ".wh..wh..opq";
constexpr std::string_view kWhiteoutMeta = ".wh..wh.";
constexpr std::size_t kAttributeBytesMax = 64 * 1024;  // the kernel's own limit

Error malicious(std::string_view name, std::string_view why) {
  return Error{Code::kInvalidArgument,
               "layer entry '" + std::string(name.substr(0, 200)) + "' " + std::string(why),
               "LAYER_MALICIOUS"};
}

/// What the name itself makes impossible is the layer's fault, the rest the machine's.
Error write_error(const std::string& name, std::string_view verb) {
  if (errno == ENAMETOOLONG || errno == EINVAL || errno == EILSEQ) {
    return malicious(name, "has a name that cannot be written");
  }
  return errno_error(errno, name.substr(0, 200) + ": " + std::string(verb));
}

bool is_whiteout(const struct stat& info) {
  return S_ISCHR(info.st_mode) && info.st_rdev == 0;
}

/// The entry's type when something lies at the place; 0 mode when nothing does.
struct stat look(const Place& place) {
  struct stat info {};
  if (::fstatat(place.parent.get(), place.name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
    info.st_mode = 0;
  }
  return info;
}

}  // namespace

Result<LayerWriter::Metadata> LayerWriter::metadata_of(archive_entry* entry,
                                                       std::string_view name) {
  Metadata out;
  const la_int64_t owner = archive_entry_uid(entry);
  const la_int64_t group = archive_entry_gid(entry);
  constexpr la_int64_t kIdMax = 0xfffffffe;
  if (owner < 0 || owner > kIdMax || group < 0 || group > kIdMax) {
    return malicious(name, "has an impossible owner");
  }
  out.owner = static_cast<uid_t>(owner);
  out.group = static_cast<gid_t>(group);
  out.mode = archive_entry_mode(entry) & 07777U;
  out.modified = {archive_entry_mtime(entry), archive_entry_mtime_nsec(entry)};
  if (out.modified.tv_nsec < 0 || out.modified.tv_nsec >= 1'000'000'000) {
    out.modified.tv_nsec = 0;
  }
  return out;
}

Status LayerWriter::apply(int fd, const Metadata& metadata, const std::string& name) {
  // chown takes setuid away, so the mode comes after it.
  if (options_.ownership == Ownership::kApply &&
      ::fchown(fd, metadata.owner, metadata.group) != 0) {
    return write_error(name, "set owner");
  }
  const std::array<timespec, 2> times{metadata.modified, metadata.modified};
  if (::fchmod(fd, metadata.mode) != 0 || ::futimens(fd, times.data()) != 0) {
    return write_error(name, "set mode and time");
  }
  return ok();
}

Status LayerWriter::apply_beside(const Place& place, const Metadata& metadata) {
  const int parent = place.parent.get();
  const char* const name = place.name.c_str();
  if (options_.ownership == Ownership::kApply &&
      ::fchownat(parent, name, metadata.owner, metadata.group, AT_SYMLINK_NOFOLLOW) != 0) {
    return write_error(place.name, "set owner");
  }
  const std::array<timespec, 2> times{metadata.modified, metadata.modified};
  if (::utimensat(parent, name, times.data(), AT_SYMLINK_NOFOLLOW) != 0) {
    return write_error(place.name, "set time");
  }
  return ok();
}

/// Only what a program in the image can mean: trusted.* and *.overlay.* would steer overlayfs (a
/// redirect leads out of the layer), SELinux labels belong to this machine.
Status LayerWriter::write_attributes(int fd, archive_entry* entry, const std::string& name) {
  archive_entry_xattr_reset(entry);
  const char* key = nullptr;
  const void* value = nullptr;
  std::size_t size = 0;
  while (archive_entry_xattr_next(entry, &key, &value, &size) == ARCHIVE_OK) {
    const std::string_view attribute = key == nullptr ? "" : key;
    const bool user = attribute.starts_with("user.") && !attribute.starts_with("user.overlay.");
    const bool capability =
        attribute == "security.capability" && options_.ownership == Ownership::kApply;
    if (!user && !capability) {
      continue;
    }
    if (size > kAttributeBytesMax) {
      return malicious(name, "has an attribute larger than 64 KiB");
    }
    if (::fsetxattr(fd, key, value, size, 0) != 0 && errno != ENOTSUP) {
      return errno == EINVAL || errno == ERANGE || errno == ENAMETOOLONG
                 ? malicious(name, "has an impossible attribute")
                 : errno_error(errno, name + ": set attribute '" + std::string(attribute) + "'");
    }
  }
  return ok();
}

Status LayerWriter::mark_opaque(int fd) {
  const char* const key =
      options_.ownership == Ownership::kApply ? "trusted.overlay.opaque" : "user.overlay.opaque";
  if (::fsetxattr(fd, key, "y", 1, 0) != 0) {
    return errno_error(errno,
                       std::string("set attribute '") + key +
                           "' (the file system of the image store needs extended attributes)");
  }
  return ok();
}

Status LayerWriter::hide_lower(const Place& place) {
  const OwnedFd fd(::openat(place.parent.get(), place.name.c_str(),
                            O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  return fd ? mark_opaque(fd.get()) : Status(write_error(place.name, "open"));
}

Status LayerWriter::write_whiteout(const Parts& parts) {
  SKEP_TRY_ASSIGN(Place place, tree_.place(parts, Missing::kCreate));
  place.name.erase(0, kWhiteout.size());
  if (place.name.empty() || place.name == "." || place.name == "..") {
    return malicious(parts.back(), "is a whiteout of nothing");
  }
  const struct stat there = look(place);
  if (S_ISDIR(there.st_mode)) {
    return hide_lower(place);  // the layer removed a directory and made it again
  }
  if (there.st_mode != 0) {
    return ok();  // what the layer itself brings stays
  }
  if (::mknodat(place.parent.get(), place.name.c_str(), S_IFCHR, 0) != 0) {
    return write_error(place.name, "make a whiteout");
  }
  return ok();
}

Status LayerWriter::write_opaque(const Parts& parts) {
  Parts parent(parts.begin(), parts.end() - 1);
  if (!parent.empty()) {
    SKEP_TRY(tree_.place(parts, Missing::kCreate));  // makes the directory when it is not there
  }
  SKEP_TRY_ASSIGN(const OwnedFd fd, tree_.directory(parent));
  return mark_opaque(fd.get());
}

Status LayerWriter::write_directory(const Parts& parts, archive_entry* entry) {
  SKEP_TRY_ASSIGN(Metadata metadata, metadata_of(entry, parts.empty() ? "/" : parts.back()));
  if (!parts.empty()) {
    SKEP_TRY_ASSIGN(const Place place, tree_.place(parts, Missing::kCreate));
    const struct stat there = look(place);
    if (!S_ISDIR(there.st_mode)) {
      SKEP_TRY(tree_.remove(place));
      if (::mkdirat(place.parent.get(), place.name.c_str(), 0755) != 0) {
        return write_error(place.name, "make directory");
      }
      if (is_whiteout(there)) {
        SKEP_TRY(hide_lower(place));
      }
    }
  }
  SKEP_TRY_ASSIGN(const OwnedFd fd, tree_.directory(parts));
  SKEP_TRY(write_attributes(fd.get(), entry, parts.empty() ? "/" : parts.back()));
  directories_.push_back({parts, metadata});
  return ok();
}

Status LayerWriter::write_data(int fd, archive* source, archive_entry* entry,
                               const std::string& name) {
  const la_int64_t size = archive_entry_size(entry);
  const std::uint64_t left = options_.limits.layer_bytes_max - bytes_;
  // A sparse file counts with its full size: unpacking it costs little, copying it later all.
  if (size < 0 || static_cast<std::uint64_t>(size) > left) {
    return Error{Code::kResourceExhausted,
                 "the layer holds more than " + std::to_string(options_.limits.layer_bytes_max) +
                     " bytes (at '" + name.substr(0, 200) + "')",
                 "LAYER_TOO_LARGE"};
  }
  for (;;) {
    const void* data = nullptr;
    std::size_t length = 0;
    la_int64_t offset = 0;
    const int result = archive_read_data_block(source, &data, &length, &offset);
    if (result == ARCHIVE_EOF) {
      break;
    }
    if (result != ARCHIVE_OK) {
      const char* const text = archive_error_string(source);
      return Error{
          Code::kInvalidArgument,
          "the layer is damaged at '" + name.substr(0, 200) + "': " + (text == nullptr ? "" : text),
          "LAYER_DAMAGED"};
    }
    if (offset < 0 || offset > size || static_cast<std::uint64_t>(size - offset) < length) {
      return malicious(name, "has data beyond its size");
    }
    for (std::size_t done = 0; done < length;) {
      const ssize_t put = ::pwrite(fd, static_cast<const char*>(data) + done, length - done,
                                   static_cast<off_t>(offset) + static_cast<off_t>(done));
      if (put < 0 && errno != EINTR) {
        return write_error(name, "write");
      }
      done += put < 0 ? 0 : static_cast<std::size_t>(put);
    }
  }
  if (::ftruncate(fd, size) != 0) {
    return write_error(name, "set size");
  }
  bytes_ += static_cast<std::uint64_t>(size);
  return ok();
}

Status LayerWriter::write_file(const Place& place, archive* source, archive_entry* entry) {
  SKEP_TRY_ASSIGN(const Metadata metadata, metadata_of(entry, place.name));
  const OwnedFd fd(::openat(place.parent.get(), place.name.c_str(),
                            O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd) {
    return write_error(place.name, "create");
  }
  SKEP_TRY(write_data(fd.get(), source, entry, place.name));
  if (options_.ownership == Ownership::kIgnore) {
    SKEP_TRY(write_attributes(fd.get(), entry, place.name));  // before the mode forbids it
    return apply(fd.get(), metadata, place.name);
  }
  SKEP_TRY(apply(fd.get(), metadata, place.name));
  // Writing and chown take capabilities away, so they come last. They leave the time as it is.
  return write_attributes(fd.get(), entry, place.name);
}

Status LayerWriter::write_symlink(const Place& place, archive_entry* entry) {
  SKEP_TRY_ASSIGN(const Metadata metadata, metadata_of(entry, place.name));
  const char* const target = archive_entry_symlink(entry);
  if (target == nullptr || *target == '\0') {
    return malicious(place.name, "is a symbolic link without a target");
  }
  // The target is content: it is followed in the container, never here.
  if (::symlinkat(target, place.parent.get(), place.name.c_str()) != 0) {
    return write_error(place.name, "make a symbolic link");
  }
  return apply_beside(place, metadata);
}

Status LayerWriter::write_hard_link(const Place& place, std::string_view target) {
  SKEP_TRY_ASSIGN(const Parts parts, clean_entry_path(target));
  if (parts.empty() || parts.back().starts_with(kWhiteout)) {
    return malicious(place.name, "is a hard link to no file");
  }
  Result<Place> from = tree_.place(parts, Missing::kError);
  const bool found = from.has_value();
  if (found && ::linkat(from->parent.get(), from->name.c_str(), place.parent.get(),
                        place.name.c_str(), 0) == 0) {
    return ok();
  }
  if (!found && from.error().code != Code::kNotFound) {
    return std::move(from).error();
  }
  if (found && errno != ENOENT && errno != EPERM && errno != EEXIST) {
    return write_error(place.name, "make a hard link");
  }
  return malicious(place.name, "is a hard link to '" + std::string(target.substr(0, 200)) +
                                   "', which is no file of this layer");
}

Status LayerWriter::write_device(const Place& place, archive_entry* entry) {
  SKEP_TRY_ASSIGN(const Metadata metadata, metadata_of(entry, place.name));
  const mode_t type = archive_entry_filetype(entry);
  dev_t device = 0;
  if (type != AE_IFIFO) {
    device = makedev(static_cast<unsigned>(archive_entry_rdevmajor(entry)),
                     static_cast<unsigned>(archive_entry_rdevminor(entry)));
    if (type == AE_IFCHR && device == 0) {
      return malicious(place.name, "is device 0/0, which overlayfs takes for a whiteout");
    }
    if (options_.ownership == Ownership::kIgnore) {
      return ok();
    }
  }
  if (::mknodat(place.parent.get(), place.name.c_str(), type | 0600U, device) != 0 ||
      ::fchmodat(place.parent.get(), place.name.c_str(), metadata.mode, 0) != 0) {
    return write_error(place.name, "make a device");
  }
  SKEP_TRY(apply_beside(place, metadata));
  // chown took setuid away; nobody can have put a symbolic link here in between.
  return ::fchmodat(place.parent.get(), place.name.c_str(), metadata.mode, 0) == 0
             ? ok()
             : Status(write_error(place.name, "set mode"));
}

Status LayerWriter::write(archive* source, archive_entry* entry) {
  if (++entries_ > options_.limits.entries_max) {
    return Error{
        Code::kResourceExhausted,
        "the layer holds more than " + std::to_string(options_.limits.entries_max) + " files",
        "LAYER_TOO_LARGE"};
  }
  const char* const raw = archive_entry_pathname(entry);
  if (raw == nullptr) {
    return malicious("", "has no readable name");
  }
  SKEP_TRY_ASSIGN(const Parts parts, clean_entry_path(raw));
  for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
    if (parts[i].starts_with(kWhiteoutMeta)) {
      return ok();  // the private directories of aufs
    }
    if (parts[i].starts_with(kWhiteout)) {
      return malicious(raw, "lies beneath a whiteout");
    }
  }
  if (!parts.empty() && parts.back().starts_with(kWhiteout)) {
    if (parts.back() == kOpaque) {
      return write_opaque(parts);
    }
    return parts.back().starts_with(kWhiteoutMeta) ? ok() : write_whiteout(parts);
  }
  const char* const link = archive_entry_hardlink(entry);
  if (link == nullptr && archive_entry_filetype(entry) == AE_IFDIR) {
    return write_directory(parts, entry);
  }
  if (parts.empty()) {
    return malicious(raw, "would replace the root directory");
  }
  SKEP_TRY_ASSIGN(const Place place, tree_.place(parts, Missing::kCreate));
  SKEP_TRY(tree_.remove(place));
  if (link != nullptr) {
    return write_hard_link(place, link);
  }
  switch (archive_entry_filetype(entry)) {
    case AE_IFREG:
      return write_file(place, source, entry);
    case AE_IFLNK:
      return write_symlink(place, entry);
    case AE_IFCHR:
    case AE_IFBLK:
    case AE_IFIFO:
      return write_device(place, entry);
    default:
      return malicious(raw, "is of a kind that no image can hold");
  }
}

Status LayerWriter::finish() {
  for (const Directory& entry : directories_) {
    const Result<OwnedFd> fd = tree_.directory(entry.parts);
    if (!fd) {
      if (fd.error().code == Code::kNotFound) {
        continue;  // a later entry replaced the directory
      }
      return fd.error();
    }
    SKEP_TRY(apply(fd->get(), entry.metadata, entry.parts.empty() ? "/" : entry.parts.back()));
  }
  return ok();
}

}  // namespace skep::oci
