// Any bytes as a sealed value and as a row of the state on disk. Nothing may crash; what the fuzzer
// makes is never accepted, and a changed real value never opens.

#include <cstdint>

#include "core/base/sealing.h"
#include "core/base/unlock_key.h"
#include "core/store/sealed_backend.h"
#include "skep/testing/manual_env.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  skep::testing::SeededRandom random(1);
  const auto sealer = *skep::base::Sealer::make(std::string(32, 'k'));
  SKEP_ASSERT(!sealer->unseal(input, "fuzz"), "nobody seals without the key");
  // The input names where a real value is changed.
  std::string value = sealer->seal(input, "fuzz", random);
  SKEP_ASSERT(*sealer->unseal(value, "fuzz") == input, "what was sealed opens");
  if (size >= 2) {
    const std::size_t at = (data[0] | (static_cast<std::size_t>(data[1]) << 8U)) % value.size();
    value[at] = static_cast<char>(value[at] ^ (1 << (data[0] & 7U)));
    SKEP_ASSERT(!sealer->unseal(value, "fuzz"), "a changed value does not open");
    value.resize(at);
    SKEP_ASSERT(!sealer->unseal(value, "fuzz"), "a value that is cut off does not open");
  }
  skep::store::StoredRow row{3, "s1", {}};
  row.object.set_object(std::string(input));
  SKEP_ASSERT(!skep::store::unseal_row(*sealer, row), "nobody seals a row without the key");
  const auto key = skep::base::parse_unlock_key(input);
  SKEP_ASSERT(!key || key->size() == skep::base::kSealKeyBytes, "a key has 32 bytes");
  return 0;
}
