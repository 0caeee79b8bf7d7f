#include "bundle/ct2_whisper.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/file.h"
#include "base/require.h"
#include "formats/ctranslate2.h"
#include "nn/config.h"

namespace mynah::bundle {
namespace {

namespace fs = std::filesystem;
using formats::Ctranslate2File;

// Rows of a stored tensor; several parameters may lie in one, one after another.
struct Part {
  std::string name;  // in the file
  int64_t index = 0, parts = 1;
};

// Hugging Face's name -> where it is stored.
using Places = std::map<std::string, Part>;

void put(Places* out, const std::string& name, const std::string& stored, int64_t index = 0, int64_t parts = 1) {
  for (const char* end : {".weight", ".bias"}) {
    if (end == std::string_view(".bias") && name.ends_with("k_proj")) continue;  // stored as zeros; the network has none
    (*out)[name + end] = {stored + (end == std::string_view(".weight") ? "/weight" : "/bias"), index, parts};
  }
}
void put_norm(Places* out, const std::string& name, const std::string& stored) {
  (*out)[name + ".weight"] = {stored + "/gamma"};
  (*out)[name + ".bias"] = {stored + "/beta"};
}

void put_layer(Places* out, const std::string& name, const std::string& stored, bool decoder) {
  constexpr const char* kParts[] = {".q_proj", ".k_proj", ".v_proj"};
  for (int64_t i = 0; i < 3; ++i) put(out, name + ".self_attn" + kParts[i], stored + "/self_attention/linear_0", i, 3);
  put(out, name + ".self_attn.out_proj", stored + "/self_attention/linear_1");
  put_norm(out, name + ".self_attn_layer_norm", stored + "/self_attention/layer_norm");
  if (decoder) {
    put(out, name + ".encoder_attn.q_proj", stored + "/attention/linear_0");
    for (int64_t i = 0; i < 2; ++i) put(out, name + ".encoder_attn" + kParts[i + 1], stored + "/attention/linear_1", i, 2);
    put(out, name + ".encoder_attn.out_proj", stored + "/attention/linear_2");
    put_norm(out, name + ".encoder_attn_layer_norm", stored + "/attention/layer_norm");
  }
  put(out, name + ".fc1", stored + "/ffn/linear_0");
  put(out, name + ".fc2", stored + "/ffn/linear_1");
  put_norm(out, name + ".final_layer_norm", stored + "/ffn/layer_norm");
}

int64_t layers(const Ctranslate2File& file, const std::string& side) {
  int64_t count = 0;
  while (file.contains(side + "/layer_" + std::to_string(count) + "/ffn/linear_0/weight")) ++count;
  return count;
}

Places places_of(const Ctranslate2File& file) {
  Places out;
  for (const std::string side : {"encoder", "decoder"}) {
    const std::string name = "model." + side;
    out[name + ".embed_positions.weight"] = {side + "/position_encodings/encodings"};
    put_norm(&out, name + ".layer_norm", side + "/layer_norm");
    for (int64_t i = 0; i < layers(file, side); ++i) put_layer(&out, name + ".layers." + std::to_string(i), side + "/layer_" + std::to_string(i), side == "decoder");
  }
  put(&out, "model.encoder.conv1", "encoder/conv1");
  put(&out, "model.encoder.conv2", "encoder/conv2");
  out["model.decoder.embed_tokens.weight"] = {"decoder/embeddings/weight"};
  return out;
}

class WhisperTensors final : public formats::TensorSource {
 public:
  explicit WhisperTensors(std::shared_ptr<const Ctranslate2File> file) : TensorSource(file->where()), file_(std::move(file)) {
    for (const auto& [name, part] : places_of(*file_)) {
      const formats::TensorInfo* stored = file_->find_tensor(part.name);
      if (!stored) fail(ErrorCode::integrity, "{}: has no tensor {}; expected Whisper's", where_, part.name);
      formats::TensorInfo info = *stored;
      info.name = name;
      if (part.parts > 1) {
        if (info.shape.rank() == 0 || info.shape[0] % part.parts != 0)
          fail(ErrorCode::integrity, "{}: tensor {} has shape {}, expected rows in {} parts", where_, part.name, info.shape.str(), part.parts);
        info.shape[0] /= part.parts;
        info.bytes /= static_cast<uint64_t>(part.parts);
      }
      tensors_.push_back(std::move(info));
      parts_.push_back(part);
    }
    index_tensors();
  }

 private:
  Tensor load(size_t index) const override {
    const Part& part = parts_[index];
    const Tensor all = file_->tensor(part.name);
    if (part.parts == 1) return all;
    const Shape& shape = tensors_[index].shape;
    return all.as_strided(shape, contiguous_strides(shape), part.index * shape.numel());
  }

  std::shared_ptr<const Ctranslate2File> file_;
  std::vector<Part> parts_;
};

// The tokens by id: one a line, or a JSON array.
std::vector<std::string> vocabulary_of(const fs::path& folder) {
  if (fs::exists(folder / "vocabulary.json")) {
    const Json json = read_json_file(folder / "vocabulary.json");
    if (!json.is_array() || std::any_of(json.begin(), json.end(), [](const Json& t) { return !t.is_string(); }))
      fail(ErrorCode::integrity, "{}: expected an array of tokens", (folder / "vocabulary.json").string());
    return json.get<std::vector<std::string>>();
  }
  const std::string text = read_text_file(folder / "vocabulary.txt", 64u << 20);
  std::vector<std::string> out;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    out.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return out;
}

class Described {
 public:
  Described(const fs::path& folder, const Ctranslate2File& file)
      : file_(file), own_(read_json_file(folder / "config.json")), vocabulary_(vocabulary_of(folder)) {
    require(own_.is_object(), "{}: not a JSON object", (folder / "config.json").string());
    for (size_t i = 0; i < vocabulary_.size(); ++i) ids_.emplace(vocabulary_[i], static_cast<int64_t>(i));
  }

