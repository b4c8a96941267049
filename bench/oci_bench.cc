// Container starts through the runtime driver beside bare conmon + runc starts of the same bundles.
// Needs root, runc, conmon and busybox. usage: oci_bench [COUNT]

#include <array>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "plugins/runtime/oci/container/conmon.h"
#include "plugins/runtime/oci/container/testing/lab.h"

namespace skep::oci {
namespace {

double milliseconds(Duration duration) {
  return std::chrono::duration<double, std::milli>(duration).count();
}

std::vector<std::string> create_many(testing::Lab& lab, int count) {
  std::vector<std::string> ids;
  for (int i = 0; i < count; ++i) {
    const auto request = lab.request({"sleep", "600"});
    if (const auto created = lab.create(request); !created) {
      std::fprintf(stderr, "create: %s\n", created.error().message.c_str());
      std::exit(1);
    }
    ids.push_back(request.container_id());
  }
  return ids;
}

/// The floor: conmon with "runc create", then "runc start", nothing else.
bool start_bare(testing::Lab& lab, const std::string& id) {
  const std::string bundle = lab.run_dir() + "/bundles/" + id;
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    return false;
  }
  ProcessSpec spec;
  spec.argv = conmon_argv({.conmon_path = "/usr/bin/conmon",
                           .runtime_path = "/usr/sbin/runc",
                           .runtime_root = lab.run_dir() + "/runtime",
                           .container_id = id,
                           .bundle = bundle,
                           .exit_dir = lab.run_dir() + "/exits",
                           .log_path = lab.state_dir() + "/containers/" + id + "/container.log"});
  spec.environment = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "_OCI_SYNCPIPE=3"};
  spec.fds = {{ends[1], 3}};
  const auto child = lab.env().subprocess.start(spec);
  ::close(ends[1]);
  std::array<char, 256> line{};
  const bool answered = child && ::read(ends[0], line.data(), line.size()) > 0;
  ::close(ends[0]);
  if (child) {
    siginfo_t info{};
    ::waitid(P_PID, static_cast<id_t>(child->pid), &info, WEXITED);
    ::close(child->pidfd);
  }
  const auto started = lab.env().subprocess.run(
      {.argv = {"/usr/sbin/runc", "--root", lab.run_dir() + "/runtime", "start", id}},
      std::chrono::seconds(30));
  return answered && started && started->exit_code == 0;
}

void remove_all(testing::Lab& lab, const std::vector<std::string>& ids) {
  std::size_t gone = 0;
  for (const std::string& id : ids) {
    runtime::v1::RemoveRequest request;
    request.set_container_id(id);
    request.set_force(true);
    lab.driver().remove(request, [&gone](const auto&) { ++gone; });
  }
  lab.until([&] { return gone == ids.size(); }, std::chrono::seconds(120));
}

template <class Work>
double timed(testing::Lab& lab, Work work) {
  const TimePoint begin = lab.env().clock.now();
  work();
  return milliseconds(lab.env().clock.now() - begin);
}

void start_parallel(testing::Lab& lab, const std::vector<std::string>& ids) {
  std::size_t done = 0;
  for (const std::string& id : ids) {
    runtime::v1::StartRequest request;
    request.set_container_id(id);
    lab.driver().start_container(request, [&done](const auto& reply) {
      if (!reply) {
        std::fprintf(stderr, "start: %s\n", reply.error().message.c_str());
      }
      ++done;
    });
  }
  lab.until([&] { return done == ids.size(); }, std::chrono::seconds(300));
}

int run(int count) {
  if (const std::string missing = testing::missing_for_containers(); !missing.empty()) {
    std::fprintf(stderr, "oci_bench: %s\n", missing.c_str());
    return 77;
  }
  testing::Lab lab;
  if (const auto started = lab.start(); !started) {
    std::fprintf(stderr, "oci_bench: %s\n", started.error().message.c_str());
    return 1;
  }
  const auto warm = create_many(lab, 2);
  start_parallel(lab, warm);
  remove_all(lab, warm);
  // Rounds take turns, so that a busy machine slows both alike.
  double bare = 0;
  double driver = 0;
  double create = 0;
  for (int round = 0; round < count; ++round) {
    const auto by_hand = create_many(lab, 1);
    bare += timed(lab, [&] {
      if (!start_bare(lab, by_hand.front())) {
        std::fprintf(stderr, "a bare start failed\n");
        std::exit(1);
      }
    });
    std::vector<std::string> ours;
    create += timed(lab, [&] { ours = create_many(lab, 1); });
    driver += timed(lab, [&] { start_parallel(lab, ours); });
    remove_all(lab, by_hand);
    remove_all(lab, ours);
  }
  const auto many = create_many(lab, count);
  const double parallel = timed(lab, [&] { start_parallel(lab, many); });
  const double removal = timed(lab, [&] { remove_all(lab, many); });
  std::printf("containers                          %8d\n", count);
  std::printf("bare conmon + runc create + start   %8.1f ms each\n", bare / count);
  std::printf("driver start                        %8.1f ms each   ratio %.2f\n", driver / count,
              driver / bare);
  std::printf("driver create + start               %8.1f ms each   ratio %.2f  (aim <= 2, stretch 1.3)\n",
              (create + driver) / count, (create + driver) / bare);
  std::printf("driver start, all at once           %8.1f ms each   ratio %.2f\n", parallel / count,
              parallel / bare);
  std::printf("driver remove by force, all at once %8.1f ms each\n", removal / count);
  return 0;
}

}  // namespace
}  // namespace skep::oci

int main(int argc, char** argv) {
  const int count = argc > 1 ? std::atoi(argv[1]) : 20;
  return skep::oci::run(count > 0 ? count : 20);
}
