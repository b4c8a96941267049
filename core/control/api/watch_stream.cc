#include "core/control/api/watch_stream.h"

#include <utility>

#include "core/control/api/redact.h"
#include "skep/envelope.h"

namespace skep::control {
namespace {

using store::Table;

/// What wraps an object in an event: version, action, table, lengths.
constexpr std::size_t kWrapBytes = 1 << 10;

void fit(model::v1::Service& service) {
  if (service.ByteSizeLong() + kWrapBytes > rpc::kChunkMax) {
    service.clear_previous_spec();  // two of the largest specifications are more than a chunk
  }
}
template <class T>
void fit(T& /*object*/) {}

/// The serialised object without what nobody may see.
template <class T>
std::string shown_as(const google::protobuf::MessageLite& object) {
  T copy = static_cast<const T&>(object);
  redact(copy);
  fit(copy);
  return copy.SerializeAsString();
}

std::string shown(Table table, const google::protobuf::MessageLite& object) {
  switch (table) {
    case Table::kCluster:
      return shown_as<model::v1::Cluster>(object);
    case Table::kNode:
      return shown_as<model::v1::Node>(object);
    case Table::kService:
      return shown_as<model::v1::Service>(object);
    case Table::kTask:
      return shown_as<model::v1::Task>(object);
    case Table::kNetwork:
      return shown_as<model::v1::Network>(object);
    case Table::kSecret:
      return shown_as<model::v1::Secret>(object);
    case Table::kConfig:
      return shown_as<model::v1::Config>(object);
    case Table::kVolume:  // no object of it exists yet
    case Table::kRemovedNode:
      break;
  }
  return "";
}

const char* action_name(store::Action action) {
  switch (action) {
    case store::Action::kCreated:
      return "created";
    case store::Action::kUpdated:
      return "updated";
    case store::Action::kRemoved:
      return "removed";
  }
  return "";
}

}  // namespace

WatchStream::WatchStream(store::Store& store, Stream stream,
                         std::function<void(WatchStream*)> on_end)
    : store_(store), stream_(std::move(stream)), on_end_(std::move(on_end)) {}

WatchStream::~WatchStream() {
  store_.unsubscribe(subscription_);
}

Status WatchStream::choose_tables(const control::v1::WatchRequest& request) {
  for (const auto& name : request.tables()) {
    bool found = false;
    for (const Table table : store::kTables) {
      if (store::table_name(table) == name) {
        tables_.insert(table);
        found = true;
      }
    }
    if (!found) {
      return Error{Code::kInvalidArgument,
                   "there is no table '" + name +
                       "'; use cluster, node, service, task, network, secret or config",
                   "UNKNOWN_TABLE"};
    }
  }
  if (tables_.empty()) {
    tables_.insert(std::begin(store::kTables), std::end(store::kTables));
  }
  return ok();
}

template <class T>
void WatchStream::queue_present() {
  constexpr Table kTable = store::TableOf<T>::kTable;
  if (!tables_.contains(kTable)) {
    return;
  }
  for (const auto& [id, object] : store_.view().all<T>()) {
    queue_.push_back({object->meta().version(), "present", kTable, object});
  }
}

std::shared_ptr<WatchStream> WatchStream::open(store::Store& store,
                                               const control::v1::WatchRequest& request,
                                               Stream stream,
                                               std::function<void(WatchStream*)> on_end) {
  auto raw = stream.raw();
  const std::shared_ptr<WatchStream> self(
      new WatchStream(store, std::move(stream), std::move(on_end)));
  if (auto status = self->choose_tables(request); !status) {
    self->stream_.finish(std::move(status));
    return nullptr;
  }
  const auto watch = [weak = std::weak_ptr<WatchStream>(self)](const store::Commit& commit) {
    if (const auto watcher = weak.lock()) {
      watcher->on_commit(commit);
    }
  };
  if (request.resume_after() != 0) {
    auto subscribed = store.subscribe_after(request.resume_after(), watch);
    if (!subscribed) {
      self->stream_.finish(std::move(subscribed).error());
      return nullptr;
    }
    self->subscription_ = *subscribed;
    self->last_sent_ = request.resume_after();
  } else {
    self->queue_present<model::v1::Cluster>();
    self->queue_present<model::v1::Node>();
    self->queue_present<model::v1::Service>();
    self->queue_present<model::v1::Task>();
    self->queue_present<model::v1::Network>();
    self->queue_present<model::v1::Secret>();
    self->queue_present<model::v1::Config>();
    self->queue_.push_back({store.applied_index(), "synced", Table::kCluster, nullptr});
    self->subscription_ = store.subscribe(watch);
  }
  self->present_left_ = self->queue_.size();
  raw->set_handlers([](rpc::Body) {}, [] {},
                    [weak = std::weak_ptr<WatchStream>(self)] {
                      if (const auto watcher = weak.lock()) {
                        watcher->end();
                      }
                    },
                    [weak = std::weak_ptr<WatchStream>(self)] {
                      if (const auto watcher = weak.lock()) {
                        watcher->pump();
                      }
                    });
  self->pump();
  return self->ended_ ? nullptr : self;
}

void WatchStream::on_commit(const store::Commit& commit) {
  for (const auto& event : commit.events) {
    if (tables_.contains(event.table)) {
      queue_.push_back({commit.index, action_name(event.action), event.table,
                        event.after != nullptr ? event.after : event.before});
    }
  }
  pump();
  if (!ended_ && queue_.size() > present_left_ + kQueueMax) {
    finish(
        Error{Code::kResourceExhausted,
              "the reader is too slow; watch again with resume_after " + std::to_string(last_sent_),
              "WATCH_TOO_SLOW"});
  }
}

void WatchStream::pump() {
  const auto self = shared_from_this();  // sending may end it
  while (!ended_ && !queue_.empty()) {
    const Item& item = queue_.front();
    control::v1::WatchEvent event;
    event.set_version(item.version);
    event.set_action(item.action);
    if (item.object != nullptr) {
      event.set_table(std::string(store::table_name(item.table)));
      event.set_object(shown(item.table, *item.object));
    }
    const auto status = stream_.send(event);
    if (!status) {
      if (status.error().code != Code::kResourceExhausted) {
        finish(status.error());
      }
      return;
    }
    if (present_left_ > 0) {
      --present_left_;
    }
    // Only whole commits can be resumed after.
    if (present_left_ == 0 && (queue_.size() == 1 || queue_[1].version != item.version)) {
      last_sent_ = item.version;
    }
    queue_.pop_front();
  }
}

void WatchStream::finish(const Error& error) {
  if (!ended_) {
    stream_.finish(Error(error));
    end();
  }
}

void WatchStream::end() {
  if (std::exchange(ended_, true)) {
    return;
  }
  const auto self = shared_from_this();
  store_.unsubscribe(std::exchange(subscription_, 0));
  queue_.clear();
  std::exchange(on_end_, nullptr)(this);
}

}  // namespace skep::control
