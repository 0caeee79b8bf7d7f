// Turns the ids of one answer into text as they come; says when to end.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "generate/stop_filter.h"
#include "mynah/generate.h"

namespace mynah::generation {

class TextOut {
 public:
  TextOut(std::shared_ptr<const Tokenizer> tokenizer, const std::vector<std::string>& stops, const TextCallback& on_text)
      : filter_(stops), on_text_(on_text) {
    if (tokenizer) decoder_.emplace(std::move(tokenizer), true);
  }
  void push(int32_t id) {
    if (decoder_) emit(filter_.push(decoder_->push(id)));
  }
  void finish() {
    if (!decoder_ || filter_.stopped()) return;
    emit(filter_.push(decoder_->flush()));
    if (!filter_.stopped()) emit(filter_.flush());
  }
  bool stopped() const { return filter_.stopped(); }
  bool cancelled() const { return cancelled_; }
  const std::string& text() const { return text_; }

 private:
  void emit(const std::string& piece) {
    if (piece.empty() || cancelled_) return;
    text_ += piece;
    if (on_text_ && !on_text_(piece)) cancelled_ = true;
  }
  std::optional<StreamDecoder> decoder_;
  StopFilter filter_;
  const TextCallback& on_text_;
  std::string text_;
  bool cancelled_ = false;
};

}  // namespace mynah::generation
