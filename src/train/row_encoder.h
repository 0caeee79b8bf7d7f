// Rows of training data as token ids, the way TRL encodes them: plain texts get the end token, conversations go through the chat
// template, and a completion starts where the encoded prompt and the encoded whole part ways.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "bundle/bundle.h"

namespace mynah::train {

class RowEncoder {
 public:
  // `b` has a tokenizer and outlives this. Throws failure without one.
  explicit RowEncoder(const bundle::Bundle& b);

  struct Row {
    std::vector<int32_t> ids;
    int64_t prompt = 0;              // tokens of the prompt
    std::vector<uint8_t> assistant;  // 1 for what the assistant said; empty if nobody asked
  };

  // A text as it is; with `end`, the end token follows unless the text ends in it.
  std::vector<int32_t> text(const std::string& text, bool end) const;
  // Messages through the chat template; with `masks`, what the assistant said is marked: what {% generation %} blocks wrote, else what answers
  // add to the text before them. Throws failure without a template.
  Row messages(const Json& messages, const Json& tools, bool generation_prompt, bool masks, const std::string& where) const;
  // row[prompt] and row[completion], both texts or both lists of messages.
  Row prompt_completion(const Json& row, const Json& prompt, const Json& completion, bool masks, const std::string& where) const;
  // The prompt alone, ready to be completed.
  std::vector<int32_t> prompt_ids(const Json& row, const Json& prompt, const std::string& where) const;

  const Tokenizer& tokenizer() const { return *b_.tokenizer; }
  // What pads rows: the pad token, else the end token, else 0.
  int32_t pad() const;

 private:
  std::string with_end(const std::string& text) const;
  std::vector<std::pair<size_t, size_t>> answers_in(const Json& messages, const Json& tools, const std::string& text) const;
  const bundle::Bundle& b_;
  std::string end_;
};

// The messages of ShareGPT's "conversations", whose turns have "from" (human, gpt ...) and "value"; other turns stay as they are.
Json messages_of_turns(const Json& turns);
// Whether a field holds messages.
bool is_conversation(const Json& value);
// The messages of a prompt and a completion, one after the other.
Json joined(const Json& prompt, const Json& completion);
// What chosen and rejected begin with, for rows without a prompt; the two are cut.
Json extract_prompt(Json* chosen, Json* rejected);

}  // namespace mynah::train
