#pragma once

// Which objects the cluster state holds: one table per kind of object, each a protobuf message of
// skep.model.v1 with `id` and `meta`. Table numbers travel in change sets and are for ever.

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "skep/model.pb.h"

namespace skep::store {

enum class Table : std::uint32_t {
  kCluster = 1,
  kNode = 2,
  kService = 3,
  kTask = 4,
  kNetwork = 5,
  kSecret = 6,
  kConfig = 7,
  kVolume = 8,  ///< reserved for cluster volumes
  kRemovedNode = 9,
};
/// What a watch may show: all but the removed nodes, which grow with every node that ever was.
inline constexpr Table kTables[] = {Table::kCluster, Table::kNode,   Table::kService, Table::kTask,
                                    Table::kNetwork, Table::kSecret, Table::kConfig};

/// "service", "task", ...; empty for an unknown number.
std::string_view table_name(Table table);

/// Objects never change once committed: an update brings a new one. They are shared between the
/// tables, the watch history and whoever still looks at an old one.
template <class T>
using Ptr = std::shared_ptr<const T>;

/// Objects by id, in order of id.
template <class T>
using ObjectMap = std::map<std::string, Ptr<T>, std::less<>>;

/// TableOf<model::v1::Task>::kTable == Table::kTask.
template <class T>
struct TableOf;

#define SKEP_STORE_TABLE(Type)                      \
  template <>                                       \
  struct TableOf<model::v1::Type> {                 \
    static constexpr Table kTable = Table::k##Type; \
  }
SKEP_STORE_TABLE(Cluster);
SKEP_STORE_TABLE(Node);
SKEP_STORE_TABLE(Service);
SKEP_STORE_TABLE(Task);
SKEP_STORE_TABLE(Network);
SKEP_STORE_TABLE(Secret);
SKEP_STORE_TABLE(Config);
SKEP_STORE_TABLE(RemovedNode);
#undef SKEP_STORE_TABLE

}  // namespace skep::store
