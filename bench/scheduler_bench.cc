// How many tasks per second the scheduler places, in memory: the decider alone, and with every
// decision turned into change sets and applied to the store, as SwarmKit's benchmark does
// (BenchmarkScheduler1kNodes100kTasks: 8,500 tasks/s on the project's kind of machine).
//
//   scheduler_bench [NODES TASKS]...      default: 100, 1,000 and 5,000 nodes with 100k tasks

#include <chrono>
#include <ctime>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "core/control/scheduler/scheduler.h"
#include "core/store/store.h"
#include "core/store/transaction.h"

namespace {

using namespace skep;  // NOLINT(google-build-using-namespace): a program of its own
namespace pb = model::v1;
/// Processor time of this program: the figures hold on a busy machine too.
struct BenchClock {
  using duration = std::chrono::nanoseconds;
  using time_point = std::chrono::time_point<BenchClock, duration>;
  static constexpr bool is_steady = true;
  static time_point now() {
    timespec time{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return time_point(std::chrono::seconds(time.tv_sec) + duration(time.tv_nsec));
  }
};

constexpr double kSwarmKitPerSecond = 8'500;

void commit(store::Store& store, std::vector<store::Transaction> transactions) {
  for (store::Transaction& transaction : transactions) {
    const auto bytes = transaction.encode("bench:1", 1);
    if (!bytes || !store.apply(store.applied_index() + 1, 1, *bytes)) {
      std::fprintf(stderr, "a change set was refused\n");
      std::exit(1);
    }
  }
}

pb::Node make_node(std::size_t i) {
  pb::Node node;
  node.set_id("node-" + std::to_string(i));
  node.mutable_status()->set_state(pb::NODE_STATE_READY);
  node.mutable_description()->mutable_platform()->set_os("linux");
  node.mutable_description()->mutable_platform()->set_architecture("x86_64");
  node.mutable_description()->mutable_resources()->set_nano_cpus(64'000'000'000);
  node.mutable_description()->mutable_resources()->set_memory_bytes(std::int64_t{1} << 40);
  node.mutable_description()->mutable_engine()->add_drivers("runtime/oci");
  return node;
}

pb::Task make_task(std::size_t i, std::size_t services) {
  pb::Task task;
  task.set_id("task-" + std::to_string(i));
  task.set_service_id("service-" + std::to_string(i % services));
  task.set_service_name(task.service_id());
  task.set_slot(i / services + 1);
  task.set_desired_state(pb::TASK_STATE_RUNNING);
  task.mutable_status()->set_state(pb::TASK_STATE_PENDING);
  task.mutable_spec()->mutable_container()->set_image("busybox:latest");
  task.mutable_spec()->mutable_container()->add_args("sleep");
  task.mutable_spec()->mutable_resources()->mutable_reservations()->set_nano_cpus(1'000'000);
  return task;
}

double per_second(std::size_t count, BenchClock::duration time) {
  return static_cast<double>(count) / std::chrono::duration<double>(time).count();
}

void run(std::size_t nodes, std::size_t tasks) {
  store::Store store;
  store::Batch batch;
  for (std::size_t i = 0; i < nodes; ++i) {
    batch.put(make_node(i));
  }
  for (std::size_t i = 0; i < tasks; ++i) {
    batch.put(make_task(i, 100));
  }
  commit(store, batch.take());

  control::Scheduler scheduler;
  store.subscribe([&scheduler](const store::Commit& done) {
    for (const store::Event& event : done.events) {
      scheduler.on_event(event);
    }
  });
  const auto load_start = BenchClock::now();
  scheduler.load(store.view());
  const auto decide_start = BenchClock::now();
  const control::Schedule schedule = scheduler.schedule(1);
  const auto decided = BenchClock::now();
  store::Batch assigned;
  for (const control::Assignment& assignment : schedule.assignments) {
    assigned.put(control::assigned_task(assignment, 1));
  }
  commit(store, assigned.take());
  const auto committed = BenchClock::now();
  const std::size_t placed = schedule.assignments.size();
  std::printf("%6zu nodes %8zu tasks: placed %zu, decider %.0f/s (%.1f x SwarmKit), with store "
              "%.0f/s (%.1f x), load %.0f ms\n",
              nodes, tasks, placed, per_second(placed, decided - decide_start),
              per_second(placed, decided - decide_start) / kSwarmKitPerSecond,
              per_second(placed, committed - decide_start),
              per_second(placed, committed - decide_start) / kSwarmKitPerSecond,
              std::chrono::duration<double, std::milli>(decide_start - load_start).count());
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 2) {
    for (int i = 1; i + 1 < argc; i += 2) {
      run(std::strtoul(argv[i], nullptr, 10), std::strtoul(argv[i + 1], nullptr, 10));
    }
    return 0;
  }
  for (const std::size_t nodes : {100U, 1'000U, 5'000U}) {
    run(nodes, 100'000);
  }
  return 0;
}
