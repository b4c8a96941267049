#pragma once

// One control/1/watch call: the present objects, "synced", then changes as they are committed, at
// the pace of the reader. A reader that falls too far behind is told from where to resume. Loop
// thread.

#include <deque>
#include <memory>
#include <set>
#include <string>

#include "core/store/store.h"
#include "skep/control.methods.h"
#include "skep/rpc.h"

namespace skep::control {

class WatchStream : public std::enable_shared_from_this<WatchStream> {
 public:
  static constexpr std::size_t kQueueMax = 8'192;  // changes; the present objects come on top
  using Stream = rpc::TypedServerStream<control::v1::methods::Watch>;

  /// Finishes the stream itself when the request is wrong (unknown table) or cannot be resumed
  /// (SNAPSHOT_AGAIN). `on_end` is called once when the stream is over.
  static std::shared_ptr<WatchStream> open(store::Store& store,
                                           const control::v1::WatchRequest& request, Stream stream,
                                           std::function<void(WatchStream*)> on_end);
  ~WatchStream();

  /// Ends it from our side.
  void finish(const Error& error);

 private:
  struct Item {
    std::uint64_t version = 0;
    const char* action = "";
    store::Table table = store::Table::kCluster;
    store::Ptr<google::protobuf::MessageLite> object;
  };
  WatchStream(store::Store& store, Stream stream, std::function<void(WatchStream*)> on_end);
  Status choose_tables(const control::v1::WatchRequest& request);
  template <class T>
  void queue_present();
  void on_commit(const store::Commit& commit);
  void pump();
  void end();

  store::Store& store_;
  Stream stream_;
  std::function<void(WatchStream*)> on_end_;
  std::set<store::Table> tables_;
  std::deque<Item> queue_;
  std::size_t present_left_ = 0;
  store::SubscriptionId subscription_ = 0;
  std::uint64_t last_sent_ = 0;
  bool ended_ = false;
};

}  // namespace skep::control
