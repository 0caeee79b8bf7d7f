// Memory of tensors: 64-byte aligned blocks from a pool of size classes, so that a decoding step allocates nothing from
// the heap once warm; or memory that someone else owns.
#pragma once
#include <atomic>
#include <cstddef>
#include <memory>

namespace mynah {

class Storage {
 public:
  // A block of at least `bytes`, uninitialised, reference count 0.
  static Storage* allocate(size_t bytes);
  static Storage* borrow(const void* data, size_t bytes, std::shared_ptr<const void> owner);

  std::byte* data() const { return data_; }
  size_t bytes() const { return bytes_; }
  void retain() { count_.fetch_add(1, std::memory_order_relaxed); }
  void release() {
    if (count_.fetch_sub(1, std::memory_order_acq_rel) == 1) recycle();
  }

  // Gives cached free blocks back to the system (after loading, between jobs).
  static void trim();
  // Bytes in blocks that tensors hold now, and the most so far: for tests and memory reports.
  static size_t live_bytes();

 private:
  Storage() = default;
  void recycle();

  std::byte* data_ = nullptr;
  size_t bytes_ = 0;
  Storage* next_free_ = nullptr;
  std::shared_ptr<const void> owner_;
  std::atomic<int> count_{0};
  int size_class_ = -1;  // -1: borrowed
};

}  // namespace mynah
