#include "bundle/ggml_whisper.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/file.h"
#include "base/json.h"
#include "base/languages.h"
#include "base/require.h"
#include "formats/ggml_whisper.h"
#include "text/byte_level.h"

namespace mynah::bundle {
namespace {

namespace fs = std::filesystem;
using formats::GgmlWhisperFile;

// OpenAI's name of a weight -> Hugging Face's; empty for one that is not known.
std::string renamed(const std::string& name) {
  static const std::pair<std::string_view, std::string_view> kWhole[] = {
      {"encoder.positional_embedding", "model.encoder.embed_positions.weight"},
      {"decoder.positional_embedding", "model.decoder.embed_positions.weight"},
      {"decoder.token_embedding.weight", "model.decoder.embed_tokens.weight"},
  };
  static const std::pair<std::string_view, std::string_view> kParts[] = {
      {".attn.query.", ".self_attn.q_proj."},   {".attn.key.", ".self_attn.k_proj."},
      {".attn.value.", ".self_attn.v_proj."},   {".attn.out.", ".self_attn.out_proj."},
      {".attn_ln.", ".self_attn_layer_norm."},  {".cross_attn.query.", ".encoder_attn.q_proj."},
      {".cross_attn.key.", ".encoder_attn.k_proj."}, {".cross_attn.value.", ".encoder_attn.v_proj."},
      {".cross_attn.out.", ".encoder_attn.out_proj."}, {".cross_attn_ln.", ".encoder_attn_layer_norm."},
      {".mlp.0.", ".fc1."},                     {".mlp.2.", ".fc2."},
      {".mlp_ln.", ".final_layer_norm."},       {".ln_post.", ".layer_norm."},
      {"decoder.ln.", "decoder.layer_norm."},
  };
  for (const auto& [theirs, ours] : kWhole)
    if (name == theirs) return std::string(ours);
  std::string out = "model." + name;
  if (const size_t at = out.find(".blocks."); at != std::string::npos) out.replace(at, 8, ".layers.");
  for (const auto& [theirs, ours] : kParts)
    if (const size_t at = out.find(theirs); at != std::string::npos) {
      out.replace(at, theirs.size(), ours);
      break;
    }
  return out;
}

class GgmlWhisperTensors final : public formats::TensorSource {
 public:
  explicit GgmlWhisperTensors(std::shared_ptr<const GgmlWhisperFile> file) : TensorSource(file->where()), file_(std::move(file)) {
    for (const auto& stored : file_->tensors()) {
      formats::TensorInfo info = stored;
      info.name = renamed(stored.name);
      // Biases of convolutions have a second dimension of 1.
      if (info.name.ends_with(".bias") && info.shape.rank() == 2 && info.shape[1] == 1) info.shape = {info.shape[0]};
      tensors_.push_back(std::move(info));
    }
    index_tensors();
  }

