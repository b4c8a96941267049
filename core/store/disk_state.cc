#include "core/store/disk_state.h"

#include <deque>
#include <optional>
#include <utility>
#include <vector>

#include "skep/log.h"
#include "skep/mutant.h"

namespace skep::store {

struct DiskState::State : std::enable_shared_from_this<State> {
  State(Env& e, std::shared_ptr<StateBackend> b, Options o, Handlers h)
      : env(e), backend(std::move(b)), options(o), handlers(std::move(h)) {}

  Env& env;
  const std::shared_ptr<StateBackend> backend;
  Options options;
  const Handlers handlers;
  Store* store = nullptr;

  StateBatch pending;        // newest rows not yet handed to a worker
  bool has_pending = false;  // the mark moved, perhaps without rows
  bool busy = false;         // one job at a time
  bool reopen = false;       // the last job failed
  bool sync_due = false;
  std::optional<Error> trouble;  // why the last job failed
  bool ended = false;
  TimerId sync_timer = 0;
  TimerId retry_timer = 0;
  std::uint64_t written_index = 0;
  v1::AppliedMark synced;
  std::function<void(Status)> on_closed;
  // Other work on the backend, in turn with the batches.
  struct Job {
    std::function<Status()> work;      // on a worker
    std::function<void(Status)> done;  // on the loop
  };
  std::deque<Job> jobs;
  struct Wanted {
    std::uint64_t min_index;
    std::function<void(Result<Cursor>)> done;
  };
  std::vector<Wanted> wanted;  // snapshots of a state that is not written yet

