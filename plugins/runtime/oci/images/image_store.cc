#include "plugins/runtime/oci/images/image_store.h"

#include <algorithm>
#include <set>

#include "plugins/runtime/oci/images/catalog.h"
#include "plugins/runtime/oci/images/digest.h"
#include "plugins/runtime/oci/images/file_lock.h"
#include "plugins/runtime/oci/images/image_fetch.h"
#include "plugins/runtime/oci/images/layer_store.h"
#include "plugins/runtime/oci/images/manifest.h"
#include "plugins/runtime/oci/images/reference.h"
#include "plugins/runtime/oci/images/registry_auth.h"
#include "plugins/runtime/oci/images/watched_child.h"
#include "skep/log.h"

namespace skep::oci {
namespace {

constexpr std::string_view kFormat = "skep-images-1\n";

// Locks, in the order in which they are taken:
//   pull.lock    shared by pulls; exclusive for removing what no image needs and for clean-up
//   work lock    one pull per repository or archive at a time
//   unpack.lock  one image is unpacked at a time (layer_store.cc)
//   lock         names.json and the records change
class DirectoryStore final : public ImageStore {
 public:
  DirectoryStore(const Env& env, ImageStoreOptions options)
      : env_(env),
        options_(std::move(options)),
        layers_(env_, options_.directory, UnpackOptions{options_.limits, Ownership::kApply, [this] {
                                                          return cancel_.is_set();
                                                        }}) {}

  Status prepare();
  Result<runtime::v1::Image> pull(const runtime::v1::PullRequest& request,
                                  const Progress& progress) override;
  Result<ResolvedImage> resolve(std::string_view reference) override;
  Result<runtime::v1::Image> inspect(std::string_view reference) override;
  Result<std::vector<runtime::v1::Image>> list() override;
  Result<runtime::v1::RemoveImageResponse> remove(std::string_view reference, RemoveMode mode,
                                                  const UsedBy& used_by) override;
  void cancel_pulls() override { cancel_.set(); }

 private:
  [[nodiscard]] std::string path(std::string_view name) const {
    return options_.directory + "/" + std::string(name);
  }
  [[nodiscard]] std::string record_path(const std::string& id) const {
    return path("images/sha256/" + digest_hex(id) + ".json");
  }
  Result<Names> read_names();
  Result<std::vector<std::string>> read_ids();
  Result<Found> find(std::string_view text);
  Result<runtime::v1::Image> load(const std::string& id);
  /// The image with its names and size.
  Result<runtime::v1::Image> describe(const std::string& id, const Names& names);
  bool is_whole(const std::string& id);
  Result<FetchedImage> fetch(const Source& source, const RegistryAuth& auth, const std::string& tag,
                             const std::string& work, const Progress& progress);
  Status commit(const FetchedImage& image);
  Status fetch_and_commit(const Source& source, const runtime::v1::PullRequest& request,
                          const RegistryAuth& auth, const Progress& progress, std::string& id);
  Result<std::string> work_directory(const Source& source);
  void leave_work_directory(const std::string& work, bool succeeded);
  std::vector<std::string> collect_garbage();
  Status empty_temporary();

