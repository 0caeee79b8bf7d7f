#include "text/string_table.h"

#include <bit>
#include <random>

#include "base/require.h"

namespace mynah::text {

uint64_t hash_seed() {
  static const uint64_t seed = [] {
    std::random_device device;
    return static_cast<uint64_t>(device()) << 32 | device();
  }();
  return seed;
}

StringTable::StringTable(size_t count) : seed_(hash_seed()) {
  slots_.resize(std::bit_ceil(count * 2 + 8));
  mask_ = slots_.size() - 1;
}

void StringTable::insert(std::string_view text, int32_t id) {
  if ((count_ + 1) * 2 > slots_.size()) grow();
  size_t at = hash_bytes(text, seed_) & mask_;
  while (slots_[at].id >= 0) {
    if (slots_[at].size == text.size() && equal_bytes(slots_[at].data, text.data(), text.size())) {
      slots_[at].id = id;
      return;
    }
    at = (at + 1) & mask_;
  }
  slots_[at] = {text.data(), static_cast<uint32_t>(text.size()), id};
  ++count_;
}

void StringTable::grow() {
  std::vector<Slot> old(slots_.size() * 2);
  old.swap(slots_);
  mask_ = slots_.size() - 1;
  for (const Slot& slot : old) {
    if (slot.id < 0) continue;
    size_t at = hash_bytes({slot.data, slot.size}, seed_) & mask_;
    while (slots_[at].id >= 0) at = (at + 1) & mask_;
    slots_[at] = slot;
  }
}

void Vocabulary::insert(std::string_view text, int64_t id) {
  // A hole costs 16 bytes of memory here, so a short file must not be able to ask for billions of them.
  constexpr int64_t kFewHoles = 1 << 20;
  const int64_t limit = kFewHoles + 8 * static_cast<int64_t>(count());
  if (id < 0 || id > limit)
    fail(ErrorCode::integrity, "tokenizer: token id {} is out of range (0 to {} are possible here)", id, limit);
  if (text.size() > UINT32_MAX) fail(ErrorCode::integrity, "tokenizer: token {} is longer than 4 GB", id);
  if (text.data() == nullptr) text = std::string_view("", 0);
  if (static_cast<size_t>(id) >= texts_.size()) texts_.resize(static_cast<size_t>(id) + 1);
  texts_[static_cast<size_t>(id)] = text;
  ids_.insert(text, static_cast<int32_t>(id));
}

}  // namespace mynah::text
