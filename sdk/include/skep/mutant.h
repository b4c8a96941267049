#pragma once

// Deliberate defects. The simulator proves that its invariants see something by switching one on; only
// its program `sim_mutants` compiles them in, everywhere else SKEP_MUTANT(n) is plain false.
//
//   1 scheduler does not count decisions in flight     4 log is not synced before it acknowledges
//   2 task runner reports an end it did not see        5 successor does not wait for its predecessor
//   3 store applies change sets of stale versions

#ifdef SKEP_MUTANTS
namespace skep {
/// Which defect is on; 0 = none. Set once by sim_mutants.
inline int active_mutant = 0;
}  // namespace skep
#define SKEP_MUTANT(n) (::skep::active_mutant == (n))
#else
#define SKEP_MUTANT(n) false
#endif
