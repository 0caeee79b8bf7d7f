#include "text/stream_state.h"

#include "base/unicode.h"
#include "text/byte_level.h"

namespace mynah::text {
namespace {

// What `now` has beyond `before`; all of it when it does not go on from there.
std::string news(const std::string& before, const std::string& now) {
  return now.starts_with(before) ? now.substr(before.size()) : now;
}

}  // namespace

std::string StreamState::push(int32_t id) {
  const bool byte_level = tokenizer_.decoder && tokenizer_.decoder->is_byte_level();
  return byte_level ? push_bytes(id) : push_window(id);
}

std::string StreamState::push_bytes(int32_t id) {
  append_spelled_bytes(bytes_, tokenizer_.decoded_token(id, skip_special_tokens_));
  const size_t tail = unicode::incomplete_tail(bytes_);
  std::string text = unicode::to_valid(std::string_view(bytes_).substr(0, bytes_.size() - tail));
  bytes_.erase(0, bytes_.size() - tail);
  return text;
}

// What a decoder makes of a token may depend on the one before (a space or none), so the last tokens are decoded again
// with it and the text that is new is what comes out.
std::string StreamState::push_window(int32_t id) {
  constexpr std::string_view kReplacement = "\xEF\xBF\xBD";
  constexpr size_t kLongestCharacter = 16;  // tokens to wait for a character to become whole
  window_.push_back(id);
  const std::string before = decode(done_), now = decode(window_.size());
  const bool unfinished = now.ends_with(kReplacement) && window_.size() - done_ < kLongestCharacter;
  if (now.size() <= before.size() || unfinished) return {};
  window_.erase(window_.begin(), window_.begin() + static_cast<ptrdiff_t>(done_));
  done_ = window_.size();
  return news(before, now);
}

std::string StreamState::flush() {
  std::string text = unicode::to_valid(bytes_);
  if (window_.size() > done_) {
    const std::string before = decode(done_), now = decode(window_.size());
    if (now.size() > before.size()) text += news(before, now);
  }
  bytes_.clear();
  window_.clear();
  done_ = 0;
  return text;
}

std::string StreamState::decode(size_t count) const {
  return tokenizer_.decode(std::span(window_).first(count), skip_special_tokens_, false);
}

}  // namespace mynah::text
