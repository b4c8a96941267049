#include "watch_client.h"

#include <algorithm>

#include "skep/control.methods.h"

namespace skep::sim {

namespace {

using namespace std::chrono_literals;
namespace methods = control::v1::methods;

constexpr std::uint64_t kOwnSeed = 0x7761746368;  // apart from what the world draws

const char* name_of(store::Action action) {
  switch (action) {
    case store::Action::kCreated: return "created";
    case store::Action::kUpdated: return "updated";
    case store::Action::kRemoved: return "removed";
  }
  return "";
}

template <class T>
std::string id_of(const std::string& object) {
  T parsed;
  return parsed.ParseFromString(object) ? parsed.id() : "?";
}

std::string id_of(const control::v1::WatchEvent& event) {
  return event.table() == "service" ? id_of<model::v1::Service>(event.object())
         : event.table() == "task"  ? id_of<model::v1::Task>(event.object())
                                    : id_of<model::v1::Node>(event.object());
}

bool watched(store::Table table) {
  return table == store::Table::kService || table == store::Table::kTask || table == store::Table::kNode;
}

}  // namespace

WatchClient::WatchClient(testing::ManualLoop& loop, std::uint64_t seed, std::function<std::vector<rpc::Caller*>()> users,
                         std::function<void(const std::string&)> violate)
    : loop_(loop), random_(seed ^ kOwnSeed), users_(std::move(users)), violate_(std::move(violate)) {}

void WatchClient::start() { open(); }

void WatchClient::pause() {
  paused_ = true;
  ++generation_;
  if (stream_ != nullptr) {
    stream_->cancel();
  }
}

void WatchClient::go_on() {
  if (std::exchange(paused_, false)) {
    open_later();
  }
}

void WatchClient::on_commit(const store::Commit& commit) {
  for (const store::Event& event : commit.events) {
    if (watched(event.table)) {
      truth_.push_back({commit.index, name_of(event.action), {std::string(store::table_name(event.table)), event.id},
                        loop_.now()});
    }
  }
}

void WatchClient::open_later() {
  const std::uint64_t mine = ++generation_;
  loop_.run_after(std::chrono::milliseconds(100 + random_.below(900)), [this, mine] {
    if (mine == generation_) {
      open();
    }
  });
}

void WatchClient::open() {
  const auto users = users_();
  if (users.empty()) {
    return open_later();
  }
  control::v1::WatchRequest request;
  for (const char* table : {"service", "task", "node"}) {
    request.add_tables(table);
  }
  request.set_resume_after(whole_);
  resumed_ += whole_ != 0 ? 1 : 0;
  synced_ = whole_ != 0;
  newest_ = whole_;
  next_ = above(whole_);
  present_.clear();
  const std::uint64_t mine = ++generation_;
  stream_ = rpc::open<methods::Watch>(
      *users[random_.below(users.size())], "core", request, {.deadline = 0ms},
      [this, mine](const control::v1::WatchEvent& event) {
        if (mine == generation_) {
          on_event(event);
        }
      },
      [this, mine](const Status& status) {
        if (mine == generation_) {
          on_end(status);
        }
      });
  // Also when its agent died without a word.
  loop_.run_after(std::chrono::milliseconds(1'000 + random_.below(9'000)), [this, mine] {
    if (mine == generation_) {
      stream_->cancel();
      open();
    }
  });
}

void WatchClient::on_end(const Status& status) {
  if (!status && status.error().reason == "SNAPSHOT_AGAIN") {
    whole_ = 0;
  }
  open_later();
}

void WatchClient::on_event(const control::v1::WatchEvent& event) {
  ++told_;
  if (synced_) {
    on_change(event);
  } else if (event.action() == "synced") {
    on_synced(event.version());
  } else {
    present_.emplace(event.table(), id_of(event));
  }
}

void WatchClient::on_synced(std::uint64_t version) {
  next_ = above(version);
  std::set<Key> there;
  for (std::size_t i = 0; i < next_; ++i) {
    if (truth_[i].action == "removed") {
      there.erase(truth_[i].key);
    } else {
      there.insert(truth_[i].key);
    }
  }
  if (there != present_) {
    violate_("a watcher was told of " + std::to_string(present_.size()) + " objects at entry " + std::to_string(version) +
             ", but there were " + std::to_string(there.size()) + ", or others");
  }
  synced_ = true;
  whole_ = newest_ = version;
}

void WatchClient::on_change(const control::v1::WatchEvent& event) {
  const std::string told = event.action() + " " + event.table() + " " + id_of(event) + " of entry " +
                           std::to_string(event.version());
  if (next_ == truth_.size()) {
    return violate_("a watcher was told before it was committed, or twice: " + told);
  }
  const Change& due = truth_[next_++];
  if (event.version() != due.version || event.action() != due.action || Key(event.table(), id_of(event)) != due.key) {
    violate_("a watcher was told: " + told + "; the next was: " + due.action + " " + due.key.first + " " + due.key.second +
             " of entry " + std::to_string(due.version));
  }
  if (event.version() != newest_) {
    whole_ = newest_;
    newest_ = event.version();
  }
}

void WatchClient::check_told(Duration within) const {
  const std::size_t told = synced_ ? next_ : above(whole_);
  if (told < truth_.size() && loop_.now() - truth_[told].at > within) {
    violate_("a watcher was not told of entry " + std::to_string(truth_[told].version));
  }
}

std::size_t WatchClient::above(std::uint64_t version) const {
  const auto found = std::upper_bound(truth_.begin(), truth_.end(), version,
                                      [](std::uint64_t wanted, const Change& change) { return wanted < change.version; });
  return static_cast<std::size_t>(found - truth_.begin());
}

}  // namespace skep::sim
