#include "core/base/resident.h"

#include <link.h>
#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <string_view>

namespace skep::base {

namespace {

using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace)
constexpr Duration kFirst = 5s;
constexpr Duration kEvery = 10min;

/// Segments without PF_W hold what is in the file, byte by byte: relocations lie in writable ones (RELRO too).
int release_segments(dl_phdr_info* object, std::size_t, void* page_size) {
  if (std::string_view(object->dlpi_name).starts_with("linux-vdso")) {
    return 0;
  }
  const auto page = *static_cast<const std::uintptr_t*>(page_size);
  for (int i = 0; i < object->dlpi_phnum; ++i) {
    const auto& segment = object->dlpi_phdr[i];
    if (segment.p_type == PT_LOAD && (segment.p_flags & PF_W) == 0) {
      const std::uintptr_t begin = (object->dlpi_addr + segment.p_vaddr) & ~(page - 1);
      const std::uintptr_t end = object->dlpi_addr + segment.p_vaddr + segment.p_memsz;
      ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);  // refused: it stays mapped, no harm
    }
  }
  return 0;
}

void release_after(Loop& loop, Duration delay) {
  loop.run_after(delay, [&loop] {
    release_idle_memory();
    release_after(loop, kEvery);
  });
}

}  // namespace

void release_idle_memory() {
  ::malloc_trim(0);
  auto page_size = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  ::dl_iterate_phdr(release_segments, &page_size);
}

void keep_memory_small(Loop& loop) { release_after(loop, kFirst); }

}  // namespace skep::base
