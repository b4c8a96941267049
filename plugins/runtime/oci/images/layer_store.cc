#include "plugins/runtime/oci/images/layer_store.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cerrno>

#include "plugins/runtime/oci/images/digest.h"
#include "plugins/runtime/oci/images/fd.h"
#include "plugins/runtime/oci/images/file_lock.h"
#include "plugins/runtime/oci/images/json_read.h"
#include "skep/posix_env.h"

namespace skep::oci {
namespace {

constexpr std::size_t kRecordBytesMax = 4096;

/// Everything written so far reaches the disk: a rename must not become durable before the content.
Status sync_file_system(const std::string& directory) {
  const OwnedFd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd || ::syncfs(fd.get()) != 0) {
    return errno_error(errno, directory + ": sync");
  }
  return ok();
}

}  // namespace

std::string LayerStore::home_of(const std::string& diff_id) const {
  return directory_ + "/layers/sha256/" + digest_hex(diff_id);
}

std::string LayerStore::path_of(const std::string& diff_id) const {
  return home_of(diff_id) + "/fs";
}

Status LayerStore::prepare() {
  SKEP_TRY(env_.disk.make_directories(directory_ + "/layers/sha256", 0700));
  return env_.disk.make_directories(directory_ + "/tmp", 0700);
}

bool LayerStore::has(const std::string& diff_id) const {
  return env_.disk.exists(home_of(diff_id) + "/layer.json");
}

Result<std::uint64_t> LayerStore::bytes_of(const std::string& diff_id) const {
  SKEP_TRY_ASSIGN(const std::string text, env_.disk.read_file(home_of(diff_id) + "/layer.json"));
  const auto object = json::parse_object(text, "layer.json", kRecordBytesMax);
  const auto bytes =
      object ? json::integer(*object, "bytes") : Result<std::int64_t>(object.error());
  if (!bytes || *bytes < 0) {
    return Error{Code::kDataLoss,
                 "the record of layer '" + diff_id + "' is damaged: pull the image again"};
  }
  return static_cast<std::uint64_t>(*bytes);
}

Status LayerStore::unpack(const LayerFile& file, const std::string& temporary) {
  const OwnedFd fd(::open(file.path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd) {
    return errno_error(errno, file.path + ": open");
  }
  const std::string root = temporary + "/fs";
  SKEP_TRY(env_.disk.make_directories(root, 0755));
  if (::chmod(root.c_str(), 0755) != 0) {
    return errno_error(errno, root + ": set mode");
  }
  SKEP_TRY_ASSIGN(const UnpackedLayer layer, unpack_layer(fd.get(), root, options_));
  if (layer.blob_digest != file.blob_digest || layer.diff_id != file.diff_id) {
    SKEP_TRY(env_.disk.remove(file.path));
    return Error{Code::kDataLoss,
                 "its content is " + layer.diff_id + " in " + layer.blob_digest + ", expected " +
                     file.diff_id + " in " + file.blob_digest,
                 "IMAGE_DAMAGED"};
  }
  const boost::json::object record{{"bytes", layer.bytes}, {"entries", layer.entries}};
  SKEP_TRY_ASSIGN(const auto out, env_.disk.open(temporary + "/layer.json", OpenMode::kCreate));
  return out->write(0, boost::json::serialize(record));
}

Status LayerStore::publish(const std::vector<Fresh>& fresh) {
  SKEP_TRY(sync_file_system(directory_));
  for (const Fresh& layer : fresh) {
    const std::string home = home_of(layer.diff_id);
    // What lies there without a record is no layer: somebody removed a part by hand.
    SKEP_TRY(env_.disk.remove_tree(home));
    SKEP_TRY(env_.disk.rename(layer.temporary, home));
  }
  return env_.disk.sync_directory(directory_ + "/layers/sha256");
}

Status LayerStore::add(const std::vector<LayerFile>& files,
                       const std::function<void(std::string_view line)>& progress) {
  SKEP_TRY_ASSIGN(const FileLock lock,
                  FileLock::wait(directory_ + "/unpack.lock", LockKind::kExclusive));
  std::vector<Fresh> fresh;
  Status status = ok();
  for (const LayerFile& file : files) {
    const bool twice = std::any_of(fresh.begin(), fresh.end(),
                                   [&](const Fresh& done) { return done.diff_id == file.diff_id; });
    if (twice || has(file.diff_id)) {
      continue;
    }
    const std::string hex = digest_hex(file.diff_id);
    progress("unpacking layer " + hex.substr(0, 12));
    fresh.push_back({file.diff_id, directory_ + "/tmp/layer-" + hex + "-" +
                                       std::to_string(env_.random.next() % 1'000'000'000)});
    status = unpack(file, fresh.back().temporary);
    if (!status) {
      status = std::move(status).error().with_context("layer " + hex.substr(0, 12));
      break;
    }
  }
  if (status && !fresh.empty()) {
    status = publish(fresh);
  }
  if (!status) {
    for (const Fresh& layer : fresh) {
      (void)env_.disk.remove_tree(layer.temporary);  // the first error is the one that matters
    }
  }
  return status;
}

Result<std::vector<std::string>> LayerStore::list() const {
  SKEP_TRY_ASSIGN(const std::vector<std::string> names,
                  env_.disk.list_directory(directory_ + "/layers/sha256"));
  std::vector<std::string> out;
  for (const std::string& name : names) {
    if (is_digest("sha256:" + name)) {
      out.push_back("sha256:" + name);
    }
  }
  return out;
}

Status LayerStore::remove(const std::string& diff_id) {
  // Renamed first: it disappears at once, and a crash leaves only what the next start removes.
  const std::string doomed = directory_ + "/tmp/removed-" + digest_hex(diff_id) + "-" +
                             std::to_string(env_.random.next() % 1'000'000'000);
  SKEP_TRY(env_.disk.rename(home_of(diff_id), doomed));
  return env_.disk.remove_tree(doomed);
}

}  // namespace skep::oci
