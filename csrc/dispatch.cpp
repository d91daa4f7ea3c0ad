// Which instruction set: what the processor has, what is compiled in, what FASTNN_ISA asks for.
#include <atomic>
#include <cstdlib>
#include <cstring>

#include "fastnn.h"

namespace fastnn {

#define FASTNN_DECLARE_TABLES(isa)   \
  namespace isa {                    \
  const Ops<float>& table_float();   \
  const Ops<double>& table_double(); \
  }
#ifdef FASTNN_HAS_BASELINE
FASTNN_DECLARE_TABLES(baseline)
#endif
#ifdef FASTNN_HAS_AVX2
FASTNN_DECLARE_TABLES(avx2)
#endif
#ifdef FASTNN_HAS_AVX512
FASTNN_DECLARE_TABLES(avx512)
#endif
#ifdef FASTNN_HAS_NEON
FASTNN_DECLARE_TABLES(neon)
#endif
#undef FASTNN_DECLARE_TABLES

namespace {

constexpr const char* names[] = {"baseline", "avx2", "avx512", "neon"};
constexpr int isa_count = 4;

// The compiler's builtins look at the processor and at the state that the operating system saves.
bool processor_has(Isa isa) noexcept {
#if defined(__x86_64__)
  __builtin_cpu_init();
  switch (isa) {
    case Isa::baseline:
      return true;
    case Isa::avx2:  // x86-64-v3, as far as the compiler may use it in our kernels
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
             __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
    case Isa::avx512:  // x86-64-v4
      return processor_has(Isa::avx2) && __builtin_cpu_supports("avx512f") &&
             __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd") &&
             __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    case Isa::neon:
      return false;
  }
  return false;
#else
  return isa == Isa::baseline || isa == Isa::neon;
#endif
}

template <class T>
const Ops<T>* compiled([[maybe_unused]] Isa isa) noexcept {
#define FASTNN_TABLE(name)                                              \
  if (isa == Isa::name) {                                               \
    if constexpr (sizeof(T) == 4) return &fastnn::name::table_float();  \
    if constexpr (sizeof(T) == 8) return &fastnn::name::table_double(); \
  }
#ifdef FASTNN_HAS_BASELINE
  FASTNN_TABLE(baseline)
#endif
#ifdef FASTNN_HAS_AVX2
  FASTNN_TABLE(avx2)
#endif
#ifdef FASTNN_HAS_AVX512
  FASTNN_TABLE(avx512)
#endif
#ifdef FASTNN_HAS_NEON
  FASTNN_TABLE(neon)
#endif
#undef FASTNN_TABLE
  return nullptr;
}

// A table is a static of its instruction set's own code, so it must not be touched before the
// processor is known to run it.
bool available(Isa isa) noexcept { return processor_has(isa) && compiled<float>(isa) != nullptr; }

Isa initial() noexcept {
  Isa isa;
  const char* name = std::getenv("FASTNN_ISA");
  return name && isa_from_name(name, &isa) && available(isa) ? isa : detected_isa();
}

struct Current {
  std::atomic<const Ops<float>*> f32;
  std::atomic<const Ops<double>*> f64;
  explicit Current(Isa isa) noexcept : f32(compiled<float>(isa)), f64(compiled<double>(isa)) {}
};

Current& current() noexcept {
  static Current c(initial());
  return c;
}

}  // namespace

template <>
const Ops<float>& ops<float>() noexcept {
  return *current().f32.load(std::memory_order_relaxed);
}
template <>
const Ops<double>& ops<double>() noexcept {
  return *current().f64.load(std::memory_order_relaxed);
}

template <>
const Ops<float>* ops_for<float>(Isa isa) noexcept {
  return processor_has(isa) ? compiled<float>(isa) : nullptr;
}
template <>
const Ops<double>* ops_for<double>(Isa isa) noexcept {
  return processor_has(isa) ? compiled<double>(isa) : nullptr;
}

Isa current_isa() noexcept { return ops<float>().isa; }

Isa detected_isa() noexcept {
  for (const Isa isa : {Isa::avx512, Isa::avx2, Isa::neon}) {
    if (available(isa)) return isa;
  }
  return Isa::baseline;
}

bool set_isa(Isa isa) noexcept {
  if (!available(isa)) return false;
  current().f32 = compiled<float>(isa);
  current().f64 = compiled<double>(isa);
  return true;
}

const char* isa_name(Isa isa) noexcept { return names[static_cast<int>(isa)]; }

bool isa_from_name(const char* name, Isa* isa) noexcept {
  for (int i = 0; i < isa_count; ++i) {
    if (std::strcmp(name, names[i]) == 0) {
      *isa = static_cast<Isa>(i);
      return true;
    }
  }
  return false;
}

}  // namespace fastnn
