// A hash table from token text to id that keeps views, not strings: loading a vocabulary allocates a few arrays only.
#pragma once
#include <cstdint>
#include <cstring>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace mynah::text {

// Mixed into every hash so that a hostile vocabulary cannot be built to collide; results never depend on it.
uint64_t hash_seed();

inline uint64_t mix(uint64_t a, uint64_t b) {
  __extension__ using Wide = unsigned __int128;
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

template <class T>
T load(const char* p) {
  T value;
  std::memcpy(&value, p, sizeof value);
  return value;
}

// Up to 7 bytes as one number, without a loop and without reading past them; different texts of one size differ.
inline uint64_t load_short(const char* p, size_t size) {
  if (size >= 4) return static_cast<uint64_t>(load<uint32_t>(p)) << 32 | load<uint32_t>(p + size - 4);
  if (size == 0) return 0;
  const auto byte = [p](size_t i) { return static_cast<uint64_t>(static_cast<unsigned char>(p[i])); };
  return byte(0) << 16 | byte(size / 2) << 8 | byte(size - 1);
}

inline uint64_t hash_bytes(std::string_view text, uint64_t seed) {
  constexpr uint64_t kA = 0x9E3779B97F4A7C15u, kB = 0xD6E8FEB86659FD93u;
  const char* p = text.data();
  const size_t size = text.size();
  uint64_t h = seed ^ (size * kB);
  if (size < 8) return mix(h ^ load_short(p, size), kB ^ seed);
  for (size_t at = 0; at + 8 < size; at += 8) h = mix(h ^ load<uint64_t>(p + at), kA);
  return mix(h ^ load<uint64_t>(p + size - 8), kB ^ seed);
}

inline bool equal_bytes(const char* a, const char* b, size_t size) {
  if (size < 8) return load_short(a, size) == load_short(b, size);
  for (size_t at = 0; at + 8 < size; at += 8)
    if (load<uint64_t>(a + at) != load<uint64_t>(b + at)) return false;
  return load<uint64_t>(a + size - 8) == load<uint64_t>(b + size - 8);
}

// Owns texts that no file holds as they are (unescaped JSON strings).
class TextArena {
 public:
  std::string_view keep(std::string text) { return texts_.emplace_back(std::move(text)); }

 private:
  std::deque<std::string> texts_;
};

class StringTable {
 public:
  // Room for `count` entries; inserting more grows the table.
  explicit StringTable(size_t count = 0);

  // The later of two equal texts wins. `text` must outlive the table.
  void insert(std::string_view text, int32_t id);
  // The id of `text`, -1 if it is not there.
  int32_t find(std::string_view text) const {
    size_t at = hash_bytes(text, seed_) & mask_;
    for (;; at = (at + 1) & mask_) {
      const Slot& slot = slots_[at];
      if (slot.id < 0) return -1;
      if (slot.size == text.size() && equal_bytes(slot.data, text.data(), text.size())) return slot.id;
    }
  }
  size_t size() const { return count_; }

 private:
  struct Slot {
    const char* data = nullptr;
    uint32_t size = 0;
    int32_t id = -1;
  };
  void grow();

  std::vector<Slot> slots_;
  size_t mask_ = 0, count_ = 0;
  uint64_t seed_;
};

// Both directions of a vocabulary.
class Vocabulary {
 public:
  explicit Vocabulary(size_t count = 0) : ids_(count) { texts_.reserve(count); }
  // Ids may leave holes; throws integrity when they are negative or far larger than a file of this size can need.
  void insert(std::string_view text, int64_t id);
  int32_t find(std::string_view text) const { return ids_.find(text); }
  // The text of `id`; data() is null when there is no such id.
  std::string_view text(int32_t id) const {
    return id >= 0 && static_cast<size_t>(id) < texts_.size() ? texts_[static_cast<size_t>(id)] : std::string_view();
  }
  bool has(int32_t id) const { return text(id).data() != nullptr; }
  // One more than the largest id, and the number of different texts.
  size_t limit() const { return texts_.size(); }
  size_t count() const { return ids_.size(); }

 private:
  StringTable ids_;
  std::vector<std::string_view> texts_;
};

}  // namespace mynah::text
