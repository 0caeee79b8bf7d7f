// Aligned memory of 32-bit words for what kernels read.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

namespace mynah::ops {

inline std::shared_ptr<uint32_t> aligned_words(int64_t count) {
  constexpr std::align_val_t kAlign{64};
  return {static_cast<uint32_t*>(::operator new(static_cast<size_t>(count) * sizeof(uint32_t), kAlign)), [](uint32_t* p) { ::operator delete(p, std::align_val_t{64}); }};
}

// How far rows of `words` words should lie apart: those of a multiple of a KiB, read side by side, would push each other out of the nearest cache.
constexpr int64_t apart(int64_t words) { return words % 256 == 0 ? words + 16 : words; }

// A buffer that grows and is then used again by its thread.
class WordScratch {
 public:
  uint32_t* get(int64_t count) {
    if (count > size_) {
      data_ = aligned_words(count);
      size_ = count;
    }
    return data_.get();
  }
  float* floats(int64_t count) { return reinterpret_cast<float*>(get(count)); }

 private:
  std::shared_ptr<uint32_t> data_;
  int64_t size_ = 0;
};

}  // namespace mynah::ops
