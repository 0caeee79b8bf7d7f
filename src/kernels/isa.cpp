#include "kernels/isa.h"

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace mynah::kernels {
namespace {

constexpr const char* kNames[] = {"generic", "avx2", "avx512", "bf16", "amx"};

bool same(const char* a, const char* b) {
  while (*a && *a == *b) ++a, ++b;
  return *a == *b;
}

// The kernel hands out the registers of tiles, 8 KiB a thread, to those who ask: once, for all threads.
bool tiles_granted() {
#if defined(__x86_64__) && defined(__linux__)
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  static const bool granted = syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
  return granted;
#else
  return false;
#endif
}

Isa best_isa() {
  Isa best = Isa::generic;
  for (const Isa isa : kIsas)
    if (isa_supported(isa)) best = isa;
  return best;
}

Isa& chosen() {
  static Isa isa = best_isa();
  return isa;
}

}  // namespace

bool isa_supported(Isa isa) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("gfni");
  switch (isa) {
    case Isa::generic: return true;
    case Isa::avx2: return avx2;
    case Isa::avx512: return avx512;
    case Isa::bf16:
    case Isa::amx: {
      unsigned a = 0, b = 0, c = 0, d = 0;
      const bool bf16 = avx512 && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & (1u << 5));
      if (isa == Isa::bf16 || !bf16) return bf16;
      constexpr unsigned kBf16Tiles = 1u << 22, kTiles = 1u << 24, kByteTiles = 1u << 25, kAll = kBf16Tiles | kTiles | kByteTiles;
      return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & kAll) == kAll && tiles_granted();
    }
  }
#endif
  return isa == Isa::generic;
}

Isa active_isa() { return chosen(); }

bool set_isa(Isa isa) {
  if (!isa_supported(isa)) return false;
  chosen() = isa;
  return true;
}

const char* isa_name(Isa isa) { return kNames[static_cast<int>(isa)]; }

bool parse_isa(const char* text, Isa* isa) {
  for (const Isa one : kIsas)
    if (same(text, isa_name(one))) {
      *isa = one;
      return true;
    }
  return false;
}

}  // namespace mynah::kernels
