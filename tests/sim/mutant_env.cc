// For test programs that are linked with the defects in: SKEP_MUTANT=NAME switches one on.

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "skep/mutant.h"

namespace {

const bool chosen = [] {
  const char* wanted = std::getenv("SKEP_MUTANT");
  if (wanted == nullptr) {
    return false;
  }
  for (const skep::MutantInfo& info : skep::kMutants) {
    if (std::strcmp(info.name, wanted) == 0) {
      skep::active_mutant = info.mutant;
      return true;
    }
  }
  std::fprintf(stderr, "there is no mutant '%s'; see sdk/include/skep/mutant.h\n", wanted);
  std::exit(2);
}();

}  // namespace
