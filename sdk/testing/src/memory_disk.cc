#include <optional>

#include "skep/testing/manual_env.h"

namespace skep::testing {
namespace {

/// One write, truncation included, that no sync has covered yet.
struct Pending {
  bool truncate = false;
  std::uint64_t offset = 0;  // of a truncation: the new size
  std::string data;
};

struct Inode {
  std::string current;  // what readers see
  std::string synced;   // what survives a crash
  std::vector<Pending> pending;
};

void apply_change(std::string& content, const Pending& change) {
  if (change.truncate) {
    content.resize(change.offset, '\0');
    return;
  }
  if (content.size() < change.offset + change.data.size()) {
    content.resize(change.offset + change.data.size(), '\0');
  }
  content.replace(change.offset, change.data.size(), change.data);
}

std::string parent_of(const std::string& path) {
  const auto slash = path.find_last_of('/');
  return slash == std::string::npos || slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace

struct MemoryDisk::State {
  using Names = std::map<std::string, std::shared_ptr<Inode>>;  // nullptr = directory
  /// What one call did to names; no inode: the name is gone.
  using NameChange = std::vector<std::pair<std::string, std::optional<std::shared_ptr<Inode>>>>;
  Names names;
  Names synced_names;
  std::vector<NameChange> name_history;  // since the last directory sync, oldest first
  std::uint64_t calls = 0;
  std::uint64_t fail_at = 0;
  std::optional<Error> failure;
  bool failed = false;
  std::uint64_t capacity = UINT64_MAX;
  std::uint64_t generation = 0;  // rises at a crash: older files are dead

  std::optional<Error> count_call() {
    ++calls;
    if (failure && calls == fail_at) {
      failed = true;
      return std::exchange(failure, std::nullopt);
    }
    return std::nullopt;
  }
  [[nodiscard]] std::uint64_t used() const {
    std::uint64_t bytes = 0;
    for (const auto& [path, inode] : names) {
      bytes += inode ? inode->current.size() : 0;
    }
    return bytes;
  }
  void change_names(NameChange change) {
    apply_names(names, change);
    name_history.push_back(std::move(change));
  }
  /// Makes the first `count` changes of names since the last sync durable, forgets the others.
  void keep_names(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      apply_names(synced_names, name_history[i]);
    }
    name_history.clear();
  }
  static void apply_names(Names& to, const NameChange& change) {
    for (const auto& [path, inode] : change) {
      if (inode) {
        to[path] = *inode;
      } else {
        to.erase(path);
      }
    }
  }
};

namespace {

Error missing(const std::string& path, std::string_view verb) {
  return Error{Code::kNotFound, path + ": " + std::string(verb) + ": No such file or directory"};
}

class MemoryFile final : public File {
 public:
  MemoryFile(std::shared_ptr<MemoryDisk::State> disk, std::shared_ptr<Inode> inode, std::string path)
      : disk_(std::move(disk)), inode_(std::move(inode)), path_(std::move(path)),
        generation_(disk_->generation) {}

  Result<std::string> read(std::uint64_t offset, std::size_t size) override {
    SKEP_TRY(alive());
    if (offset >= inode_->current.size()) {
      return std::string();
    }
    return inode_->current.substr(offset, size);
  }
  Status write(std::uint64_t offset, std::string_view data) override {
    SKEP_TRY(mutate());
    const std::uint64_t end = offset + data.size();
    const std::uint64_t growth = end > inode_->current.size() ? end - inode_->current.size() : 0;
    if (growth > 0 && disk_->used() + growth > disk_->capacity) {
      return Error{Code::kResourceExhausted, path_ + ": write: No space left on device", "DISK_FULL"};
    }
    change({false, offset, std::string(data)});
    return ok();
  }
  Status sync() override {
    SKEP_TRY(mutate());
    for (const Pending& change : inode_->pending) {
      apply_change(inode_->synced, change);  // comes to the same as current, which may be large
    }
    inode_->pending.clear();
    return ok();
  }
  Status truncate(std::uint64_t size) override {
    SKEP_TRY(mutate());
    change({true, size, {}});
    return ok();
  }
  Status allocate(std::uint64_t size) override {
    SKEP_TRY(mutate());
    if (size > inode_->current.size()) {
      if (disk_->used() + size - inode_->current.size() > disk_->capacity) {
        return Error{Code::kResourceExhausted, path_ + ": reserve space: No space left on device",
                     "DISK_FULL"};
      }
      change({true, size, {}});
    }
    return ok();
  }
  Result<std::uint64_t> size() override {
    SKEP_TRY(alive());
    return static_cast<std::uint64_t>(inode_->current.size());
  }

