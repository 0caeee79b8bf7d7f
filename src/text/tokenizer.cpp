#include "mynah/tokenizer.h"

#include "base/require.h"
#include "text/description.h"
#include "text/stream_state.h"
#include "text/tokenizer_folder.h"
#include "text/tokenizer_impl.h"

namespace mynah {

Tokenizer::Tokenizer(std::unique_ptr<text::TokenizerImpl> impl) : impl_(std::move(impl)) { impl_->finish(); }
Tokenizer::~Tokenizer() = default;

std::shared_ptr<const Tokenizer> Tokenizer::from_folder(const std::filesystem::path& folder) {
  return std::shared_ptr<const Tokenizer>(new Tokenizer(text::load_tokenizer_folder(folder)));
}

bool Tokenizer::is_in(const std::filesystem::path& folder) { return text::has_tokenizer_files(folder); }

std::shared_ptr<const Tokenizer> Tokenizer::from_json(std::string_view tokenizer_json) {
  const auto owned = std::make_shared<const std::string>(tokenizer_json);
  auto impl = text::make_tokenizer(text::describe_tokenizer_json(*owned, "tokenizer.json"));
  impl->owner = owned;
  return std::shared_ptr<const Tokenizer>(new Tokenizer(std::move(impl)));
}

std::shared_ptr<const Tokenizer> Tokenizer::from_gguf(const GgufVocabulary& vocabulary) {
  return std::shared_ptr<const Tokenizer>(new Tokenizer(text::load_gguf_vocabulary(vocabulary)));
}

Encoding Tokenizer::encode(std::string_view text, bool add_special_tokens, bool parse_special) const {
  return impl_->encode({text}, add_special_tokens, parse_special, false);
}

Encoding Tokenizer::encode_pair(std::string_view first, std::string_view second, bool add_special_tokens,
                                bool parse_special) const {
  return impl_->encode({first, second}, add_special_tokens, parse_special, false);
}

std::vector<int32_t> Tokenizer::encode_ids(std::string_view text, bool add_special_tokens, bool parse_special) const {
  return impl_->encode({text}, add_special_tokens, parse_special, true).ids;
}

std::vector<Encoding> Tokenizer::encode_windows(std::string_view text, const EncodeOptions& options) const {
  const std::span<const std::string_view> texts[] = {{&text, 1}};
  return impl_->encode_windows(texts, false, options);
}

std::vector<Encoding> Tokenizer::encode_windows(std::string_view first, std::string_view second,
                                                const EncodeOptions& options) const {
  const std::span<const std::string_view> texts[] = {{&first, 1}, {&second, 1}};
  return impl_->encode_windows(texts, false, options);
}

std::vector<Encoding> Tokenizer::encode_words(std::span<const std::string> words, const EncodeOptions& options) const {
  const std::vector<std::string_view> views(words.begin(), words.end());
  const std::span<const std::string_view> texts[] = {views};
  return impl_->encode_windows(texts, true, options);
}

std::vector<Encoding> Tokenizer::encode_words(std::span<const std::string> first, std::span<const std::string> second,
                                              const EncodeOptions& options) const {
  const std::vector<std::string_view> one(first.begin(), first.end()), two(second.begin(), second.end());
  const std::span<const std::string_view> texts[] = {one, two};
  return impl_->encode_windows(texts, true, options);
}

void Tokenizer::pad(std::span<Encoding> encodings, const PaddingOptions& options) const {
  impl_->pad(encodings, options);
}
int64_t Tokenizer::added_token_count(bool pair) const { return impl_->added_token_count(pair); }

std::string Tokenizer::decode(std::span<const int32_t> ids, bool skip_special_tokens,
                              std::optional<bool> clean_up) const {
  return impl_->decode(ids, skip_special_tokens, clean_up.value_or(impl_->clean_up_spaces));
}

std::string Tokenizer::token_bytes(int32_t id) const { return impl_->token_bytes(id); }
std::string Tokenizer::join_tokens(std::vector<std::string> tokens) const {
  if (impl_->decoder) impl_->decoder->apply(tokens);
  std::string text;
  for (size_t i = 0; i < tokens.size(); ++i) text += (i && !impl_->decoder ? " " : "") + tokens[i];
  return text;
}
bool Tokenizer::marks_continuations() const { return !impl_->model->continuing_prefix().empty(); }

std::string Tokenizer::token_text(int32_t id) const {
  const auto text = impl_->token_text(id);
  require(text.has_value(), "tokenizer: there is no token {}; the vocabulary has {}", id, vocab_size());
  return std::string(*text);
}

std::optional<int32_t> Tokenizer::token_id(std::string_view token) const { return impl_->token_id(token); }
int32_t Tokenizer::vocab_size() const { return impl_->vocab_size(); }
bool Tokenizer::is_special(int32_t id) const { return impl_->is_special(id); }

std::optional<int32_t> Tokenizer::bos_id() const { return impl_->ids.bos; }
std::optional<int32_t> Tokenizer::eos_id() const { return impl_->ids.eos; }
std::optional<int32_t> Tokenizer::pad_id() const { return impl_->ids.pad; }
std::optional<int32_t> Tokenizer::unk_id() const { return impl_->ids.unk; }
std::optional<int32_t> Tokenizer::sep_id() const { return impl_->ids.sep; }
std::optional<int32_t> Tokenizer::cls_id() const { return impl_->ids.cls; }
std::optional<int32_t> Tokenizer::mask_id() const { return impl_->ids.mask; }

std::string_view Tokenizer::chat_template(std::string_view name) const {
  const auto at = impl_->chat_templates.find(name);
  return at == impl_->chat_templates.end() ? std::string_view() : std::string_view(at->second);
}

std::optional<int64_t> Tokenizer::model_max_length() const { return impl_->model_max_length; }
std::string_view Tokenizer::padding_side() const { return impl_->padding_side; }
int32_t Tokenizer::pad_type_id() const { return impl_->pad_type_id; }

StreamDecoder::StreamDecoder(std::shared_ptr<const Tokenizer> tokenizer, bool skip_special_tokens)
    : tokenizer_(std::move(tokenizer)),
      state_(std::make_unique<text::StreamState>(*tokenizer_->impl_, skip_special_tokens)) {}
StreamDecoder::~StreamDecoder() = default;
StreamDecoder::StreamDecoder(StreamDecoder&&) noexcept = default;
StreamDecoder& StreamDecoder::operator=(StreamDecoder&&) noexcept = default;
std::string StreamDecoder::push(int32_t id) { return state_->push(id); }
std::string StreamDecoder::flush() { return state_->flush(); }

}  // namespace mynah
