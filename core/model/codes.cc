#include "core/model/codes.h"

namespace skep::model {

CodeMapping map_code(Code code) {
  switch (code) {
    case Code::kInvalidArgument: return {400, 1};
    case Code::kNotFound: return {404, 3};
    case Code::kAlreadyExists: return {409, 4};
    case Code::kConflict: return {409, 4};
    case Code::kFailedPrecondition: return {503, 5};  // "not part of a swarm", as Docker answers
    case Code::kPermissionDenied: return {403, 6};
    case Code::kUnauthenticated: return {401, 6};
    case Code::kResourceExhausted: return {503, 7};
    case Code::kUnavailable: return {503, 8};
    case Code::kTimeout: return {504, 9};
    case Code::kCancelled: return {499, 130};
    case Code::kUnimplemented: return {501, 10};
    case Code::kDataLoss: return {500, 11};
    case Code::kInternal: return {500, 12};
  }
  return {500, 12};
}

}  // namespace skep::model
