#include "generate/decoder.h"

#include <algorithm>

#include "mynah/ops.h"

namespace mynah::generation {
namespace {

constexpr int64_t kRows = 512;  // tokens computed together: bounds the memory of activations

}  // namespace

int64_t source_at(const PromptMedia& media, int64_t first, int64_t count, std::shared_ptr<const nn::Cache>* source) {
  for (const PromptMedia::Source& s : media.sources) {
    if (s.first > first) return std::min(count, s.first - first);
    *source = s.cache;
  }
  return count;
}

void append_media(const PromptMedia& media, int64_t first, int64_t count, nn::TokenBatch* batch, std::vector<Tensor>* rows) {
  if (!media.axes.empty()) {
    batch->complete_axes();
    for (int64_t i = first; i < first + count; ++i) {
      const auto behind = static_cast<int32_t>(i) + media.axes_shift;
      batch->axes.push_back(i < static_cast<int64_t>(media.axes.size()) ? media.axes[static_cast<size_t>(i)] : std::array<int32_t, 3>{behind, behind, behind});
    }
  }
  const auto begin = std::lower_bound(media.places.begin(), media.places.end(), first), end = std::lower_bound(begin, media.places.end(), first + count);
  if (begin == end) return;
  const auto row = static_cast<int64_t>(batch->ids.size());
  for (auto place = begin; place != end; ++place) batch->media_rows.push_back(row + *place - first);
  rows->push_back(narrow(media.rows, 0, begin - media.places.begin(), end - begin));
}

Decoder::Piece Decoder::with_past(const Piece& piece, std::vector<int32_t>* tokens) const {
  nn::Cache& cache = piece.memory->cache;
  const int64_t limit = lm_.position_switch().length, before = cache.length(), start = piece.memory->offset;
  if (before == 0 || before + start > limit || before + start + static_cast<int64_t>(piece.tokens.size()) <= limit) return piece;
  *tokens = cache.ids;
  tokens->insert(tokens->end(), piece.tokens.begin(), piece.tokens.end());
  cache.truncate(0);
  return {piece.memory, *tokens, piece.every, before};
}

void Decoder::append(const Piece& piece, int64_t from, int64_t count) {
  const int64_t length = static_cast<int64_t>(piece.tokens.size());
  batch_.lengths.push_back(count);
  batch_.caches.push_back(&piece.memory->cache);
  if (piece.memory->source) batch_.memory_caches.push_back(piece.memory->source.get());
  if (piece.memory->media) append_media(*piece.memory->media, piece.memory->cache.length(), count, &batch_, &media_);
  const int64_t position = piece.memory->cache.length() + piece.memory->offset - from;
  batch_.reach.push_back(position + length);
  if (lm_.position_switch().anew) {
    std::vector<int32_t>& ids = piece.memory->cache.ids;
    ids.insert(ids.end(), piece.tokens.begin() + from, piece.tokens.begin() + from + count);
  }
  for (int64_t i = from; i < from + count; ++i) {
    if ((piece.every && i >= piece.quiet) || i + 1 == length) wanted_.push_back(static_cast<int64_t>(batch_.ids.size()));
    batch_.ids.push_back(piece.tokens[static_cast<size_t>(i)]);
    batch_.positions.push_back(static_cast<int32_t>(position + i));
  }
}

Tensor Decoder::run(std::span<const Piece> pieces) {
  if (!lm_.position_switch().anew) return compute(pieces);
  std::vector<std::vector<int32_t>> texts(pieces.size());
  std::vector<Piece> whole;
  for (size_t i = 0; i < pieces.size(); ++i) whole.push_back(with_past(pieces[i], &texts[i]));
  return compute(whole);
}

Tensor Decoder::compute(std::span<const Piece> pieces) {
  std::vector<Tensor> logits;
  int64_t done = 0;  // of the piece that is cut
  for (size_t next = 0; next < pieces.size();) {
    batch_.ids.clear();
    batch_.positions.clear();
    batch_.axes.clear();
    batch_.lengths.clear();
    batch_.caches.clear();
    batch_.reach.clear();
    batch_.memory_caches.clear();
    batch_.media_rows.clear();
    batch_.media = {};
    media_.clear();
    wanted_.clear();
    for (int64_t room = kRows; next < pieces.size() && room > 0;) {
      const int64_t left = static_cast<int64_t>(pieces[next].tokens.size()) - done;
      Memory* memory = pieces[next].memory;
      int64_t count = std::min(left, room);
      if (count < left && lm_.sees_ahead()) {  // its tokens must see all others of the piece
        if (!batch_.ids.empty()) break;
        count = left;
      }
      if (memory->media) count = source_at(*memory->media, memory->cache.length(), count, &memory->source);
      append(pieces[next], done, count);
      room -= count;
      done += count;
      if (count < left) break;
      ++next;
      done = 0;
    }
    if (!media_.empty()) batch_.media = media_.size() == 1 ? media_[0] : cat(media_, 0);
    if (!batch_.axes.empty()) batch_.complete_axes();
    batch_.read_only(wanted_);
    const Tensor hidden = lm_.body(batch_, nullptr);
    if (!wanted_.empty()) logits.push_back(lm_.head(nn::wanted_rows(hidden, wanted_)));
  }
  return logits.size() == 1 ? logits[0] : cat(logits, 0);
}

}  // namespace mynah::generation
