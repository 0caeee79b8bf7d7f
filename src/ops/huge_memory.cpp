#include "ops/huge_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <mutex>
#include <new>

namespace mynah::ops {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kRegion = 16 * kHugePage;

std::shared_ptr<uint8_t> new_region(size_t size) {
  auto* p = static_cast<uint8_t*>(std::aligned_alloc(kHugePage, size));
  if (!p) throw std::bad_alloc();
  madvise(p, size, MADV_HUGEPAGE);  // a refusal does no harm
  return {p, [](uint8_t* q) { std::free(q); }};
}

}  // namespace

std::shared_ptr<uint8_t> allocate_huge(size_t bytes) {
  static std::mutex mutex;
  static std::weak_ptr<uint8_t> open_memory;  // the region is kept by its pieces only
  static size_t used = 0, size = 0;
  bytes = (bytes + 63) / 64 * 64;
  const std::lock_guard lock(mutex);
  std::shared_ptr<uint8_t> region = open_memory.lock();
  if (!region || used + bytes > size) {
    const size_t wanted = std::max(kRegion, (bytes + kHugePage - 1) / kHugePage * kHugePage);
    region = new_region(wanted);
    open_memory = region;
    used = 0;
    size = wanted;
  }
  uint8_t* piece = region.get() + used;
  used += bytes;
  return {region, piece};
}

}  // namespace mynah::ops
