#pragma once

// A swarm of one node, asked through its control API.

#include <gtest/gtest.h>

#include "rig.h"
#include "skep/control.methods.h"

namespace skep::control {

namespace methods = control::v1::methods;
using model::v1::Service;
using model::v1::Task;

inline v1::CreateServiceRequest web(const std::string& name = "web") {
  v1::CreateServiceRequest request;
  auto& spec = *request.mutable_spec();
  spec.set_name(name);
  spec.mutable_replicated()->set_replicas(3);
  spec.mutable_task()->mutable_container()->set_image("web:1");
  return request;
}

/// A swarm with a service, and direct access to the store for what loops would do.
struct Api : Rig {
  Api() { init(); }
  const store::View& view() { return manager->store().view(); }
  /// What changes nothing of the one node yet.
  control::v1::UpdateNodeRequest update_self() {
    control::v1::GetNodeRequest get;
    get.set_ref("self");
    const auto self = ask<control::v1::methods::GetNode>(get);
    EXPECT_TRUE(self);
    control::v1::UpdateNodeRequest request;
    request.set_ref("self");
    request.set_version(self->node().meta().version());
    *request.mutable_spec() = self->node().spec();
    return request;
  }
  template <class T>
  void put(T object) {
    store::Transaction transaction;
    transaction.put(std::move(object));
    bool done = false;
    manager->proposer().propose(std::move(transaction), [&](Result<std::uint64_t> result) {
      EXPECT_TRUE(result);
      done = true;
    });
    ASSERT_TRUE(world.loop.run_until([&] { return done; }, 10s));
  }
  Service create(const v1::CreateServiceRequest& request) {
    auto made = ask<methods::CreateService>(request);
    EXPECT_TRUE(made) << made.error().message;
    return made ? made->service() : Service();
  }
  Task task(const std::string& id, const Service& service, std::uint64_t slot,
            model::v1::TaskState state) {
    Task made;
    made.set_id(id);
    made.set_service_id(service.id());
    made.set_service_name(service.spec().name());
    made.set_slot(slot);
    made.set_node_id("n1");
    made.set_desired_state(model::v1::TASK_STATE_RUNNING);
    made.mutable_status()->set_state(state);
    return made;
  }
  v1::UpdateServiceRequest update_of(const Service& service) {
    v1::UpdateServiceRequest request;
    request.set_ref(service.id());
    request.set_version(service.meta().version());
    *request.mutable_spec() = service.spec();
    return request;
  }
};

}  // namespace skep::control
