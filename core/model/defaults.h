#pragma once

// Every default number of the cluster in one place, with where it comes from. "Swarm" means the value
// Docker Swarm uses and people rely on; "ours" means that we chose it, and why.

#include <chrono>
#include <cstdint>
#include <string_view>

#include "skep/env.h"
#include "skep/model.pb.h"

namespace skep::model {

using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace): literals only

// ---- services ----
inline constexpr Duration kRestartDelay = 5s;         // Swarm: --restart-delay
inline constexpr Duration kStopGrace = 10s;           // Swarm: --stop-grace-period
inline constexpr Duration kUpdateMonitor = 5s;        // Swarm: --update-monitor
inline constexpr std::uint64_t kUpdateParallelism = 1;  // Swarm: --update-parallelism
inline constexpr std::uint64_t kReplicas = 1;         // Swarm: --replicas
inline constexpr std::int64_t kTaskHistoryLimit = 5;  // Swarm: dead tasks kept per slot
inline constexpr Duration kOldTaskWait = 60s;         // Swarm: successor starts anyway after this
// Ours: Swarm's updates hang for ever when a new task never reaches running.
// A task that is not running this long after it was placed counts as a failed one.
inline constexpr Duration kUpdateStartDeadline = 10min;
// Ours: crash loops. After this many quick failures in a row the restart delay doubles each time.
inline constexpr std::uint64_t kCrashLoopThreshold = 5;
inline constexpr Duration kCrashLoopDelayMax = 5min;
inline constexpr Duration kCrashLoopRunTime = 60s;  // ran longer than this: not a quick failure

// ---- health checks (Docker) ----
inline constexpr Duration kHealthInterval = 30s;
inline constexpr Duration kHealthTimeout = 30s;
inline constexpr Duration kHealthStartInterval = 5s;
inline constexpr std::uint32_t kHealthRetries = 3;
inline constexpr Duration kHealthDurationMin = 1ms;

// ---- resources (Swarm) ----
inline constexpr std::int64_t kNanoCpus = 1'000'000'000;         // one CPU
inline constexpr std::int64_t kReservedNanoCpusMin = 1'000'000;  // 0.001 CPU
inline constexpr std::int64_t kReservedMemoryMin = 4 << 20;      // 4 MiB
inline constexpr std::uint64_t kConfigBytesMax = 1000 * 1024;
inline constexpr std::uint64_t kSecretBytesMax = 500 * 1024;

// ---- dispatcher ----
inline constexpr Duration kHeartbeatPeriod = 5s;         // Swarm: --dispatcher-heartbeat
inline constexpr Duration kHeartbeatMin = 1s;            // ours: every node asks that often
inline constexpr Duration kHeartbeatMax = 1h;            // ours: a dead node is seen after three
inline constexpr Duration kHeartbeatJitter = 500ms;      // Swarm
inline constexpr std::uint32_t kHeartbeatsMissed = 3;    // Swarm: then the node is down
inline constexpr Duration kSessionLostGrace = 3s;        // ours: connection closed, no new session
inline constexpr Duration kNodeRestartGrace = 30s;       // ours: a node that said it restarts
inline constexpr Duration kLeaderChangeGrace = 30s;      // Swarm: 6 heartbeats
inline constexpr Duration kOrphanAfter = 24h;            // Swarm: tasks of a node that stays down

// ---- consensus ----
inline constexpr std::uint64_t kSnapshotEntries = 10'000;  // Swarm: --snapshot-interval; raft's snapshot_entries
inline constexpr std::uint64_t kSnapshotEntriesMax = 1'000'000;  // ours: so many entries lie in the log of each manager
inline constexpr std::uint64_t kSnapshotsKeptMax = 1'000;        // ours: --max-snapshots

// ---- certificates ----
inline constexpr Duration kCertificateExpiryMin = 1h;              // Swarm
inline constexpr Duration kCertificateExpiryMax = 20 * 365 * 24h;  // ours: as long as a root lives

// ---- scheduler ----
inline constexpr Duration kSchedulerDebounce = 50ms;     // Swarm: commit debounce
inline constexpr Duration kSchedulerDebounceMax = 1s;    // Swarm
inline constexpr std::uint32_t kNodeFailuresMax = 5;     // Swarm: failures of a service version ...
inline constexpr Duration kNodeFailuresWindow = 5min;    // ... within this time down-weigh a node

// ---- ports and networks ----
inline constexpr std::uint32_t kDynamicPortFirst = 30000;  // Swarm: chosen published ports
inline constexpr std::uint32_t kDynamicPortLast = 32767;
inline constexpr std::string_view kAddressPool = "10.0.0.0/8";  // Swarm: --default-addr-pool
inline constexpr std::uint32_t kSubnetBits = 24;         // Swarm: --default-addr-pool-mask-length
inline constexpr std::uint32_t kDataPathPort = 4789;     // Swarm: --data-path-port, VXLAN
inline constexpr std::string_view kRuntimeDriver = "oci";
inline constexpr std::string_view kVolumeDriver = "local";

// ---- values of a spec with its defaults filled in ----
/// Delay before a dead task's successor starts.
Duration restart_delay(const v1::RestartPolicy& policy);
/// How long a task gets between its stop signal and being killed.
Duration stop_grace(const v1::ContainerSpec& spec);
/// How long after it started to run a failure of a task counts against an update.
Duration update_monitor(const v1::UpdateConfig& config);
/// The update configuration of a spec; `absent` gives Swarm's defaults (one at a time).
v1::UpdateConfig effective_update(const v1::ServiceSpec& spec);
v1::UpdateConfig effective_rollback(const v1::ServiceSpec& spec);
/// Dead tasks kept per slot; negative keeps all.
std::int64_t task_history_limit(const v1::ClusterSpec* cluster);
/// The runtime driver a task asks for.
std::string_view runtime_driver(const v1::TaskSpec& spec);

}  // namespace skep::model
