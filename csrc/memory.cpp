#include "memory.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdlib>
#include <mutex>

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#include <sys/mman.h>
#endif

namespace fastnn {
namespace {

constexpr size_t alignment = 64;
constexpr size_t huge_page = size_t{2} << 20;
// An address sanitizer sees overruns and uses after free only when each block is the system's, of
// the size asked for.
#if defined(__SANITIZE_ADDRESS__)
constexpr bool caching = false;
#else
constexpr bool caching = true;
#endif
// A miss releases the cache first once it holds this much more than what is in use: a program that
// moves on to other shapes does not keep the old ones' memory for ever.
constexpr uint64_t cache_slack = uint64_t{256} << 20;

// Block sizes: one to four units of 64 bytes, then four steps to each power of two (5, 6, 7, 8, 10,
// 12, 14, 16, 20, ... units), so that less than a fifth of a block is unused. Classes 0 to 3 are
// the first four; class 4 would repeat class 3 and stays empty.
constexpr int classes = 4 * 40;

constexpr size_t class_bytes(int c) {
  const auto i = static_cast<size_t>(c);
  return (i < 4 ? i + 1 : (4 + i % 4) << (i / 4 - 1)) * alignment;
}

constexpr int class_of(size_t bytes) {
  const size_t units = (std::max<size_t>(bytes, 1) + alignment - 1) / alignment;
  if (units <= 4) return static_cast<int>(units) - 1;
  // units - 1 has three significant bits above the shift.
  const int shift = static_cast<int>(std::bit_width(units - 1)) - 3;
  const size_t top = ((units - 1) >> shift) + 1;  // 5 to 8
  return 4 * shift + static_cast<int>(top);
}

// In front of each block: its class, and the link of the list of free blocks.
struct alignas(alignment) Header {
  Header* next;
  int size_class;
};
static_assert(sizeof(Header) == alignment);

struct State {
  std::mutex mutex;
  std::array<Header*, classes> free{};
  MemoryStats stats{};
};

// Never destroyed: arrays may outlive every static object.
State& state() {
  static State* const s = new State;
  return *s;
}

Header* system_allocate(size_t block_bytes) noexcept {
  size_t bytes = block_bytes + sizeof(Header);
  const bool huge = caching && bytes >= huge_page;
  if (huge) bytes = (bytes + huge_page - 1) / huge_page * huge_page;
  void* memory = nullptr;
  if (posix_memalign(&memory, huge ? huge_page : alignment, bytes) != 0) return nullptr;
#ifdef MADV_HUGEPAGE
  if (huge) madvise(memory, bytes, MADV_HUGEPAGE);
#endif
  return static_cast<Header*>(memory);
}

void release_cache(State& s) noexcept {
  for (Header*& head : s.free) {
    while (head) {
      Header* const next = head->next;
      std::free(head);
      head = next;
    }
  }
  s.stats.cached_bytes = 0;
}

#if defined(__unix__) || defined(__APPLE__)
// A fork while another thread holds the lock would leave it locked in the child for ever.
[[maybe_unused]] const int fork_handler = pthread_atfork(
    [] { state().mutex.lock(); }, [] { state().mutex.unlock(); }, [] { state().mutex.unlock(); });
#endif

}  // namespace

void* allocate(size_t bytes) noexcept {
  if (bytes > (size_t{1} << 44)) return nullptr;
  const int c = class_of(bytes);
  const size_t size = class_bytes(c);
  const size_t system_size = caching ? size : bytes;
  State& s = state();
  const std::lock_guard lock(s.mutex);
  Header* block = s.free[static_cast<size_t>(c)];
  if (block) {
    s.free[static_cast<size_t>(c)] = block->next;
    s.stats.cached_bytes -= size;
  } else {
    if (s.stats.cached_bytes > s.stats.live_bytes + cache_slack) release_cache(s);
    block = system_allocate(system_size);
    if (!block) {
      release_cache(s);
      block = system_allocate(system_size);
    }
    if (!block) return nullptr;
    ++s.stats.system_blocks;
  }
  block->size_class = c;
  s.stats.live_bytes += size;
  s.stats.peak_bytes = std::max(s.stats.peak_bytes, s.stats.live_bytes);
  ++s.stats.allocations;
  return block + 1;
}

void deallocate(void* memory) noexcept {
  if (!memory) return;
  Header* const block = static_cast<Header*>(memory) - 1;
  State& s = state();
  const std::lock_guard lock(s.mutex);
  const size_t size = class_bytes(block->size_class);
  s.stats.live_bytes -= size;
  if (!caching) {
    std::free(block);
    return;
  }
  Header*& head = s.free[static_cast<size_t>(block->size_class)];
  block->next = head;
  head = block;
  s.stats.cached_bytes += size;
}

MemoryStats memory_stats() noexcept {
  State& s = state();
  const std::lock_guard lock(s.mutex);
  return s.stats;
}

void empty_cache() noexcept {
  State& s = state();
  const std::lock_guard lock(s.mutex);
  release_cache(s);
}

const char* allocator_description() noexcept {
  if (!caching) return "the system's, 64-byte aligned (address sanitizer)";
#ifdef MADV_HUGEPAGE
  return "caching, 64-byte aligned, huge pages from 2 MiB";
#else
  return "caching, 64-byte aligned";
#endif
}

}  // namespace fastnn