  Env env_;
  ImageStoreOptions options_;
  Cancel cancel_;
  LayerStore layers_;
};

Status DirectoryStore::prepare() {
  for (const char* const name : {"images/sha256", "empty", "tmp"}) {
    SKEP_TRY(env_.disk.make_directories(path(name), 0700));
  }
  SKEP_TRY(layers_.prepare());
  const std::string version = path("version");
  if (!env_.disk.exists(version)) {
    SKEP_TRY(env_.disk.write_file_atomic(version, kFormat, 0600));
  }
  SKEP_TRY_ASSIGN(const std::string format, env_.disk.read_file(version));
  if (format != kFormat) {
    return Error{Code::kFailedPrecondition,
                 version + ": is not '" + std::string(kFormat.substr(0, kFormat.size() - 1)) +
                     "': the images were written by another version of Skep, which is to be used, or "
                     "the file is damaged; then remove it and start again",
                 "IMAGE_FORMAT"};
  }
  collect_garbage();
  return ok();
}

Result<Names> DirectoryStore::read_names() {
  Result<std::string> text = env_.disk.read_file(path("names.json"));
  if (!text) {
    return text.error().code == Code::kNotFound ? Result<Names>(Names{}) : std::move(text).error();
  }
  auto names = parse_names(*text);
  if (!names) {
    return Error{Code::kDataLoss,
                 path("names.json") + ": is damaged (" + names.error().message +
                     "): remove it; images then have no names until they are pulled or loaded again",
                 "IMAGE_NAMES_DAMAGED"};
  }
  return names;
}

Result<std::vector<std::string>> DirectoryStore::read_ids() {
  SKEP_TRY_ASSIGN(const std::vector<std::string> files,
                  env_.disk.list_directory(path("images/sha256")));
  std::vector<std::string> ids;
  for (const std::string& file : files) {
    const std::string id = "sha256:" + file.substr(0, file.find('.'));
    if (file.ends_with(".json") && is_digest(id)) {
      ids.push_back(id);
    }
  }
  return ids;
}

Result<Found> DirectoryStore::find(std::string_view text) {
  SKEP_TRY_ASSIGN(const Names names, read_names());
  SKEP_TRY_ASSIGN(const std::vector<std::string> ids, read_ids());
  return find_image(text, names, ids, options_.default_domain);
}

Result<runtime::v1::Image> DirectoryStore::load(const std::string& id) {
  SKEP_TRY_ASSIGN(const std::string text, env_.disk.read_file(record_path(id)));
  return parse_record(text, id);
}

Result<runtime::v1::Image> DirectoryStore::describe(const std::string& id, const Names& names) {
  SKEP_TRY_ASSIGN(runtime::v1::Image image, load(id));
  std::uint64_t bytes = 0;
  for (const std::string& layer : image.layers()) {
    SKEP_TRY_ASSIGN(const std::uint64_t size, layers_.bytes_of(layer));
    bytes += size;
  }
  image.set_size_bytes(static_cast<std::int64_t>(bytes));
  add_names(image, names, options_.default_domain);
  return image;
}

bool DirectoryStore::is_whole(const std::string& id) {
  const Result<runtime::v1::Image> image = load(id);
  return image && std::all_of(image->layers().begin(), image->layers().end(),
                              [this](const std::string& layer) { return layers_.has(layer); });
}

Result<runtime::v1::Image> DirectoryStore::inspect(std::string_view reference) {
  SKEP_TRY_ASSIGN(const Found found, find(reference));
  SKEP_TRY_ASSIGN(const Names names, read_names());
  return describe(found.id, names);
}

Result<ResolvedImage> DirectoryStore::resolve(std::string_view reference) {
  ResolvedImage out;
  SKEP_TRY_ASSIGN(out.image, inspect(reference));
  const auto& layers = out.image.layers();
  std::set<std::string> above;
  // overlayfs refuses a directory twice; of equal layers the upper one decides everything.
  for (auto layer = layers.rbegin(); layer != layers.rend(); ++layer) {
    if (!layers_.has(*layer)) {
      return Error{Code::kDataLoss, "image '" + std::string(reference) + "' lacks layer '" +
                                        *layer + "': pull it again"};
    }
    if (above.insert(*layer).second) {
      out.layer_dirs.push_back(layers_.path_of(*layer));
    }
  }
  if (out.layer_dirs.empty()) {
    out.layer_dirs.push_back(path("empty"));
  }
  std::reverse(out.layer_dirs.begin(), out.layer_dirs.end());
  return out;
}

Result<std::vector<runtime::v1::Image>> DirectoryStore::list() {
  SKEP_TRY_ASSIGN(const Names names, read_names());
  SKEP_TRY_ASSIGN(const std::vector<std::string> ids, read_ids());
  std::vector<runtime::v1::Image> out;
  for (const std::string& id : ids) {
    Result<runtime::v1::Image> image = describe(id, names);
    if (image) {
      out.push_back(*std::move(image));
    } else if (image.error().code != Code::kNotFound) {  // not found: removed just now
      SKEP_WARN("image is damaged", {"image", id}, {"cause", image.error().message});
    }
  }
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) {
    return a.created_at() != b.created_at() ? a.created_at() > b.created_at() : a.id() < b.id();
  });
  return out;
}