 private:
  Tensor load(size_t index) const override {
    const Tensor t = file_->tensor(file_->tensors()[index].name);
    const Shape& shape = tensors_[index].shape;
    return t.shape() == shape ? t : t.as_strided(shape, contiguous_strides(shape));
  }
  std::shared_ptr<const GgmlWhisperFile> file_;
};

// The special tokens by id; their places follow from the size of the vocabulary.
struct Special {
  explicit Special(int64_t vocabulary) : multilingual(vocabulary >= 51865), languages(vocabulary - 51765 - (multilingual ? 1 : 0)) {
    require(languages >= 0 && languages <= static_cast<int64_t>(language_codes().size()), "whisper.cpp: a vocabulary of {} tokens, expected Whisper's", vocabulary);
    end = 50256 + (multilingual ? 1 : 0);
    start = end + 1;
    const int64_t shift = multilingual ? languages - 98 : 0;
    translate = 50357 + shift, transcribe = 50358 + shift, language_model = 50359 + shift, previous = 50360 + shift, no_speech = 50361 + shift, no_timestamps = 50362 + shift;
    tokens[end] = "<|endoftext|>", tokens[start] = "<|startoftranscript|>";
    for (int64_t i = 0; start + 1 + i < translate; ++i) tokens[start + 1 + i] = "<|" + std::string(language_codes()[static_cast<size_t>(i)]) + "|>";
    tokens[translate] = "<|translate|>", tokens[transcribe] = "<|transcribe|>", tokens[language_model] = "<|startoflm|>", tokens[previous] = "<|startofprev|>",
    tokens[no_speech] = "<|nospeech|>", tokens[no_timestamps] = "<|notimestamps|>";
  }
  bool multilingual;
  int64_t languages, end, start, translate, transcribe, language_model, previous, no_speech, no_timestamps;
  std::map<int64_t, std::string> tokens;
};

// GPT-2's tokenizer from the bytes of its tokens: each is what its two best parts make, the best being those of lowest rank.
std::shared_ptr<const Tokenizer> tokenizer_of(const GgmlWhisperFile& file, const Special& special) {
  const auto count = std::min<size_t>(file.vocabulary().size(), static_cast<size_t>(special.end));
  std::map<std::string_view, int32_t> ranks;
  Json vocabulary = Json::object(), merges = Json::array(), added = Json::array();
  std::vector<std::string> spelled(count);
  for (size_t i = 0; i < count; ++i) {
    text::append_byte_spelling(spelled[i], file.vocabulary()[i]);
    if (ranks.emplace(file.vocabulary()[i], static_cast<int32_t>(i)).second) vocabulary[spelled[i]] = i;
  }
  for (size_t i = 0; i < count; ++i) {
    std::vector<int32_t> parts;
    const std::string_view bytes = file.vocabulary()[i];
    if (bytes.size() < 2 || bytes.size() > 256) continue;
    std::vector<std::string_view> cut;
    for (size_t b = 0; b < bytes.size(); ++b) cut.push_back(bytes.substr(b, 1));
    const auto rank_of = [&](size_t at) {
      const auto found = ranks.find(std::string_view(cut[at].data(), cut[at].size() + cut[at + 1].size()));
      return found == ranks.end() || found->second >= static_cast<int32_t>(i) ? INT32_MAX : found->second;
    };
    while (cut.size() > 2) {
      size_t best = 0;
      for (size_t at = 1; at + 1 < cut.size(); ++at)
        if (rank_of(at) < rank_of(best)) best = at;
      if (rank_of(best) == INT32_MAX) break;
      cut[best] = {cut[best].data(), cut[best].size() + cut[best + 1].size()};
      cut.erase(cut.begin() + static_cast<long>(best) + 1);
    }
    if (cut.size() != 2 || !ranks.count(cut[0]) || !ranks.count(cut[1])) continue;
    merges.push_back({spelled[static_cast<size_t>(ranks[cut[0]])], spelled[static_cast<size_t>(ranks[cut[1]])]});
  }
  for (const auto& [id, text] : special.tokens)
    added.push_back({{"id", id}, {"content", text}, {"single_word", false}, {"lstrip", false}, {"rstrip", false}, {"normalized", false}, {"special", true}});
  const Json bytes = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", true}};
  return Tokenizer::from_json(to_text({{"version", "1.0"},
                                      {"added_tokens", added},
                                      {"normalizer", nullptr},
                                      {"pre_tokenizer", bytes},
                                      {"post_processor", nullptr},
                                      {"decoder", bytes},
                                      {"model", {{"type", "BPE"}, {"vocab", vocabulary}, {"merges", merges}}}}));
}

// Tokens that are never said: what stands for noises, music and speakers in subtitles (OpenAI's non_speech_tokens).
std::set<int64_t> unspoken(const Tokenizer& tokenizer) {
  std::set<int64_t> out;
  const auto first = [&](const std::string& text, bool always) {
    const auto ids = tokenizer.encode_ids(text, false, false);
    if (!ids.empty() && (always || ids.size() == 1)) out.insert(ids[0]);
  };
  first(" -", true);
  first(" '", true);
  for (const char* symbol : {"\"", "#", "(", ")", "*", "+", "/", ":", ";", "<", "=", ">", "@", "[", "\\", "]", "^", "_", "`", "{", "|", "}", "~",
                             "\xe3\x80\x8c", "\xe3\x80\x8d", "\xe3\x80\x8e", "\xe3\x80\x8f", "<<", ">>", "<<<", ">>>", "--", "---", "-(", "-[", "('", "(\"", "((", "))",
                             "(((", ")))", "[[", "]]", "{{", "}}", "\xe2\x99\xaa\xe2\x99\xaa", "\xe2\x99\xaa\xe2\x99\xaa\xe2\x99\xaa"})
    for (const char* before : {"", " "}) first(std::string(before) + symbol, false);
  for (const char* note : {"\xe2\x99\xa9", "\xe2\x99\xaa", "\xe2\x99\xab", "\xe2\x99\xac", "\xe2\x99\xad", "\xe2\x99\xae", "\xe2\x99\xaf"})
    for (const char* before : {"", " "}) first(std::string(before) + note, true);
  return out;
}

Json settings_of(const GgmlWhisperFile& file, const Special& s, const Tokenizer& tokenizer) {
  std::set<int64_t> suppressed = unspoken(tokenizer);
  suppressed.insert({s.start, s.translate, s.transcribe, s.language_model, s.previous, s.no_speech});
  Json out = {{"bos_token_id", s.end},
              {"eos_token_id", s.end},
              {"pad_token_id", s.end},
              {"decoder_start_token_id", s.start},
              {"max_length", file.sizes().n_text_ctx},
              {"max_initial_timestamp_index", 50},
              {"no_timestamps_token_id", s.no_timestamps},
              {"prev_sot_token_id", s.previous},
              {"return_timestamps", false},
              {"suppress_tokens", std::vector<int64_t>(suppressed.begin(), suppressed.end())},
              {"begin_suppress_tokens", {tokenizer.encode_ids(" ", false, false).at(0), s.end}},
              {"is_multilingual", s.multilingual}};
  // As OpenAI's own code where a model names none: every head of the later half.
  for (int64_t layer = file.sizes().n_text_layer / 2; layer < file.sizes().n_text_layer; ++layer)
    for (int64_t head = 0; head < file.sizes().n_text_head; ++head) out["alignment_heads"].push_back({layer, head});
  if (!s.multilingual) {
    out["forced_decoder_ids"] = Json::array({Json::array({1, s.no_timestamps})});
    return out;
  }
  for (int64_t id = s.start + 1; id < s.translate; ++id) out["lang_to_id"][s.tokens.at(id)] = id;
  out["task_to_id"] = {{"transcribe", s.transcribe}, {"translate", s.translate}};
  out["forced_decoder_ids"] = Json::array({Json::array({1, nullptr}), Json::array({2, s.transcribe})});
  return out;
}

}  // namespace

bool is_ggml_whisper(const fs::path& path) { return fs::is_regular_file(path) && GgmlWhisperFile::is(MappedFile::open(path)->bytes()); }

GgmlWhisper open_ggml_whisper(const fs::path& path) {
  const auto file = GgmlWhisperFile::open(path);
  const GgmlWhisperFile::Sizes& n = file->sizes();
  const Special special(n.n_vocab);
  GgmlWhisper out;
  out.source = std::make_shared<GgmlWhisperTensors>(file);
  out.tokenizer = tokenizer_of(*file, special);
  out.generation_config = settings_of(*file, special, *out.tokenizer);
  out.config = {{"model_type", "whisper"},
                {"architectures", {"WhisperForConditionalGeneration"}},
                {"vocab_size", n.n_vocab},
                {"d_model", n.n_audio_state},
                {"num_mel_bins", n.n_mels},
                {"encoder_layers", n.n_audio_layer},
                {"decoder_layers", n.n_text_layer},
                {"encoder_attention_heads", n.n_audio_head},
                {"decoder_attention_heads", n.n_text_head},
                {"encoder_ffn_dim", 4 * n.n_audio_state},
                {"decoder_ffn_dim", 4 * n.n_text_state},
                {"max_source_positions", n.n_audio_ctx},
                {"max_target_positions", n.n_text_ctx},
                {"activation_function", "gelu"},
                {"bos_token_id", special.end},
                {"eos_token_id", special.end},
                {"pad_token_id", special.end},
                {"decoder_start_token_id", special.start}};
  return out;
}

}  // namespace mynah::bundle
