#pragma once

// What the control API changes: each function checks a request against the view and makes the
// transaction. Pure: whoever calls proposes it.

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "core/store/transaction.h"
#include "core/store/view.h"
#include "skep/control.pb.h"
#include "skep/env.h"
#include "skep/result.h"

namespace skep::control {

/// What a request amounts to. `transaction` is empty when the operation was done before (a repeat
/// with the same operation id): answer with `object` at once.
template <class T>
struct Edit {
  T object;  ///< as it will be, except for the meta the log fills
  store::Transaction transaction;
  std::vector<std::string> warnings;
};

inline constexpr std::size_t kOperationIdsKept = 16;            // per object
inline constexpr std::size_t kServiceSpecBytesMax = 128 << 10;  // a task must fit a stream chunk
inline constexpr std::size_t kNodeSpecBytesMax = 64 << 10;      // a node with its description, too

/// kInvalidArgument; kAlreadyExists for a name or published port in use; kNotFound for a network or
/// secret it names. `names_in_flight`: of services whose creation is not committed yet.
Result<Edit<model::v1::Service>> create_service(const store::View& view,
                                                const control::v1::CreateServiceRequest& request,
                                                const std::string& operation_id,
                                                const std::set<std::string>& names_in_flight,
                                                Random& random);
/// kConflict when the service changed since `request.version` was read.
Result<Edit<model::v1::Service>> update_service(const store::View& view,
                                                const control::v1::UpdateServiceRequest& request,
                                                const std::string& operation_id, WallTime now);
Result<Edit<model::v1::Service>> remove_service(const store::View& view,
                                                const control::v1::RemoveServiceRequest& request);
Result<Edit<model::v1::Node>> update_node(const store::View& view,
                                          const control::v1::UpdateNodeRequest& request,
                                          const std::string& operation_id, std::string_view self);
/// Its certificates are refused as long as they would hold. kFailedPrecondition NODE_IS_MANAGER,
/// NODE_NOT_DOWN.
Result<Edit<model::v1::Node>> remove_node(const store::View& view,
                                          const control::v1::RemoveNodeRequest& request,
                                          std::string_view self,
                                          const std::function<bool(const std::string&)>& is_member,
                                          WallTime now);

/// Whether the object was changed by this operation recently.
bool has_operation(const model::v1::Meta& meta, const std::string& operation_id);
void note_operation(model::v1::Meta& meta, const std::string& operation_id);
/// kConflict VERSION_CONFLICT: `noun` `name` changed since version `read` was read.
Status check_version(std::string_view noun, std::string_view name, std::uint64_t read,
                     std::uint64_t present);

}  // namespace skep::control