/// One directory per repository or archive, so that a second attempt finds what the first fetched.
Result<std::string> DirectoryStore::work_directory(const Source& source) {
  const std::string key =
      source.kind == SourceKind::kRegistry ? source.reference.name() : source.path;
  std::string work = path("tmp/pull-" + digest_hex(digest_of(key)).substr(0, 32));
  SKEP_TRY(env_.disk.make_directories(work, 0700));
  return work;
}

void DirectoryStore::leave_work_directory(const std::string& work, bool succeeded) {
  const Result<std::vector<std::string>> names = env_.disk.list_directory(work);
  for (const std::string& name : names ? *names : std::vector<std::string>()) {
    if (succeeded || name != "blobs") {  // the credentials go in any case
      (void)env_.disk.remove_tree(work + "/" + name);
    }
  }
}

Result<FetchedImage> DirectoryStore::fetch(const Source& source, const RegistryAuth& auth,
                                           const std::string& tag, const std::string& work,
                                           const Progress& progress) {
  ImageFetch fetch(
      env_, options_, layers_, [this](const std::string& id) { return is_whole(id); }, work,
      cancel_, progress);
  return source.kind == SourceKind::kRegistry ? fetch.from_registry(source.reference, auth)
                                              : fetch.from_archive(source, tag);
}

Status DirectoryStore::commit(const FetchedImage& image) {
  SKEP_TRY_ASSIGN(const FileLock lock, FileLock::wait(path("lock"), LockKind::kExclusive));
  if (!image.config.empty()) {
    SKEP_TRY(env_.disk.write_file_atomic(record_path(image.id), format_record(image.config), 0600));
  } else if (!env_.disk.exists(record_path(image.id))) {
    return Error{Code::kConflict, "the image was removed at the same moment: pull it again"};
  }
  SKEP_TRY_ASSIGN(Names names, read_names());
  const Names before = names;
  for (const std::string& name : image.names) {
    names[name] = image.id;
  }
  return names == before
             ? ok()
             : env_.disk.write_file_atomic(path("names.json"), format_names(names), 0600);
}

Status DirectoryStore::fetch_and_commit(const Source& source,
                                        const runtime::v1::PullRequest& request,
                                        const RegistryAuth& auth, const Progress& progress,
                                        std::string& id) {
  SKEP_TRY_ASSIGN(const FileLock pulling, FileLock::wait(path("pull.lock"), LockKind::kShared));
  SKEP_TRY_ASSIGN(const std::string work, work_directory(source));
  SKEP_TRY_ASSIGN(const FileLock mine, FileLock::wait(work + ".lock", LockKind::kExclusive));
  Status status = ok();
  // Twice at most: a known image that is removed meanwhile is fetched like a new one.
  for (int attempt = 0; attempt < 2; ++attempt) {
    Result<FetchedImage> image = fetch(source, auth, request.tag(), work, progress);
    status = image ? layers_.add(image->layers, progress) : Status(image.error());
    if (status) {
      status = commit(*image);
      id = image->id;
    }
    if (status || status.error().code != Code::kConflict) {
      break;
    }
  }
  leave_work_directory(work, status.has_value());
  return status;
}

Result<runtime::v1::Image> DirectoryStore::pull(const runtime::v1::PullRequest& request,
                                                const Progress& progress) {
  if (cancel_.is_set()) {
    return Error{Code::kCancelled, "the image store is stopping"};
  }
  SKEP_TRY_ASSIGN(const Source source, parse_source(request.image(), options_.default_domain));
  SKEP_TRY_ASSIGN(const RegistryAuth auth, parse_registry_auth(request.registry_auth()));
  if (source.kind == SourceKind::kRegistry && !source.reference.digest.empty()) {
    // A digest names one content for ever: nothing to ask.
    if (Result<ResolvedImage> known = resolve(request.image()); known) {
      return std::move(known->image);
    }
  }
  std::string id;
  const Progress tell = progress ? progress : [](std::string_view) {};
  if (Status status = fetch_and_commit(source, request, auth, tell, id); !status) {
    return std::move(status).error().with_context("pull '" + request.image() + "'");
  }
  collect_garbage();
  SKEP_TRY_ASSIGN(const Names names, read_names());
  return describe(id, names);
}

