// The part of ContainerDriver that answers calls about containers.

#include <csignal>
#include <set>

#include "plugins/runtime/oci/container/container_driver.h"
#include "plugins/runtime/oci/container/process_args.h"
#include "skep/log.h"

namespace skep::oci {
namespace {

using runtime::v1::CONTAINER_STATE_CREATED;
using runtime::v1::CONTAINER_STATE_EXITED;
using runtime::v1::CONTAINER_STATE_RUNNING;

constexpr std::chrono::seconds kGraceDefault{10};
constexpr std::chrono::seconds kKillPatience{30};  // after SIGKILL; then the kernel holds it

Error not_found(const std::string& id) {
  return Error{Code::kNotFound, "no container '" + id + "' on this node", "CONTAINER_NOT_FOUND"};
}

}  // namespace

runtime::v1::CapabilitiesResponse ContainerDriver::capabilities() {
  runtime::v1::CapabilitiesResponse response;
  response.set_exec(true);
  response.set_attach(true);
  response.set_resource_limits(true);
  return response;
}

void ContainerDriver::create(const runtime::v1::CreateRequest& request,
                             Reply<runtime::v1::CreateResponse> reply) {
  const std::string id = request.container_id();
  const auto queued = table_.enqueue(id, [this, id, request, reply](std::function<void()> done) {
    runtime::v1::CreateResponse response;
    if (const Container* present = table_.find(id)) {
      response.set_image_id(present->record.image_id);
      reply(response);
      return done();
    }
    auto result = std::make_shared<Result<ContainerRecord>>(Error{});
    const auto engine = engine_;
    auto status = on_worker([engine, request, result] { *result = engine->create(request); },
                            [this, id, result, reply, done] {
                              if (*result) {
                                Container& container = table_.place(id);
                                container.record = **result;
                                container.exists = true;
                                runtime::v1::CreateResponse created;
                                created.set_image_id(container.record.image_id);
                                reply(created);
                              } else {
                                reply(std::move(result->error()));
                              }
                              done();
                            });
    if (!status) {
      reply(std::move(status).error());
      done();
    }
  });
  if (!queued) {
    reply(queued.error());
  }
}

void ContainerDriver::start_container(const runtime::v1::StartRequest& request,
                                      Reply<runtime::v1::StartResponse> reply) {
  const std::string id = request.container_id();
  if (table_.find(id) == nullptr) {
    return reply(not_found(id));
  }
  const auto queued = table_.enqueue(id, [this, id, reply](std::function<void()> done) {
    start_now(id, reply, std::move(done));
  });
  if (!queued) {
    reply(queued.error());
  }
}

void ContainerDriver::start_now(const std::string& id,
                                const Reply<runtime::v1::StartResponse>& reply,
                                std::function<void()> done) {
  const Container* container = table_.find(id);
  if (container == nullptr) {
    reply(not_found(id));
    return done();
  }
  if (container->record.state == CONTAINER_STATE_RUNNING) {
    runtime::v1::StartResponse response;
    response.set_pid(container->record.pid);
    reply(response);
    return done();
  }
  if (container->record.state != CONTAINER_STATE_CREATED) {
    reply(Error{Code::kFailedPrecondition,
                "container '" + id + "' has ended: a container starts once, create another",
                "CONTAINER_ENDED"});
    return done();
  }
  struct Outcome {
    ContainerRecord record;
    Status status = ok();
  };
  auto outcome = std::make_shared<Outcome>(Outcome{container->record});
  const auto engine = engine_;
  auto status = on_worker(
      [engine, outcome] { outcome->status = engine->start(outcome->record); },
      [this, id, outcome, reply, done] {
        Container& now = table_.place(id);
        now.record = outcome->record;
        if (outcome->status) {
          watch_container(now);
          runtime::v1::StartResponse response;
          response.set_pid(now.record.pid);
          reply(response);
          on_exit_file(id);  // it may have ended before anybody listened
        } else {
          ContainerTable::answer_waiters(now, to_exit(now.record));
          reply(outcome->status.error());
        }
        done();
      });
  if (!status) {
    reply(std::move(status).error());
    done();
  }
}

void ContainerDriver::wait(const runtime::v1::WaitRequest& request,
                           Reply<runtime::v1::WaitResponse> reply) {
  Container* container = table_.find(request.container_id());
  if (container == nullptr) {
    return reply(not_found(request.container_id()));
  }
  runtime::v1::WaitResponse response;
  if (container->record.state == CONTAINER_STATE_EXITED) {
    *response.mutable_exit() = to_exit(container->record);
    return reply(response);
  }
  if (container->waiters.size() >= kWaitersPerContainerMax) {
    return reply(Error{Code::kResourceExhausted, "too many callers wait for container '" +
                       request.container_id() + "'", "TOO_MANY_WAITERS"});
  }
  container->waiters.emplace_back([reply](const Result<runtime::v1::ExitStatus>& exit) {
    if (!exit) {
      return reply(exit.error());
    }
    runtime::v1::WaitResponse ended;
    *ended.mutable_exit() = *exit;
    reply(ended);
  });
}

/// In the container's queue, so that a signal sent right after start() arrives.
void ContainerDriver::send_signal(const std::string& id, int number,
                                  std::function<void(Status)> then) {
  const auto queued = table_.enqueue(id, [this, id, number, then](std::function<void()> done) {
    const Container* container = table_.find(id);
    if (container == nullptr || container->record.state != CONTAINER_STATE_RUNNING) {
      then(Error{Code::kFailedPrecondition, "container '" + id + "' does not run", "NOT_RUNNING"});
      return done();
    }
    auto result = std::make_shared<Status>(ok());
    const auto engine = engine_;
    auto status = on_worker(
        [engine, record = container->record, number, result] {
          *result = engine->signal(record, number);
        },
        [result, then, done] {
          then(std::move(*result));
          done();
        });
    if (!status) {
      then(std::move(status));
      done();
    }
  });
  if (!queued) {
    then(queued);
  }
}

void ContainerDriver::signal(const runtime::v1::SignalRequest& request,
                             Reply<runtime::v1::SignalResponse> reply) {
  const auto number = parse_signal(request.signal().empty() ? "SIGKILL" : request.signal());
  if (!number) {
    return reply(number.error());
  }
  if (table_.find(request.container_id()) == nullptr) {
    return reply(not_found(request.container_id()));
  }
  send_signal(request.container_id(), *number, [reply](Status status) {
    if (status) {
      reply(runtime::v1::SignalResponse{});
    } else {
      reply(std::move(status).error());
    }
  });
}

void ContainerDriver::stop_container(const runtime::v1::StopRequest& request,
                                     Reply<runtime::v1::StopResponse> reply) {
  const std::string id = request.container_id();
  Container* container = table_.find(id);
  if (container == nullptr) {
    return reply(not_found(id));
  }
  const auto number = request.signal().empty() ? Result<int>(container->record.stop_signal)
                                               : parse_signal(request.signal());
  if (!number) {
    return reply(number.error());
  }
  Duration grace(request.grace() != 0 ? request.grace() : container->record.stop_grace);
  if (grace.count() == 0) {
    grace = kGraceDefault;
  }
  const auto ended = [this, id, reply](const Result<runtime::v1::ExitStatus>& exit) {
    if (!exit) {
      return reply(exit.error());
    }
    runtime::v1::StopResponse response;
    *response.mutable_exit() = *exit;
    reply(response);
  };
  const int first = grace.count() < 0 ? SIGKILL : *number;
  send_signal(id, first, [this, id, ended, grace](const Status&) {
    Container* now = table_.find(id);
    if (now == nullptr || now->record.state != CONTAINER_STATE_RUNNING) {
      return ended(now == nullptr ? runtime::v1::ExitStatus{} : to_exit(now->record));
    }
    now->waiters.emplace_back(ended);
    if (grace.count() > 0) {
      env_->loop.run_after(grace, [this, id, weak = std::weak_ptr<bool>(alive_)] {
        if (const auto alive = weak.lock(); alive && table_.find(id) != nullptr) {
          send_signal(id, SIGKILL, [](const Status&) {});
        }
      });
    }
    env_->loop.run_after(std::max(grace, Duration(0)) + kKillPatience,
                         [this, id, weak = std::weak_ptr<bool>(alive_)] {
                           const auto alive = weak.lock();
                           Container* late = alive ? table_.find(id) : nullptr;
                           if (late != nullptr) {
                             ContainerTable::answer_waiters(
                                 *late, Error{Code::kTimeout,
                                              "container '" + id + "' did not end after SIGKILL: a "
                                              "process hangs in the kernel (disk or network share?)",
                                              "WILL_NOT_DIE"});
                           }
                         });
  });
}

void ContainerDriver::remove(const runtime::v1::RemoveRequest& request,
                             Reply<runtime::v1::RemoveResponse> reply) {
  const std::string id = request.container_id();
  if (!table_.knows(id)) {
    return reply(runtime::v1::RemoveResponse{});
  }
  const bool force = request.force();
  const auto queued = table_.enqueue(id, [this, id, force, reply](std::function<void()> done) {
    const Container* now = table_.find(id);
    if (now != nullptr && now->record.state == CONTAINER_STATE_RUNNING && !force) {
      reply(Error{Code::kFailedPrecondition,
                  "container '" + id + "' runs: stop it first, or force", "CONTAINER_RUNNING"});
      return done();
    }
    remove_now(id, reply, std::move(done));
  });
  if (!queued) {
    reply(queued.error());
  }
}

/// Purging kills what runs; conmon notes the exit, and whoever waits hears of it.
void ContainerDriver::remove_now(const std::string& id,
                                 const Reply<runtime::v1::RemoveResponse>& reply,
                                 std::function<void()> done) {
  auto result = std::make_shared<Status>(ok());
  const auto engine = engine_;
  auto status = on_worker([engine, id, result] { *result = engine->purge(id); },
                          [this, id, result, reply, done] {
                            if (!*result) {
                              done();
                              return reply(std::move(*result).error());
                            }
                            if (Container* container = table_.find(id)) {
                              unwatch_container(*container);
                              runtime::v1::ExitStatus killed = to_exit(container->record);
                              if (container->record.state != CONTAINER_STATE_EXITED) {
                                killed.set_exit_code(128 + SIGKILL);
                                killed.set_finished_at(env_->clock.wall_now());
                              }
                              ContainerTable::answer_waiters(*container, killed);
                              table_.erase(id);
                              end_streams(id, killed.exit_code());
                            }
                            done();  // the table knows it no more when recover() goes on
                            reply(runtime::v1::RemoveResponse{});
                          });
  if (!status) {
    done();
    reply(std::move(status).error());
  }
}

void ContainerDriver::list(Reply<runtime::v1::ListResponse> reply) {
  runtime::v1::ListResponse here;
  std::set<std::string> present;
  for (const Container* container : table_.all()) {
    *here.add_containers() = to_info(container->record);
    present.insert(container->record.id);
  }
  if (recovered_) {
    return reply(here);
  }
  // A node that lost its records learns from this list what it must name to recover().
  answer_from_worker<runtime::v1::ListResponse>(
      [engine = engine_, present = std::move(present),
       here = std::move(here)]() -> Result<runtime::v1::ListResponse> {
        runtime::v1::ListResponse response = here;
        SKEP_TRY_ASSIGN(const std::vector<ContainerRecord> records, engine->stored());
        for (const ContainerRecord& record : records) {
          if (!present.contains(record.id)) {
            *response.add_containers() = to_info(record);
          }
        }
        return response;
      },
      std::move(reply));
}

void ContainerDriver::inspect(const runtime::v1::InspectRequest& request,
                              Reply<runtime::v1::InspectResponse> reply) {
  const auto container = table_.lookup(request.container_id());
  if (!container) {
    return reply(container.error());
  }
  runtime::v1::InspectResponse response;
  *response.mutable_container() = to_info((*container)->record);
  reply(response);
}

void ContainerDriver::stats(const runtime::v1::StatsRequest& request,
                            Reply<runtime::v1::StatsResponse> reply) {
  const auto container = table_.lookup(request.container_id());
  if (!container) {
    return reply(container.error());
  }
  const auto engine = engine_;
  const std::string cgroup = engine->layout().cgroup((*container)->record.id);
  answer_from_worker<runtime::v1::StatsResponse>(
      [engine, cgroup] { return engine->cgroups().stats(cgroup); }, std::move(reply));
}

}  // namespace skep::oci