  Json config() const {
    const Shape words = shape("decoder/embeddings/weight", 2), mel = shape("encoder/conv1/weight", 3);
    static constexpr const char* kActivations[] = {"relu", "gelu_new", "swish", "gelu", "quick_gelu", "tanh", "sigmoid"};
    const int64_t act = number("decoder/activation", 3);
    require(act >= 0 && act < static_cast<int64_t>(std::size(kActivations)), "{}: activation {} is not known", file_.where(), act);
    const int64_t end = id("<|endoftext|>");
    return {{"model_type", "whisper"},
            {"architectures", {"WhisperForConditionalGeneration"}},
            {"vocab_size", words[0]},
            {"d_model", words[1]},
            {"num_mel_bins", mel[1]},
            {"encoder_layers", layers(file_, "encoder")},
            {"decoder_layers", layers(file_, "decoder")},
            {"encoder_attention_heads", number("encoder/num_heads", 0)},
            {"decoder_attention_heads", number("decoder/num_heads", 0)},
            {"encoder_ffn_dim", shape("encoder/layer_0/ffn/linear_0/weight", 2)[0]},
            {"decoder_ffn_dim", shape("decoder/layer_0/ffn/linear_0/weight", 2)[0]},
            {"max_source_positions", shape("encoder/position_encodings/encodings", 2)[0]},
            {"max_target_positions", shape("decoder/position_encodings/encodings", 2)[0]},
            {"activation_function", kActivations[act]},
            {"scale_embedding", false},
            {"bos_token_id", end},
            {"eos_token_id", end},
            {"pad_token_id", end},
            {"decoder_start_token_id", id("<|startoftranscript|>")}};
  }

  // What the published checkpoints' generation_config.json says.
  Json generation() const {
    const int64_t end = id("<|endoftext|>");
    Json out = {{"bos_token_id", end},
                {"eos_token_id", end},
                {"pad_token_id", end},
                {"decoder_start_token_id", id("<|startoftranscript|>")},
                {"max_length", shape("decoder/position_encodings/encodings", 2)[0]},
                {"max_initial_timestamp_index", 50},
                {"no_timestamps_token_id", id("<|notimestamps|>")},
                {"prev_sot_token_id", id("<|startofprev|>")},
                {"return_timestamps", false}};
    for (const auto& [from, to] : {std::pair{"suppress_ids", "suppress_tokens"}, {"suppress_ids_begin", "begin_suppress_tokens"}, {"alignment_heads", "alignment_heads"}})
      if (own_.contains(from) && own_[from].is_array()) out[to] = own_[from];
    // Models of English alone have the tokens of one language and say nothing of it in their prompts.
    const Json& languages = own_.contains("lang_ids") ? own_["lang_ids"] : Json::array();
    out["is_multilingual"] = languages.is_array() && languages.size() > 1;
    if (!out["is_multilingual"].get<bool>()) {
      out["forced_decoder_ids"] = Json::array({Json::array({1, id("<|notimestamps|>")})});
      return out;
    }
    for (const Json& language : languages) {
      const int64_t at = language.is_number_integer() ? language.get<int64_t>() : -1;
      require(at >= 0 && at < static_cast<int64_t>(vocabulary_.size()), "{}: lang_ids hold {}, expected ids of the vocabulary", file_.where(), language.dump());
      out["lang_to_id"][vocabulary_[static_cast<size_t>(at)]] = at;
    }
    out["task_to_id"] = {{"transcribe", id("<|transcribe|>")}, {"translate", id("<|translate|>")}};
    out["forced_decoder_ids"] = Json::array({Json::array({1, nullptr}), Json::array({2, id("<|transcribe|>")})});
    return out;
  }

 private:
  int64_t id(const std::string& token) const {
    const auto found = ids_.find(token);
    require(found != ids_.end(), "{}: its vocabulary has no {}; expected Whisper's", file_.where(), token);
    return found->second;
  }
  Shape shape(const std::string& name, int rank) const {
    const formats::TensorInfo* info = file_.find_tensor(name);
    if (!info || info->shape.rank() != rank) fail(ErrorCode::integrity, "{}: has no tensor {} with {} dimensions; expected Whisper's", file_.where(), name, rank);
    return info->shape;
  }
  int64_t number(const std::string& name, int64_t otherwise) const {
    const formats::TensorInfo* info = file_.find_tensor(name);
    if (!info) return otherwise;
    if (info->shape.numel() != 1) fail(ErrorCode::integrity, "{}: {} has shape {}, expected one number", file_.where(), name, info->shape.str());
    return static_cast<int64_t>(file_.tensor(name).to_vector()[0]);
  }

  const Ctranslate2File& file_;
  Json own_;
  std::vector<std::string> vocabulary_;
  std::map<std::string, int64_t> ids_;
};

}  // namespace

bool is_ct2(const fs::path& folder) {
  if (!fs::exists(folder / "model.bin") || !fs::exists(folder / "config.json")) return false;
  const Json config = read_json_file(folder / "config.json");
  return config.is_object() && !config.contains("model_type") && !config.contains("architectures");
}

Ct2Whisper open_ct2_whisper(const fs::path& folder) {
  const auto file = Ctranslate2File::open(folder / "model.bin");
  require(file->specification() == "WhisperSpec", "{}: a {}; of CTranslate2's models Whisper can be opened", file->where(), file->specification());
  const Described described(folder, *file);
  Ct2Whisper out;
  out.config = described.config();
  out.generation_config = described.generation();
  out.source = std::make_shared<WhisperTensors>(file);
  return out;
}

}  // namespace mynah::bundle
