// Tokenizers: text to token ids and back, with the ids, tokens and offsets of the reference implementations.
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mynah {

// One encoded text (or pair of texts). All vectors have one element per token.
struct Encoding {
  std::vector<int32_t> ids;
  std::vector<std::string> tokens;                   // the text of the token as the vocabulary spells it
  std::vector<std::pair<int64_t, int64_t>> offsets;  // [begin, end) in Unicode characters of the input; (0, 0) if added
  std::vector<int32_t> type_ids;                     // 0 for the first text, 1 for the second, as the template says
  std::vector<int32_t> word_ids;                     // number of the word in its text; -1 for added tokens
  std::vector<int32_t> sequence_ids;                 // 0 or 1: from which text; -1 for added tokens
  std::vector<int32_t> special_tokens_mask;          // 1: put around the text (or padding), not part of it
  std::vector<int32_t> attention_mask;               // 0: padding
};

enum class Side { left, right };
// What goes when a text (or pair) has more tokens than may be: the longer one is shortened, or always the first or
// always the second.
enum class Truncation { none, longest_first, only_first, only_second };

struct EncodeOptions {
  bool add_special_tokens = true;  // see Tokenizer::encode
  bool parse_special = true;
  Truncation truncation = Truncation::none;
  std::optional<int64_t> max_length;    // tokens, with those that are added; absent: the tokenizer's own limit, if any
  int64_t stride = 0;                   // tokens that a window has in common with the one before
  bool overflow = true;                 // false: only the text cut to max_length, without windows over the rest
  std::optional<Side> truncation_side;  // where tokens go; absent: as tokenizer_config.json says, else right
};

struct PaddingOptions {
  int64_t length = 0;         // tokens; 0: as many as the longest encoding has. A longer encoding stays as it is
  int64_t multiple_of = 0;    // rounds the length up
  std::optional<Side> side;   // absent: as tokenizer_config.json says, else right
  std::optional<int32_t> id;  // absent: the pad token, or 0 without one
};

// The tokenizer.ggml.* keys of a GGUF file. Views must stay valid while `owner` lives.
struct GgufVocabulary {
  // tokenizer.ggml.model: "gpt2" (byte-level BPE), "llama" (SentencePiece-style BPE), "gemma4" (BPE over characters),
  // "bert", "t5" (SentencePiece unigrams)
  std::string model;
  std::string pre;                       // tokenizer.ggml.pre: the name of the pre-tokenizer; empty means "default"
  std::vector<std::string_view> tokens;  // by id
  std::vector<std::string_view> merges;  // "left right", by rank; gpt2 only
  std::vector<float> scores;             // by id; llama and t5 only
  std::vector<int32_t> types;            // by id: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte
  int32_t bos_id = -1, eos_id = -1, unk_id = -1, pad_id = -1, sep_id = -1, cls_id = -1, mask_id = -1;  // -1: not given
  std::optional<bool> add_bos, add_eos, add_sep, add_space_prefix;  // absent: the default of the model kind
  std::optional<bool> remove_extra_whitespaces;                     // t5
  std::string charsmap;                                             // t5: SentencePiece's table of replacements
  std::string_view chat_template;
  std::shared_ptr<const void> owner;  // keeps the mapped file alive
};

namespace text {
class TokenizerImpl;
class StreamState;
}  // namespace text

// A loaded tokenizer. Immutable after loading; every method may be called from several threads at once. Input that is
// not valid UTF-8 is read with U+FFFD in place of each maximal invalid sequence.
class Tokenizer {
 public:
  // Reads the tokenizer of a folder in Hugging Face layout: tokenizer.json, or the files of the tokenizer class that
  // tokenizer_config.json or config.json names (vocab.txt, vocab.json + merges.txt, SentencePiece models), with
  // special_tokens_map.json and added_tokens.json; or a tokenizer.json or .tiktoken file by its own path. Throws
  // not_found, integrity or failure.
  static std::shared_ptr<const Tokenizer> from_folder(const std::filesystem::path& folder);
  // Whether the folder has such files.
  static bool is_in(const std::filesystem::path& folder);
  // From the text of a tokenizer.json alone.
  static std::shared_ptr<const Tokenizer> from_json(std::string_view tokenizer_json);
  static std::shared_ptr<const Tokenizer> from_gguf(const GgufVocabulary& vocabulary);

  // `add_special_tokens`: surround the text as the model wants it (begin of sequence and so on). `parse_special`:
  // tokens marked special (control tokens of GGUF) that stand in the text become their ids; false reads them as plain
  // text, which is right for text of strangers. The reference implementation has it true.
  Encoding encode(std::string_view text, bool add_special_tokens = true, bool parse_special = true) const;
  Encoding encode_pair(std::string_view first, std::string_view second, bool add_special_tokens = true,
                       bool parse_special = true) const;
  // The ids of encode() alone, faster.
  std::vector<int32_t> encode_ids(std::string_view text, bool add_special_tokens = true,
                                  bool parse_special = true) const;

  // As the reference's calls with truncation and return_overflowing_tokens: the first encoding is the text cut to
  // max_length, the others are the windows over what was cut off (none without truncation). Throws usage when the
  // limit is too small for the added tokens, the stride or the text that may not be cut.
  std::vector<Encoding> encode_windows(std::string_view text, const EncodeOptions& options) const;
  std::vector<Encoding> encode_windows(std::string_view first, std::string_view second,
                                       const EncodeOptions& options) const;
  // Texts that are cut into words already; offsets count within each word, word_ids are places in the list.
  std::vector<Encoding> encode_words(std::span<const std::string> words, const EncodeOptions& options = {}) const;
  std::vector<Encoding> encode_words(std::span<const std::string> first, std::span<const std::string> second,
                                     const EncodeOptions& options = {}) const;
  // Brings all encodings to one length.
  void pad(std::span<Encoding> encodings, const PaddingOptions& options = {}) const;
  // How many tokens are put around a text or a pair of texts.
  int64_t added_token_count(bool pair) const;

  // Ids that do not exist are skipped. `clean_up` joins punctuation and contractions (" ." becomes "."); absent, the
  // choice of tokenizer_config.json (false without one).
  std::string decode(std::span<const int32_t> ids, bool skip_special_tokens = true,
                     std::optional<bool> clean_up = std::nullopt) const;

  // The text that these tokens stand for, given as the vocabulary spells them; nothing is skipped or cleaned up.
  std::string join_tokens(std::vector<std::string> tokens) const;
  // Whether tokens that continue a word are marked ("##ing").
  bool marks_continuations() const;

  // The vocabulary's text of a token; throws failure when there is no such id.
  std::string token_text(int32_t id) const;
  // What a token adds to the middle of a text; part of a character's bytes for a token that is one. Empty if there is no such id.
  std::string token_bytes(int32_t id) const;
  std::optional<int32_t> token_id(std::string_view token) const;
  // One more than the largest id.
  int32_t vocab_size() const;
  // Whether decoding skips it on request (GGUF: control and unknown tokens).
  bool is_special(int32_t id) const;

  // Named tokens; absent when the files name none.
  std::optional<int32_t> bos_id() const;
  std::optional<int32_t> eos_id() const;
  std::optional<int32_t> pad_id() const;
  std::optional<int32_t> unk_id() const;
  std::optional<int32_t> sep_id() const;
  std::optional<int32_t> cls_id() const;
  std::optional<int32_t> mask_id() const;

  // The Jinja source of the chat template, empty if there is none. tokenizer_config.json may hold several by name; the
  // unnamed one is "default".
  std::string_view chat_template(std::string_view name = "default") const;
  // tokenizer_config.json: model_max_length if it is a sensible number.
  std::optional<int64_t> model_max_length() const;
  // tokenizer_config.json: "left" or "right"; empty when it is not given.
  std::string_view padding_side() const;
  // tokenizer_config.json: the type of padding; 0 when it is not given.
  int32_t pad_type_id() const;

  ~Tokenizer();
  Tokenizer(const Tokenizer&) = delete;
  Tokenizer& operator=(const Tokenizer&) = delete;

 private:
  friend class StreamDecoder;
  explicit Tokenizer(std::unique_ptr<text::TokenizerImpl> impl);
  std::unique_ptr<text::TokenizerImpl> impl_;
};

// Decodes ids one by one as they are generated. The pieces joined are decode()'s text without clean-up; no piece ends
// inside a character, so every piece is valid UTF-8 of its own.
class StreamDecoder {
 public:
  explicit StreamDecoder(std::shared_ptr<const Tokenizer> tokenizer, bool skip_special_tokens = true);
  ~StreamDecoder();
  StreamDecoder(StreamDecoder&&) noexcept;
  StreamDecoder& operator=(StreamDecoder&&) noexcept;

  // The text that became complete with `id`, perhaps none.
  std::string push(int32_t id);
  // What is left: an unfinished character comes out as U+FFFD. The decoder is then as new.
  std::string flush();

 private:
  std::shared_ptr<const Tokenizer> tokenizer_;
  std::unique_ptr<text::StreamState> state_;
};

}  // namespace mynah