Status DirectoryStore::empty_temporary() {
  SKEP_TRY_ASSIGN(const std::vector<std::string> names, env_.disk.list_directory(path("tmp")));
  for (const std::string& name : names) {
    SKEP_TRY(env_.disk.remove_tree(path("tmp/" + name)));
  }
  return ok();
}

/// Removes layers of no image and temporary files; answers the layers. While somebody pulls, his
/// new layers belong to no image yet: then it does nothing, and the end of that pull does it.
std::vector<std::string> DirectoryStore::collect_garbage() {
  const Result<FileLock> alone = FileLock::try_now(path("pull.lock"), LockKind::kExclusive);
  const Result<std::vector<std::string>> ids = read_ids();
  const Result<std::vector<std::string>> layers = layers_.list();
  const Result<Names> names = read_names();
  if (!alone || !ids || !layers || !names) {
    return {};
  }
  // Names go before their image: one that names none means that a record was lost, not removed, and
  // containers may run on its layers.
  for (const auto& [name, id] : *names) {
    if (std::find(ids->begin(), ids->end(), id) == ids->end()) {
      SKEP_WARN("layers are kept, because the record of an image is lost: pull or load it again",
                {"image", id}, {"name", name});
      return {};
    }
  }
  std::set<std::string> used;
  for (const std::string& id : *ids) {
    const Result<runtime::v1::Image> image = load(id);
    if (!image) {
      SKEP_WARN("layers are kept, because an image is damaged", {"image", id},
                {"cause", image.error().message});
      return {};
    }
    used.insert(image->layers().begin(), image->layers().end());
  }
  std::vector<std::string> removed = unused_layers(*layers, used);
  Status status = empty_temporary();
  for (const std::string& layer : removed) {
    status = status ? layers_.remove(layer) : std::move(status);
  }
  if (!status) {
    SKEP_WARN("unused layers could not be removed", {"cause", status.error().message});
  }
  return removed;
}

Result<runtime::v1::RemoveImageResponse> DirectoryStore::remove(std::string_view reference,
                                                                RemoveMode mode,
                                                                const UsedBy& used_by) {
  runtime::v1::RemoveImageResponse out;
  {
    SKEP_TRY_ASSIGN(const FileLock lock, FileLock::wait(path("lock"), LockKind::kExclusive));
    SKEP_TRY_ASSIGN(const Found found, find(reference));
    SKEP_TRY_ASSIGN(Names names, read_names());
    const std::string user = used_by ? used_by(found.id) : std::string();
    SKEP_TRY_ASSIGN(const Removal removal,
                    plan_removal(found, names, mode, user, options_.default_domain));
    for (const std::string& name : removal.names) {
      names.erase(name);
      const Result<Reference> named = parse_reference(name, options_.default_domain);
      out.add_untagged(named ? familiar(*named, options_.default_domain) : name);
    }
    SKEP_TRY(env_.disk.write_file_atomic(path("names.json"), format_names(names), 0600));
    if (!removal.image) {
      return out;
    }
    SKEP_TRY(env_.disk.remove(record_path(found.id)));
    out.add_deleted(found.id);
  }
  for (const std::string& layer : collect_garbage()) {
    out.add_deleted(layer);
  }
  return out;
}

std::string machine_architecture(std::string configured) {
  return configured.empty() ? std::string(this_architecture()) : configured;
}

}  // namespace

Result<std::unique_ptr<ImageStore>> ImageStore::open(const Env& env, ImageStoreOptions options) {
  options.architecture = machine_architecture(std::move(options.architecture));
  auto store = std::make_unique<DirectoryStore>(env, std::move(options));
  SKEP_TRY(store->prepare());
  return std::unique_ptr<ImageStore>(std::move(store));
}

std::string familiar_name(std::string_view reference) {
  const Result<Reference> parsed = parse_reference(reference);
  return parsed ? familiar(*parsed) : std::string(reference);
}

}  // namespace skep::oci
