#include "core/control/managers/state_fetch.h"

#include <utility>

#include "core/control/managers/state_source.h"
#include "skep/log.h"
#include "skep/manager.methods.h"

namespace skep::control {
namespace {

using namespace std::chrono_literals;

constexpr int kFailuresMax = 6;  // in a row, without a chunk in between
constexpr Duration kRetryPause = 500ms;
constexpr Duration kNobodyPause = 5s;
// A member that consensus did not name may itself be waiting for what is asked of it.
constexpr Duration kStandInSilence = 30s;

Error damaged(const std::string& what) {
  return Error{Code::kDataLoss, "the state that another manager sent " + what, "TRANSFER_DAMAGED"};
}

}  // namespace

Result<std::vector<store::StoredRow>> RowReader::take(std::string_view bytes) {
  bytes_.append(bytes);
  std::vector<store::StoredRow> rows;
  std::size_t at = 0;
  while (bytes_.size() - at >= 4) {
    std::size_t size = 0;
    for (std::size_t i = 0; i < 4; ++i) {
      size |= static_cast<std::size_t>(static_cast<unsigned char>(bytes_[at + i])) << (8 * i);
    }
    if (size > kRowBytesMax) {
      return damaged("has a row of " + std::to_string(size) + " bytes");
    }
    if (bytes_.size() - at - 4 < size) {
      break;
    }
    manager::v1::StateRow record;
    if (!record.ParseFromArray(bytes_.data() + at + 4, static_cast<int>(size)) ||
        record.table() == 0 || record.id().empty()) {
      return damaged("has a row that cannot be read");
    }
    std::pair place{record.table(), record.id()};
    if (place <= last_) {
      return damaged("has the row '" + record.id() + "' twice or out of order");
    }
    last_ = std::move(place);
    rows.push_back({record.table(), record.id(), std::move(*record.mutable_object())});
    at += 4 + size;
  }
  bytes_.erase(0, at);
  return rows;
}

template <class F>
auto StateFetch::guarded(F f) {
  return [alive = std::weak_ptr<char>(alive_), f = std::move(f)](auto&&... arguments) mutable {
    if (!alive.expired()) {
      f(std::forward<decltype(arguments)>(arguments)...);
    }
  };
}

StateFetch::StateFetch(Env& env, bus::Peers* peers, const RaftMail& mail, store::Store& store,
                       store::DiskState& disk, Hooks hooks)
    : env_(env), peers_(peers), mail_(mail), store_(store), disk_(disk), hooks_(std::move(hooks)) {}

StateFetch::~StateFetch() {
  stop();
}

void StateFetch::stop() {
  alive_.reset();
  env_.loop.cancel_timer(std::exchange(retry_timer_, 0));
  close_stream();
  answer(Error{Code::kUnavailable, "the manager stopped", "MANAGER_STOPPED"});
}

void StateFetch::answer(Result<std::uint64_t> result) {
  if (auto done = std::exchange(done_, nullptr)) {
    done(std::move(result));
  }
}

void StateFetch::fetch(std::uint64_t index, std::uint64_t source, Done done) {
  if (store_.applied_index() >= index) {
    return done(store_.applied_index());
  }
  if (done_ != nullptr || writing_) {
    return done(Error{Code::kConflict, "the state is being fetched already", "FETCH_UNDER_WAY"});
  }
  wanted_ = mail_.find(source) == nullptr ? 0 : source;
  source = fit_source(wanted_);
  if (source == 0) {
    unfit_.clear();
    source = fit_source(wanted_);
  }
  if (peers_ == nullptr || source == 0) {
    return done(Error{Code::kUnavailable, "no other manager is known that could have the state",
                      "NO_SOURCE"});
  }
  done_ = std::move(done);
  min_index_ = index;
  failures_ = 0;
  if (source != source_ || snapshot_id_.empty() || mark_.index() < index) {
    source_ = source;
    return begin();
  }
  open();
}

/// `wanted`, or in its place a manager that is not known to be unfit; 0: there is none. Where nobody
/// leads, nobody is wanted, and perhaps only the one that waits for its state could lead.
std::uint64_t StateFetch::fit_source(std::uint64_t wanted) const {
  if (wanted != 0 && !unfit_.contains(wanted)) {
    return wanted;
  }
  for (const auto& [id, member] : mail_.book()) {
    if (id != mail_.self() && !unfit_.contains(id)) {
      return id;
    }
  }
  return 0;
}

/// Asking this one again would bring the same.
void StateFetch::unfit(const Error& error) {
  close_stream();
  snapshot_id_.clear();
  unfit_.insert(source_);
  const auto* member = mail_.find(source_);
  const std::string node = member == nullptr ? std::to_string(source_) : member->node_id();
  if (const std::uint64_t other = fit_source(wanted_); other != 0) {
    SKEP_WARN("this manager gives no whole state; another one is asked", {"node", node}, {"cause", error.message});
    source_ = other;
    failures_ = 0;
    return retry();
  }
  // All were asked. Consensus asks again, and something may be repaired by then.
  unfit_.clear();
  Error none = error;
  none = std::move(none).with_context("no manager gives its state whole, node '" + node + "' at last");
  env_.loop.cancel_timer(retry_timer_);
  retry_timer_ = env_.loop.run_after(kNobodyPause, [this, none = std::move(none)] {
    retry_timer_ = 0;
    answer(none);
  });
}

void StateFetch::begin() {
  snapshot_id_.clear();
  next_chunk_ = 0;
  mark_.Clear();
  reader_ = RowReader();
  hash_ = {};
  waiting_.clear();
  writing_ = true;
  disk_.begin_install(guarded([this](Status status) {
    writing_ = false;
    status ? open() : answer(std::move(status).error());
  }));
}

void StateFetch::open() {
  const auto* source = mail_.find(source_);
  SKEP_ASSERT(source != nullptr, "the address book never forgets a member");
  manager::v1::FetchStateRequest request;
  request.set_min_index(min_index_);
  request.set_snapshot_id(snapshot_id_);
  request.set_next_chunk(next_chunk_);
  saw_last_ = false;
  const std::uint64_t generation = ++generation_;
  env_.loop.cancel_timer(std::exchange(silence_timer_, 0));
  if (source_ != wanted_) {
    silence_timer_ = env_.loop.run_after(kStandInSilence, guarded([this, generation] {
                                           silence_timer_ = 0;
                                           if (generation == generation_) {
                                             unfit({Code::kTimeout, "it sent nothing in time", "NO_STATE"});
                                           }
                                         }));
  }
  stream_ = rpc::open<manager::v1::methods::FetchState>(
      peers_->to(source->node_id(), source->address()), "core", request, {.deadline = 0ms},
      guarded([this, generation](const manager::v1::StateChunk& chunk) {
        on_chunk(chunk, generation);
      }),
      guarded([this, generation](Status status) { on_ended(std::move(status), generation); }));
}

void StateFetch::on_chunk(const manager::v1::StateChunk& chunk, std::uint64_t generation) {
  if (generation != generation_) {
    return;
  }
  env_.loop.cancel_timer(std::exchange(silence_timer_, 0));
  waiting_.push_back(chunk);
  saw_last_ = chunk.last();
  if (!writing_) {
    const auto next = std::move(waiting_.front());
    waiting_.pop_front();
    return take(next);
  }
  if (stream_ != nullptr) {
    stream_->hold_credit(true);
  }
}

void StateFetch::take(const manager::v1::StateChunk& chunk) {
  const bool first = snapshot_id_.empty();
  const bool fits =
      chunk.number() == next_chunk_ &&
      (first || (chunk.snapshot_id() == snapshot_id_ && chunk.mark().index() == mark_.index())) &&
      chunk.mark().index() >= min_index_;
  if (!fits || chunk.checksum() != chunk_checksum(chunk.data())) {
    return broken(damaged("has a chunk out of order or with a wrong checksum"));
  }
  auto rows = reader_.take(chunk.data());
  if (!rows) {
    return unfit(rows.error());
  }
  snapshot_id_ = chunk.snapshot_id();
  mark_ = chunk.mark();
  ++next_chunk_;
  ++chunks_taken_;
  failures_ = 0;
  for (const auto& row : *rows) {
    store::add_digest(hash_, store::digest_of(row));
  }
  install(*std::move(rows), chunk.last());
}

void StateFetch::install(std::vector<store::StoredRow> rows, bool last) {
  writing_ = true;
  disk_.install(std::move(rows), guarded([this, last](Status status) {
                  writing_ = false;
                  if (!status) {
                    snapshot_id_.clear();  // rows of this chunk are missing: all anew
                    return broken(status.error());
                  }
                  if (last) {
                    return finish();
                  }
                  if (!waiting_.empty()) {
                    const auto next = std::move(waiting_.front());
                    waiting_.pop_front();
                    return take(next);
                  }
                  if (stream_ != nullptr) {
                    stream_->hold_credit(false);
                  } else if (retry_timer_ == 0 && done_ != nullptr) {
                    go_on();  // it broke while these were written
                  }
                }));
}

void StateFetch::finish() {
  ++generation_;  // what still comes does not matter
  stream_.reset();
  waiting_.clear();
  snapshot_id_.clear();
  if (hash_ != store::hash_of(mark_) || !reader_.at_boundary()) {
    return unfit(damaged("has another hash than was said"));
  }
  hooks_.installing();
  writing_ = true;
  disk_.finish_install(
      mark_, guarded([this](Status status) {
        writing_ = false;
        hooks_.installed(status.has_value());
        if (!status) {
          SKEP_ERROR("the fetched state cannot be put in place",
                     {"reason", status.error().message});
          return answer(std::move(status).error());
        }
        SKEP_INFO("the state was fetched from another manager", {"index", mark_.index()});
        unfit_.clear();
        answer(store_.applied_index());
      }));
}

void StateFetch::on_ended(Status status, std::uint64_t generation) {
  if (generation != generation_) {
    return;
  }
  stream_.reset();
  if (saw_last_) {
    return;  // perhaps still being written
  }
  if (status) {
    return broken(damaged("ended early"));
  }
  if (status.error().code == Code::kDataLoss) {
    return unfit(status.error());
  }
  if (status.error().reason == "SNAPSHOT_GONE") {
    snapshot_id_.clear();
  }
  broken(status.error());
}

void StateFetch::close_stream() {
  ++generation_;
  if (auto stream = std::exchange(stream_, nullptr)) {
    stream->cancel();
  }
  waiting_.clear();
  env_.loop.cancel_timer(std::exchange(silence_timer_, 0));
}

void StateFetch::broken(const Error& error) {
  close_stream();
  if (++failures_ >= kFailuresMax) {
    // Who consensus named may be named again; for who stands in for that one, another may stand in.
    return source_ == wanted_ && error.code != Code::kDataLoss ? answer(Error(error)) : unfit(error);
  }
  SKEP_DEBUG("the transfer of the state broke", {"reason", error.message}, {"chunk", next_chunk_});
  retry();
}

void StateFetch::retry() {
  env_.loop.cancel_timer(retry_timer_);
  retry_timer_ = env_.loop.run_after(kRetryPause, [this] {
    retry_timer_ = 0;
    if (done_ == nullptr || writing_) {
      return;  // goes on when the rows are written
    }
    go_on();
  });
}

void StateFetch::go_on() {
  snapshot_id_.empty() ? begin() : open();
}

}  // namespace skep::control