  void run(std::function<Status()> work, std::function<void(Status)> done);
  bool run_job();
  void take_snapshots();
  void follow(const AppliedRows& applied);
  void pump();
  void finish_job(const std::shared_ptr<StateBatch>& batch, bool synced_too, const Status& status);
  void fail(const std::shared_ptr<StateBatch>& batch, const Error& error);
  void tell_synced() {
    if (handlers.on_synced && !ended) {
      handlers.on_synced(synced.index(), synced.term());
    }
  }
  void arm_sync_timer();
  void end();
  [[nodiscard]] bool is_damaged() const { return trouble && trouble->code == Code::kDataLoss; }
};

void DiskState::State::follow(const AppliedRows& applied) {
  for (const auto& row : applied.rows) {
    auto& slot = pending.rows[{row.table, *row.id}];
    slot.reset();
    if (row.object != nullptr) {
      slot = *row.object;
    }
  }
  pending.mark.set_index(applied.index + (SKEP_MUTANT(kAppliedIndexAhead) ? 1 : 0));
  pending.mark.set_term(applied.term);
  pending.mark.set_state_hash_0(applied.hash[0]);
  pending.mark.set_state_hash_1(applied.hash[1]);
  has_pending = true;
  if (applied.index >= synced.index() + options.sync_entries) {
    sync_due = true;
  }
  arm_sync_timer();
  pump();
}

void DiskState::State::arm_sync_timer() {
  if (sync_timer != 0) {
    return;
  }
  sync_timer = env.loop.run_after(options.sync_after, [self = weak_from_this()] {
    if (auto state = self.lock()) {
      state->sync_timer = 0;
      state->sync_due = true;
      state->pump();
    }
  });
}

void DiskState::State::run(std::function<Status()> work, std::function<void(Status)> done) {
  if (ended || on_closed != nullptr) {
    return env.loop.post([done = std::move(done)] {
      done(Error{Code::kCancelled, "the manager state is closed", "MANAGER_STOPPED"});
    });
  }
  jobs.push_back({std::move(work), std::move(done)});
  pump();
}

bool DiskState::State::run_job() {
  if (jobs.empty()) {
    return false;
  }
  auto job = std::make_shared<Job>(std::move(jobs.front()));
  jobs.pop_front();
  busy = true;
  auto status = std::make_shared<Status>(ok());
  const auto finish = [self = shared_from_this(), job, status] {
    self->busy = false;
    job->done(std::move(*status));
    self->pump();
  };
  const auto started = env.workers.run([job, status] { *status = job->work(); }, finish);
  if (!started) {
    *status = started;
    env.loop.post(finish);
  }
  return true;
}

void DiskState::State::take_snapshots() {
  for (auto& want : std::exchange(wanted, {})) {
    if (want.min_index > written_index) {
      if (is_damaged()) {
        env.loop.post([done = std::move(want.done), error = *trouble] { done(error); });
      } else {
        wanted.push_back(std::move(want));
      }
      continue;
    }
    auto cursor = std::make_shared<Result<std::unique_ptr<StateCursor>>>(nullptr);
    run(
        [to = backend, cursor] {
          *cursor = to->snapshot();
          return *cursor ? ok() : Status(cursor->error());
        },
        [cursor, done = std::move(want.done)](Status status) {
          status ? done(Cursor(std::move(**cursor))) : done(std::move(status).error());
        });
  }
}

void DiskState::State::pump() {
  if (busy || ended || run_job() || retry_timer != 0) {
    return;
  }
  const bool wants_sync = sync_due || on_closed != nullptr;
  const bool unsynced = has_pending || written_index > synced.index();
  if (!has_pending && !(wants_sync && unsynced)) {
    if (on_closed != nullptr) {
      end();
    }
    return;
  }
  auto batch = std::make_shared<StateBatch>(std::move(pending));
  pending = StateBatch();
  pending.mark = batch->mark;
  const bool write = std::exchange(has_pending, false);
  const bool heal = std::exchange(reopen, false);
  sync_due = false;
  busy = true;
  auto status = std::make_shared<Status>(ok());
  const auto result = env.workers.run(
      [to = backend, batch, status, write, heal, wants_sync] {
        if (heal) {
          if (auto opened = to->open(); !opened) {
            *status = std::move(opened).error();
            return;
          }
        }
        if (write) {
          *status = to->write(*batch);
        }
        if (*status && wants_sync) {
          *status = to->sync();
        }
      },
      [self = shared_from_this(), batch, status, wants_sync] {
        self->finish_job(batch, wants_sync, *status);
      });
  if (!result) {
    finish_job(batch, false, result);
  }
}

void DiskState::State::finish_job(const std::shared_ptr<StateBatch>& batch, bool synced_too, const Status& status) {
  busy = false;
  if (ended) {
    return;
  }
  if (!status) {
    return fail(batch, status.error());
  }
  if (std::exchange(trouble, std::nullopt) && handlers.on_trouble) {
    handlers.on_trouble("");
  }
  written_index = batch->mark.index();
  take_snapshots();
  if (synced_too || SKEP_MUTANT(kCompactsUnsynced)) {
    synced = batch->mark;
    if (sync_timer != 0 && !has_pending) {
      env.loop.cancel_timer(std::exchange(sync_timer, 0));
    }
    tell_synced();
  }
  pump();
}

void DiskState::State::fail(const std::shared_ptr<StateBatch>& batch, const Error& error) {
  // Newer rows win over those of the failed batch.
  pending.rows.merge(batch->rows);
  has_pending = true;
  reopen = true;
  sync_due = true;
  trouble = error;
  if (handlers.on_trouble) {
    handlers.on_trouble(error.message + (is_damaged() ? "; do not restart the only manager: see docs/recovery.md" : ""));
  }
  if (on_closed != nullptr) {
    ended = true;
    std::exchange(on_closed, nullptr)(Error(error));
    return;
  }
  take_snapshots();  // who waits for a damaged state waits in vain
  retry_timer = env.loop.run_after(options.retry_after, [self = weak_from_this()] {
    if (auto state = self.lock()) {
      state->retry_timer = 0;
      state->pump();
    }
  });
}

void DiskState::State::end() {
  ended = true;
  const Error closed{Code::kCancelled, "the manager state is closed", "MANAGER_STOPPED"};
  for (auto& job : std::exchange(jobs, {})) {
    env.loop.post([done = std::move(job.done), closed] { done(closed); });
  }
  for (auto& want : std::exchange(wanted, {})) {
    env.loop.post([done = std::move(want.done), closed] { done(closed); });
  }
  if (store != nullptr) {
    std::exchange(store, nullptr)->set_on_rows(nullptr);
  }
  env.loop.cancel_timer(std::exchange(sync_timer, 0));
  env.loop.cancel_timer(std::exchange(retry_timer, 0));
  if (on_closed != nullptr) {
    std::exchange(on_closed, nullptr)(ok());
  }
}

DiskState::DiskState(Env& env, std::shared_ptr<StateBackend> backend, Options options,
                     Handlers handlers)
    : state_(std::make_shared<State>(env, std::move(backend), options, std::move(handlers))) {}

DiskState::~DiskState() {
  state_->on_closed = nullptr;
  state_->end();
}

void DiskState::load(Store& store, std::function<void(Status)> done) {
  auto loaded = std::make_shared<Result<LoadedState>>(LoadedState{});
  const auto result = state_->env.workers.run(
      [backend = state_->backend, loaded] { *loaded = backend->open(); },
      [self = state_, loaded, &store, done] {
        if (self->ended) {
          return;
        }
        if (!*loaded) {
          return done(std::move(*loaded).error());
        }
        const auto& mark = (*loaded)->mark;
        store.load(mark.index(), mark.term(), (*loaded)->rows);
        if (store.state_hash() != hash_of(mark)) {
          store.load(0, 0, {});
          return done(Error{Code::kDataLoss,
                            self->backend->description() +
                                ": rows are missing or changed (state at entry " +
                                std::to_string(mark.index()) + " has another hash than was stored)",
                            "STATE_DAMAGED"});
        }
        self->synced = mark;
        self->written_index = mark.index();
        self->pending.mark = mark;
        self->store = &store;
        store.set_on_rows([self](const AppliedRows& applied) { self->follow(applied); });
        done(ok());
      });
  if (!result) {
    done(result);
  }
}

void DiskState::set_aside(std::function<void(Status)> done) {
  auto status = std::make_shared<Status>(ok());
  const auto result = state_->env.workers.run(
      [backend = state_->backend, status] { *status = backend->set_aside(); },
      [status, done] { done(std::move(*status)); });
  if (!result) {
    done(result);
  }
}

void DiskState::close(std::function<void(Status)> done) {
  if (state_->ended) {
    return done(ok());
  }
  if (state_->store != nullptr) {
    std::exchange(state_->store, nullptr)->set_on_rows(nullptr);
  }
  const auto state = state_;  // `done` may drop this object
  state->on_closed = std::move(done);
  state->env.loop.cancel_timer(std::exchange(state->retry_timer, 0));
  state->pump();
}

void DiskState::snapshot(std::uint64_t min_index, std::function<void(Result<Cursor>)> done) {
  state_->wanted.push_back({min_index, std::move(done)});
  state_->take_snapshots();
}

bool DiskState::snapshot_waits(std::uint64_t min_index) const {
  return min_index > state_->written_index && !state_->is_damaged();
}

void DiskState::read(const Cursor& cursor, std::size_t bytes,
                     std::function<void(Result<std::vector<StoredRow>>)> done) {
  auto rows = std::make_shared<Result<std::vector<StoredRow>>>(std::vector<StoredRow>{});
  state_->run(
      [cursor, bytes, rows] {
        *rows = cursor->read(bytes);
        return *rows ? ok() : Status(rows->error());
      },
      [rows, done = std::move(done)](Status status) {
        status ? done(std::move(*rows)) : done(std::move(status).error());
      });
}

void DiskState::begin_install(std::function<void(Status)> done) {
  state_->run([to = state_->backend] { return to->begin_install(); }, std::move(done));
}

void DiskState::install(std::vector<StoredRow> rows, std::function<void(Status)> done) {
  state_->run([to = state_->backend, rows = std::make_shared<std::vector<StoredRow>>(
                                         std::move(rows))] { return to->install(*rows); },
              std::move(done));
}

void DiskState::finish_install(v1::AppliedMark mark, std::function<void(Status)> done) {
  auto loaded = std::make_shared<Result<LoadedState>>(LoadedState{});
  state_->run(
      [to = state_->backend, mark, loaded] {
        *loaded = to->finish_install(mark);
        return *loaded ? ok() : Status(loaded->error());
      },
      [self = state_, mark, loaded, done = std::move(done)](Status status) {
        if (!status || self->ended || self->store == nullptr) {
          return done(status ? Error{Code::kCancelled, "the manager stopped", "MANAGER_STOPPED"}
                             : std::move(status).error());
        }
        self->store->load(mark.index(), mark.term(), (*loaded)->rows);
        self->pending = StateBatch();
        self->pending.mark = mark;
        self->has_pending = self->sync_due = false;
        self->written_index = mark.index();
        self->synced = mark;
        if (self->store->state_hash() != hash_of(mark)) {
          self->store->load(0, 0, {});
          self->synced = self->pending.mark = v1::AppliedMark();
          self->written_index = 0;
          return done(Error{Code::kDataLoss,
                            self->backend->description() + ": the state that was fetched is not the one that was sent",
                            "STATE_DAMAGED"});
        }
        self->take_snapshots();
        done(ok());
        self->tell_synced();  // once it is known that the state is there
      });
}

void DiskState::set_sync_entries(std::uint64_t entries) {
  state_->options.sync_entries = entries;
}

std::uint64_t DiskState::synced_index() const {
  return state_->synced.index();
}
std::uint64_t DiskState::synced_term() const {
  return state_->synced.term();
}

}  // namespace skep::store
