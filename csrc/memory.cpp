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
// All blocks together, free ones included, may grow to a quarter more than the most that was ever
// in use, and this much on top. Less would take memory from a training loop, whose use swells
// forward and shrinks backward; without a limit a program that moves on to other shapes would keep
// the old ones' memory beside theirs.
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

// Huge blocks are mapped one by one: malloc would keep pages of freed ones, which reach 0.6 GB in a
// training step of ResNet-50.
#if defined(__unix__) || defined(__APPLE__)
constexpr bool mapped(size_t bytes) { return caching && bytes >= huge_page; }

Header* map(size_t bytes) noexcept {
  const size_t reserved = bytes + huge_page;
  void* const memory =
      mmap(nullptr, reserved, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  char* const begin = static_cast<char*>(memory);
  const size_t before = (huge_page - reinterpret_cast<uintptr_t>(begin) % huge_page) % huge_page;
  if (before > 0) munmap(begin, before);
  munmap(begin + before + bytes, huge_page - before);
#ifdef MADV_HUGEPAGE
  madvise(begin + before, bytes, MADV_HUGEPAGE);
#endif
  return reinterpret_cast<Header*>(begin + before);
}
void unmap(Header* block, size_t bytes) noexcept { munmap(block, bytes); }
#else
constexpr bool mapped(size_t) { return false; }
Header* map(size_t) noexcept { return nullptr; }
void unmap(Header*, size_t) noexcept {}
#endif

// What a block of a class takes with its header.
constexpr size_t system_bytes(size_t block_bytes) {
  const size_t bytes = block_bytes + sizeof(Header);
  return mapped(bytes) ? (bytes + huge_page - 1) / huge_page * huge_page : bytes;
}

Header* system_allocate(size_t block_bytes) noexcept {
  const size_t bytes = system_bytes(block_bytes);
  if (mapped(bytes)) return map(bytes);
  void* memory = nullptr;
  if (posix_memalign(&memory, alignment, bytes) != 0) return nullptr;
  return static_cast<Header*>(memory);
}

void system_free(Header* block, size_t block_bytes) noexcept {
  const size_t bytes = system_bytes(block_bytes);
  if (mapped(bytes)) {
    unmap(block, bytes);
  } else {
    std::free(block);
  }
}

// Returns free blocks, the largest first, until the cache holds at most `bytes`.
void shrink_cache(State& s, uint64_t bytes) noexcept {
  for (int c = classes - 1; c >= 0 && s.stats.cached_bytes > bytes; --c) {
    Header*& head = s.free[static_cast<size_t>(c)];
    while (head && s.stats.cached_bytes > bytes) {
      Header* const block = head;
      head = block->next;
      system_free(block, class_bytes(c));
      s.stats.cached_bytes -= class_bytes(c);
    }
  }
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
    const uint64_t in_use = s.stats.live_bytes + size;
    const uint64_t most = std::max(s.stats.peak_bytes, in_use);
    shrink_cache(s, most - in_use + most / 4 + cache_slack);
    block = system_allocate(system_size);
    if (!block) {
      shrink_cache(s, 0);
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
  shrink_cache(s, 0);
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
