#include "tensor/storage.h"

#include <sys/mman.h>

#include <bit>
#include <cstdlib>
#include <mutex>
#include <new>

#include "base/require.h"

namespace mynah {
namespace {

constexpr size_t kAlignment = 64;
constexpr size_t kHeader = 128;  // the Storage object sits in front of its data
static_assert(sizeof(Storage) <= kHeader);

// Size classes: four per power of two from 256 bytes, so at most a quarter of a block is wasted.
int class_of(size_t bytes) {
  if (bytes <= 256) return 0;
  const int octave = std::bit_width(bytes - 1) - 1;  // bytes - 1 in [2^octave, 2^(octave+1))
  const size_t quarter = (bytes - 1 - (size_t{1} << octave)) >> (octave - 2);
  return (octave - 8) * 4 + static_cast<int>(quarter) + 1;
}
size_t class_bytes(int size_class) {
  if (size_class == 0) return 256;
  const int octave = (size_class - 1) / 4 + 8;
  return (size_t{1} << octave) + (static_cast<size_t>((size_class - 1) % 4 + 1) << (octave - 2));
}
constexpr int kClasses = 40 * 4;

// Large blocks stand on huge pages, where the system has them: gradients, states of optimisers and caches are gone through from end to end.
constexpr size_t kHugePage = size_t{2} << 20, kLarge = 4 * kHugePage;
void* new_block(size_t bytes) {
  if (bytes < kLarge) return std::aligned_alloc(kAlignment, bytes);
  void* memory = nullptr;
  if (posix_memalign(&memory, kHugePage, bytes) != 0) return nullptr;  // not aligned_alloc, which wants multiples of the alignment
  madvise(memory, bytes, MADV_HUGEPAGE);                               // a refusal does no harm
  return memory;
}

struct Pool {
  std::mutex mutex;
  Storage* free[kClasses] = {};
  std::atomic<size_t> live{0};
};
Pool& pool() {
  static Pool* instance = new Pool;  // never destroyed: tensors in static objects may outlive everything else
  return *instance;
}

}  // namespace

Storage* Storage::allocate(size_t bytes) {
  const int size_class = class_of(bytes);
  MYNAH_CHECK(size_class < kClasses);
  Pool& p = pool();
  const size_t capacity = class_bytes(size_class);
  p.live.fetch_add(capacity, std::memory_order_relaxed);
  {
    std::lock_guard lock(p.mutex);
    if (Storage* s = p.free[size_class]) {
      p.free[size_class] = s->next_free_;
      s->bytes_ = bytes;
      return s;
    }
  }
  void* memory = new_block(kHeader + capacity);
  if (!memory) {
    p.live.fetch_sub(capacity, std::memory_order_relaxed);
    fail(ErrorCode::does_not_fit, "memory: {} bytes for a tensor are not to be had", bytes);
  }
  auto* s = new (memory) Storage;
  s->data_ = static_cast<std::byte*>(memory) + kHeader;
  s->bytes_ = bytes;
  s->size_class_ = size_class;
  return s;
}

Storage* Storage::borrow(const void* data, size_t bytes, std::shared_ptr<const void> owner) {
  auto* s = new Storage;
  s->data_ = static_cast<std::byte*>(const_cast<void*>(data));
  s->bytes_ = bytes;
  s->owner_ = std::move(owner);
  return s;
}

void Storage::recycle() {
  if (size_class_ < 0) {
    delete this;
    return;
  }
  Pool& p = pool();
  p.live.fetch_sub(class_bytes(size_class_), std::memory_order_relaxed);
  std::lock_guard lock(p.mutex);
  next_free_ = p.free[size_class_];
  p.free[size_class_] = this;
}

void Storage::trim() {
  Pool& p = pool();
  std::lock_guard lock(p.mutex);
  for (Storage*& list : p.free)
    while (Storage* s = list) {
      list = s->next_free_;
      s->~Storage();
      std::free(s);
    }
}

size_t Storage::live_bytes() { return pool().live.load(std::memory_order_relaxed); }

}  // namespace mynah
