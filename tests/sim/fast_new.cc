// operator new of the simulator: free lists per size, without locks, because a run is one thread and
// spends a quarter of its time in malloc otherwise. Memory goes back to the lists only, never to the
// system: a run needs the same blocks again and again. Not under sanitizers, which bring their own.

#include <array>
#include <cstddef>
#include <cstdlib>
#include <new>

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

namespace {

constexpr std::size_t kStep = 16;
constexpr std::size_t kPooledMax = 2048;
constexpr std::size_t kChunk = std::size_t{1} << 20U;

// Block: [size class, 0 = malloc's | 8 bytes unused | what the caller got]. A free block's first
// caller bytes hold the next free one.
struct alignas(kStep) Head {
  std::size_t size_class;
};
struct Free {
  Free* next;
};

std::array<Free*, kPooledMax / kStep + 1> free_lists;
char* chunk = nullptr;
std::size_t chunk_left = 0;

void* from_system(std::size_t size) {
  auto* head = static_cast<Head*>(std::malloc(sizeof(Head) + size));
  if (head == nullptr) {
    throw std::bad_alloc();
  }
  head->size_class = 0;
  return head + 1;
}

void* allocate(std::size_t size) {
  if (size > kPooledMax) {
    return from_system(size);
  }
  const std::size_t size_class = size == 0 ? 1 : (size + kStep - 1) / kStep;
  if (Free* block = free_lists[size_class]; block != nullptr) {
    free_lists[size_class] = block->next;
    return block;
  }
  const std::size_t need = sizeof(Head) + size_class * kStep;
  if (chunk_left < need) {
    chunk = static_cast<char*>(from_system(kChunk));
    chunk_left = kChunk;
  }
  auto* head = new (chunk) Head{size_class};
  chunk += need;
  chunk_left -= need;
  return head + 1;
}

void release(void* block) noexcept {
  if (block == nullptr) {
    return;
  }
  Head* head = static_cast<Head*>(block) - 1;
  if (head->size_class == 0) {
    std::free(head);
    return;
  }
  free_lists[head->size_class] = new (block) Free{free_lists[head->size_class]};
}

}  // namespace

void* operator new(std::size_t size) { return allocate(size); }
void* operator new[](std::size_t size) { return allocate(size); }
void operator delete(void* block) noexcept { release(block); }
void operator delete[](void* block) noexcept { release(block); }
void operator delete(void* block, std::size_t) noexcept { release(block); }
void operator delete[](void* block, std::size_t) noexcept { release(block); }

#endif
