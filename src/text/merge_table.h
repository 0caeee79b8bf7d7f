// The merges of byte-pair encoding: a flat hash table from a pair of token ids to the rank and the id of what they
// make.
#pragma once
#include <cstdint>
#include <vector>

#include "text/string_table.h"

namespace mynah::text {

struct Merge {
  uint32_t rank;
  int32_t id;
};

class MergeTable {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;  // the rank of a pair that does not merge

  explicit MergeTable(size_t count = 0);
  // The later of two merges of one pair wins.
  void insert(int32_t left, int32_t right, Merge merge);
  Merge find(int32_t left, int32_t right) const {
    const uint64_t key = static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
    for (size_t at = place(key);; at = (at + 1) & mask_) {
      const Slot& slot = slots_[at];
      if (slot.key == key) return slot.merge;
      if (slot.key == kEmpty) return {kNone, -1};
    }
  }

 private:
  static constexpr uint64_t kEmpty = UINT64_MAX;
  struct Slot {
    uint64_t key = kEmpty;
    Merge merge{kNone, -1};
  };
  size_t place(uint64_t key) const { return mix(key ^ seed_, 0x9E3779B97F4A7C15u) & mask_; }
  void grow();

  std::vector<Slot> slots_;
  size_t mask_ = 0, count_ = 0;
  uint64_t seed_;
};

}  // namespace mynah::text
