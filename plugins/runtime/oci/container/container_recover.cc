// The part of ContainerDriver that takes over after a restart.

#include <memory>
#include <set>
#include <vector>

#include "plugins/runtime/oci/container/container_driver.h"
#include "skep/log.h"

namespace skep::oci {

void ContainerDriver::adopt(const ContainerRecord& record) {
  Container& container = table_.place(record.id);
  if (container.exists) {
    return;
  }
  container.record = record;
  container.exists = true;
  if (record.state == runtime::v1::CONTAINER_STATE_RUNNING) {
    watch_container(container);
    on_exit_file(record.id);  // it may have ended since the worker looked
  }
}

void ContainerDriver::recover(const runtime::v1::RecoverRequest& request,
                              Reply<runtime::v1::RecoverResponse> reply) {
  const std::set<std::string> named(request.container_ids().begin(), request.container_ids().end());
  std::vector<std::string> leftovers;
  for (std::string& id : table_.ids()) {
    if (!named.contains(id)) {
      leftovers.push_back(std::move(id));
    }
  }
  if (leftovers.empty()) {
    return recover_stored(named, std::move(reply));
  }
  // The answer means that they are gone: a node that leaves removes what they used next.
  auto open = std::make_shared<std::size_t>(leftovers.size());
  for (const std::string& id : leftovers) {
    runtime::v1::RemoveRequest leftover;
    leftover.set_container_id(id);
    leftover.set_force(true);
    remove(leftover, [this, id, open, named, reply](const Result<runtime::v1::RemoveResponse>& removed) {
      if (!removed) {
        SKEP_WARN("leftover container not removed", {"container", id}, {"cause", removed.error().message});
      }
      if (--*open == 0) {
        recover_stored(named, reply);
      }
    });
  }
}

void ContainerDriver::recover_stored(const std::set<std::string>& named,
                                     Reply<runtime::v1::RecoverResponse> reply) {
  struct Found {
    std::set<std::string> named;
    std::set<std::string> present;  // in the table already: their queue looks after them
    std::vector<ContainerRecord> records;
    Status status = ok();
  };
  auto found = std::make_shared<Found>();
  found->named = named;
  for (std::string& id : table_.ids()) {
    found->present.insert(std::move(id));
  }
  const auto engine = engine_;
  auto status = on_worker(
      [engine, found] {
        auto ids = engine->known_ids();
        if (!ids) {
          found->status = std::move(ids).error();
          return;
        }
        for (const std::string& id : *ids) {
          if (found->present.contains(id)) {
            continue;
          }
          if (!found->named.contains(id)) {
            if (const auto purged = engine->purge(id); !purged) {
              SKEP_WARN("leftover container not removed", {"container", id},
                        {"cause", purged.error().message});
            }
            continue;
          }
          if (auto record = engine->recover(id)) {
            found->records.push_back(std::move(*record));
          } else if (record.error().code != Code::kNotFound) {
            SKEP_WARN("container not recovered", {"container", id},
                      {"cause", record.error().message});
          }
        }
        if (found->named.empty() && found->present.empty()) {
          engine->remove_empty_cgroups();  // a node that left leaves nothing
        }
      },
      [this, found, reply] {
        if (!found->status) {
          return reply(std::move(found->status).error());
        }
        for (const ContainerRecord& record : found->records) {
          adopt(record);
        }
        recovered_ = true;
        runtime::v1::RecoverResponse response;
        for (const std::string& id : found->named) {
          if (const Container* container = table_.find(id)) {
            *response.add_containers() = to_info(container->record);
          }
        }
        reply(response);
      });
  if (!status) {
    reply(std::move(status).error());
  }
}

}  // namespace skep::oci
