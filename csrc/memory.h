// Memory for arrays: a caching allocator whose blocks are 64-byte aligned and reused, so that a
// training loop in its steady state takes no page faults and makes no system calls.
#pragma once

#include <cstddef>
#include <cstdint>

namespace fastnn {

// Returns `bytes` bytes, 64-byte aligned, contents undefined; null when the system has no more.
// Thread-safe.
void* allocate(size_t bytes) noexcept;
// Gives a block of allocate() back to the cache. Null is allowed.
void deallocate(void* block) noexcept;

struct MemoryStats {
  uint64_t live_bytes;     // handed out, as rounded up to block sizes
  uint64_t cached_bytes;   // free, kept for reuse
  uint64_t peak_bytes;     // the largest live_bytes so far
  uint64_t system_blocks;  // blocks asked of the operating system so far
  uint64_t allocations;    // calls of allocate so far
};
MemoryStats memory_stats() noexcept;
// Returns the cached blocks to the operating system.
void empty_cache() noexcept;
// What kind of allocator this build has, in words.
const char* allocator_description() noexcept;

// Memory that lives as long as a kernel call.
class Scratch {
 public:
  explicit Scratch(size_t bytes) noexcept : data_(bytes ? allocate(bytes) : nullptr) {}
  ~Scratch() { deallocate(data_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  void* data() const noexcept { return data_; }

 private:
  void* data_;
};

}  // namespace fastnn
