// Managers cut long lists into pages; people see them whole.
#include <gmock/gmock.h>

#include <sstream>

#include "tests/unit/agentctl/cli_rig.h"

namespace skep::ctl {
namespace {

using ::testing::HasSubstr;

class Pages : public CliTest {
 protected:
  Pages() { agent.page_rows = 2; }
  void make_services(int count) {
    for (int i = 0; i < count; ++i) {
      ASSERT_EQ(cli.run({"service", "create", "-d", "--name", "s" + std::to_string(i), "nginx:1"}).exit_code, 0);
    }
  }
  void make_nodes(int count) {
    for (int i = 2; i <= count; ++i) {
      auto node = agent.nodes.front();
      node.set_id("node" + std::to_string(i));
      node.mutable_description()->set_hostname("host" + std::to_string(i));
      agent.nodes.push_back(node);
    }
  }
};

std::vector<std::string> lines(const std::string& text) {
  std::vector<std::string> found;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    found.push_back(line);
  }
  return found;
}

TEST_F(Pages, ServicesAreListedWhole) {
  make_services(7);
  EXPECT_EQ(lines(cli.run({"service", "ls", "-q"}).out).size(), 7U);
  EXPECT_EQ(lines(cli.run({"service", "ls", "--format", "{{.Name}} {{.Replicas}}"}).out),
            (std::vector<std::string>{"s0 0/1", "s1 0/1", "s2 0/1", "s3 0/1", "s4 0/1", "s5 0/1", "s6 0/1"}));
  EXPECT_EQ(lines(cli.run({"service", "ls", "-q", "--filter", "name=s6"}).out).size(), 1U);
  EXPECT_EQ(lines(cli.run({"__complete", "--", "service", "rm", "s"}).out).size(), 7U);
}

TEST_F(Pages, NodesAreListedWhole) {
  make_nodes(5);
  EXPECT_EQ(lines(cli.run({"node", "ls", "-q"}).out).size(), 5U);
  EXPECT_THAT(cli.run({"node", "ls"}).out, HasSubstr("node1 *   alpha"));
  EXPECT_EQ(lines(cli.run({"__complete", "--", "node", "rm", "host"}).out),
            (std::vector<std::string>{"host2", "host3", "host4", "host5"}));
}

TEST_F(Pages, TasksAreWaitedForAndListedWhole) {
  make_nodes(5);
  make_web(5);  // waits until all of them run
  agent.tasks.back().set_node_id("node5");
  EXPECT_EQ(lines(cli.run({"service", "ps", "-q", "web"}).out).size(), 5U);
  EXPECT_EQ(lines(cli.run({"node", "ps", "-q"}).out).size(), 5U);
  EXPECT_THAT(cli.run({"service", "ps", "--format", "{{.Name}} {{.Node}}", "web"}).out,
              HasSubstr("web.5 host5"));
}

TEST_F(Pages, LogLinesBearTheNamesOfAllTasksAndNodes) {
  make_nodes(5);
  make_web(5);
  control::v1::ServiceLogLine line;
  line.set_task_id(agent.tasks[4].id());
  line.set_node_id("node5");
  line.set_data("hello");
  line.set_stream(1);
  agent.log_lines = {line};
  EXPECT_EQ(cli.run({"service", "logs", "web"}).out, "web.5.task50000000@host5    | hello\n");
}

}  // namespace
}  // namespace skep::ctl
