#include "core/model/resources.h"

#include <algorithm>

namespace skep::model {

Amounts& Amounts::operator+=(const Amounts& other) {
  nano_cpus += other.nano_cpus;
  memory_bytes += other.memory_bytes;
  for (const auto& [kind, amount] : other.generic) {
    generic[kind] += amount;
  }
  return *this;
}

Amounts& Amounts::operator-=(const Amounts& other) {
  nano_cpus -= other.nano_cpus;
  memory_bytes -= other.memory_bytes;
  for (const auto& [kind, amount] : other.generic) {
    generic[kind] -= amount;
  }
  return *this;
}

bool Amounts::fits(const Amounts& wanted) const {
  if ((wanted.nano_cpus > 0 && wanted.nano_cpus > nano_cpus) ||
      (wanted.memory_bytes > 0 && wanted.memory_bytes > memory_bytes)) {
    return false;
  }
  return std::all_of(wanted.generic.begin(), wanted.generic.end(), [this](const auto& entry) {
    const auto have = generic.find(entry.first);
    return entry.second <= 0 || (have != generic.end() && have->second >= entry.second);
  });
}

bool Amounts::empty() const {
  return nano_cpus == 0 && memory_bytes == 0 &&
         std::all_of(generic.begin(), generic.end(), [](const auto& e) { return e.second == 0; });
}

Amounts amounts_of(const v1::Resources& resources) {
  Amounts amounts{resources.nano_cpus(), resources.memory_bytes(), {}};
  for (const auto& [kind, amount] : resources.generic()) {
    amounts.generic[kind] = amount;
  }
  return amounts;
}

Amounts reservations_of(const v1::TaskSpec& spec) {
  return amounts_of(spec.resources().reservations());
}

Amounts capacity_of(const v1::Node& node) {
  return amounts_of(node.description().resources());
}

}  // namespace skep::model
