// Any log entry, on a store that holds something: two managers come to the same, a rejected entry
// changes nothing, and what was applied survives a save and a load.

#include <cstdint>
#include <string_view>

#include "core/store/memory_backend.h"
#include "core/store/store.h"
#include "core/store/transaction.h"
#include "tests/fuzz/quiet.h"

namespace skep::store {
namespace {

const std::string& first_entry() {
  static const std::string kEntry = [] {
    Transaction transaction;
    model::v1::Service service;
    service.set_id("s1");
    service.mutable_spec()->set_name("web");
    transaction.put(service);
    model::v1::Task task;
    task.set_id("t1");
    task.set_service_id("s1");
    transaction.put(task);
    return *transaction.encode("fuzz", 1);
  }();
  return kEntry;
}

void check(std::string_view bytes) {
  Store left;
  Store right;
  StateBatch batch;
  left.set_on_rows([&batch](const AppliedRows& applied) {
    for (const auto& row : applied.rows) {
      auto& slot = batch.rows[{row.table, *row.id}];
      slot.reset();
      if (row.object != nullptr) {
        slot = *row.object;
      }
    }
  });
  for (Store* store : {&left, &right}) {
    SKEP_ASSERT(store->apply(1, 1, first_entry())->outcome == Outcome::kApplied, "it is well made");
  }
  const StateHash before = left.state_hash();
  const auto result = left.apply(2, 1, bytes);
  const auto other = right.apply(2, 1, bytes);
  SKEP_ASSERT(result.has_value() && other.has_value(), "the index follows");
  SKEP_ASSERT(result->outcome == other->outcome, "managers agree");
  SKEP_ASSERT(left.state_hash() == right.state_hash(), "managers agree");
  SKEP_ASSERT(result->outcome == Outcome::kApplied || left.state_hash() == before,
              "a rejected entry changes nothing");
  SKEP_ASSERT(left.applied_index() == 2, "the index moves on in any case");
  MemoryBackend backend;
  SKEP_ASSERT(backend.write(batch).has_value(), "memory does not fail");
  Store loaded;
  loaded.load(2, 1, backend.open()->rows);
  SKEP_ASSERT(loaded.state_hash() == left.state_hash(), "what was saved is what was applied");
}

}  // namespace
}  // namespace skep::store

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  skep::fuzz::be_quiet();
  skep::store::check({reinterpret_cast<const char*>(data), size});
  return 0;
}