 private:
  Status alive() {
    if (generation_ != disk_->generation) {
      return Error{Code::kInternal, path_ + ": the machine crashed while this file was open"};
    }
    return ok();
  }
  Status mutate() {
    SKEP_TRY(alive());
    if (auto error = disk_->count_call()) {
      return std::move(*error).with_context(path_);
    }
    return ok();
  }
  void change(Pending pending) {
    apply_change(inode_->current, pending);
    inode_->pending.push_back(std::move(pending));
  }
  std::shared_ptr<MemoryDisk::State> disk_;
  std::shared_ptr<Inode> inode_;
  std::string path_;
  std::uint64_t generation_;
};

}  // namespace

MemoryDisk::MemoryDisk() : state_(std::make_shared<State>()) {
  state_->names["/"] = nullptr;
  state_->synced_names = state_->names;
}
MemoryDisk::~MemoryDisk() = default;

Result<std::unique_ptr<File>> MemoryDisk::open(const std::string& path, OpenMode mode) {
  const auto it = state_->names.find(path);
  if (it != state_->names.end() && it->second) {
    return std::unique_ptr<File>(std::make_unique<MemoryFile>(state_, it->second, path));
  }
  if (mode != OpenMode::kCreate || it != state_->names.end()) {
    return missing(path, "open");
  }
  if (!state_->names.contains(parent_of(path))) {
    return missing(path, "create");
  }
  if (auto error = state_->count_call()) {
    return std::move(*error).with_context(path);
  }
  auto inode = std::make_shared<Inode>();
  state_->change_names({{path, inode}});
  return std::unique_ptr<File>(std::make_unique<MemoryFile>(state_, inode, path));
}

Result<std::string> MemoryDisk::read_file(const std::string& path) {
  SKEP_TRY_ASSIGN(const auto file, open(path, OpenMode::kRead));
  SKEP_TRY_ASSIGN(const std::uint64_t size, file->size());
  return file->read(0, size);
}

Status MemoryDisk::write_file_atomic(const std::string& path, std::string_view data, int) {
  const std::string temporary = path + ".tmp";
  SKEP_TRY_ASSIGN(const auto file, open(temporary, OpenMode::kCreate));
  SKEP_TRY(file->truncate(0));
  SKEP_TRY(file->write(0, data));
  SKEP_TRY(file->sync());
  SKEP_TRY(rename(temporary, path));
  return sync_directory(parent_of(path));
}

Status MemoryDisk::rename(const std::string& from, const std::string& to) {
  if (!state_->names.contains(from)) {
    return missing(from, "rename");
  }
  if (auto error = state_->count_call()) {
    return std::move(*error).with_context(from);
  }
  State::NameChange gone;
  State::NameChange moved;
  for (auto it = state_->names.lower_bound(from);
       it != state_->names.end() && it->first.starts_with(from); ++it) {
    if (it->first == from || it->first[from.size()] == '/') {
      gone.emplace_back(it->first, std::nullopt);
      moved.emplace_back(to + it->first.substr(from.size()), it->second);
    }
  }
  gone.insert(gone.end(), moved.begin(), moved.end());
  state_->change_names(std::move(gone));
  return ok();
}

Status MemoryDisk::remove(const std::string& path) {
  if (!state_->names.contains(path)) {
    return missing(path, "remove");
  }
  if (auto error = state_->count_call()) {
    return std::move(*error).with_context(path);
  }
  state_->change_names({{path, std::nullopt}});
  return ok();
}

Status MemoryDisk::remove_tree(const std::string& path) {
  if (auto error = state_->count_call()) {
    return std::move(*error).with_context(path);
  }
  State::NameChange gone;
  for (auto it = state_->names.lower_bound(path);
       it != state_->names.end() && it->first.starts_with(path); ++it) {
    if (it->first == path || it->first[path.size()] == '/') {
      gone.emplace_back(it->first, std::nullopt);
    }
  }
  state_->change_names(std::move(gone));
  return ok();
}

Status MemoryDisk::make_directories(const std::string& path, int mode) {
  if (const auto it = state_->names.find(path); it != state_->names.end()) {
    return it->second ? Status(Error{Code::kInvalidArgument, path + ": make directory: Not a directory"})
                      : ok();
  }
  SKEP_TRY(make_directories(parent_of(path), mode));
  if (auto error = state_->count_call()) {
    return std::move(*error).with_context(path);
  }
  state_->change_names({{path, std::shared_ptr<Inode>()}});
  return ok();
}

Result<std::vector<std::string>> MemoryDisk::list_directory(const std::string& path) {
  const auto it = state_->names.find(path);
  if (it == state_->names.end() || it->second) {
    return missing(path, "list");
  }
  const std::string prefix = path == "/" ? path : path + "/";
  std::vector<std::string> names;
  for (auto name = state_->names.upper_bound(prefix);
       name != state_->names.end() && name->first.starts_with(prefix); ++name) {
    if (name->first.find('/', prefix.size()) == std::string::npos) {
      names.push_back(name->first.substr(prefix.size()));
    }
  }
  return names;
}

Status MemoryDisk::sync_directory(const std::string& path) {
  if (auto error = state_->count_call()) {
    return std::move(*error).with_context(path);
  }
  // Directories share one journal, as on ext4: a sync of one makes all earlier name changes safe.
  state_->keep_names(state_->name_history.size());
  return ok();
}

bool MemoryDisk::exists(const std::string& path) { return state_->names.contains(path); }

Result<std::uint64_t> MemoryDisk::free_bytes(const std::string&) {
  const std::uint64_t used = state_->used();
  return used >= state_->capacity ? 0 : state_->capacity - used;
}

void MemoryDisk::crash(Random& random) {
  ++state_->generation;
  state_->keep_names(random.below(state_->name_history.size() + 1));
  state_->names = state_->synced_names;
  std::set<Inode*> seen;
  for (auto& [path, inode] : state_->names) {
    if (!inode || !seen.insert(inode.get()).second) {
      continue;
    }
    std::string survived = inode->synced;
    for (Pending& change : inode->pending) {
      if (random.below(2) == 0) {
        continue;
      }
      if (!change.truncate && !change.data.empty() && random.below(4) == 0) {
        change.data.resize(random.below(change.data.size()));  // torn
      }
      apply_change(survived, change);
    }
    inode->current = survived;
    inode->synced = survived;
    inode->pending.clear();
  }
}

void MemoryDisk::fail_call(std::uint64_t n, Error error) {
  state_->fail_at = state_->calls + n;
  state_->failure = n == 0 ? std::nullopt : std::optional<Error>(std::move(error));
  state_->failed = false;
}
bool MemoryDisk::failed() const { return state_->failed; }
std::uint64_t MemoryDisk::calls() const { return state_->calls; }
void MemoryDisk::set_capacity(std::uint64_t bytes) { state_->capacity = bytes; }

void MemoryDisk::corrupt(const std::string& path, std::uint64_t offset, unsigned char xor_with) {
  const auto it = state_->names.find(path);
  SKEP_ASSERT(it != state_->names.end() && it->second && offset < it->second->current.size(),
              "a test corrupts a byte that is there");
  for (std::string* content : {&it->second->current, &it->second->synced}) {
    if (offset < content->size()) {
      (*content)[offset] = static_cast<char>(static_cast<unsigned char>((*content)[offset]) ^ xor_with);
    }
  }
}

std::string MemoryDisk::content(const std::string& path) const {
  const auto it = state_->names.find(path);
  return it == state_->names.end() || !it->second ? std::string() : it->second->current;
}

bool MemoryDisk::is_synced(const std::string& path) const {
  const auto it = state_->names.find(path);
  return it != state_->names.end() && it->second && it->second->current == it->second->synced;
}

}  // namespace skep::testing
