#pragma once

// The --filter of lists: repeats of one key are OR, different keys are AND; id and name match by
// prefix, labels as KEY or KEY=VALUE. Pure.

#include <google/protobuf/repeated_field.h>

#include <map>
#include <string>
#include <vector>

#include "core/store/view.h"
#include "skep/control.pb.h"
#include "skep/result.h"

namespace skep::control {

/// Checked filters of one kind of list. Unknown keys and impossible values are kInvalidArgument
/// with the keys that exist.
class Filters {
 public:
  using Repeated = google::protobuf::RepeatedPtrField<control::v1::Filter>;

  static Result<Filters> for_services(const Repeated& filters);
  /// References in `service` and `node` filters are resolved (id, name, prefix, "self").
  static Result<Filters> for_tasks(const Repeated& filters, const store::View& view,
                                   std::string_view self);
  static Result<Filters> for_nodes(const Repeated& filters);

  [[nodiscard]] bool matches(const model::v1::Service& service) const;
  /// `view`: for the service a task belongs to (_up-to-date).
  [[nodiscard]] bool matches(const model::v1::Task& task, const store::View& view) const;
  [[nodiscard]] bool matches(const model::v1::Node& node) const;

  /// All values of one key; empty when it is not filtered by.
  [[nodiscard]] const std::vector<std::string>& values(std::string_view key) const;

 private:
  static Result<Filters> make(const Repeated& filters,
                              std::initializer_list<std::string_view> known);
  template <class Test>
  [[nodiscard]] bool any(std::string_view key, Test test) const;

  std::map<std::string, std::vector<std::string>, std::less<>> by_key_;
};

}  // namespace skep::control
