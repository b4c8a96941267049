#pragma once

// agentctl on a fake agent, as a person calls it.

#include <gtest/gtest.h>

#include <string>

#include "tests/unit/agentctl/fake_agent.h"

namespace skep::ctl {

class CliTest : public ::testing::Test {
 protected:
  void make_web(std::uint64_t replicas = 2) {
    agent.on_poll = [](FakeAgent& fake) {
      for (const auto& [id, service] : fake.services) {
        fake.run_all(id);
      }
    };
    const auto done = cli.run({"service", "create", "--name", "web", "--replicas",
                               std::to_string(replicas), "-p",
                               "mode=host,target=80,published=8080", "nginx:1"});
    ASSERT_EQ(done.exit_code, 0) << done.err;
    agent.on_poll = {};
  }
  const model::v1::ServiceSpec& web() { return agent.services.begin()->second.spec(); }

  FakeAgent agent;
  Cli cli{agent};
};

}  // namespace skep::ctl
