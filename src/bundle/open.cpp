#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>
#include <set>

#include "base/file.h"
#include "base/log.h"
#include "base/require.h"
#include "base/suggest.h"
#include "bundle/bundle.h"
#include "bundle/checkpoint_source.h"
#include "bundle/convert_sampling.h"
#include "bundle/ct2_whisper.h"
#include "bundle/ggml_whisper.h"
#include "bundle/gguf_names.h"
#include "bundle/piper.h"
#include "bundle/recognised.h"
#include "bundle/some_of.h"
#include "formats/checkpoint.h"
#include "mynah/json.h"
#include "nn/config.h"

namespace mynah::bundle {
namespace {

namespace fs = std::filesystem;

bool is_gguf(const fs::path& path) {
  if (!fs::is_regular_file(path)) return false;
  const auto file = MappedFile::open(path);
  return file->bytes().size() >= 4 && std::memcmp(file->bytes().data(), "GGUF", 4) == 0;
}

// Weights whose config may be read off their names and shapes.
bool may_be_recognised(const fs::path& path) {
  constexpr std::string_view kEndings[] = {".pth", ".pt", ".onnx", ".safetensors"};
  return std::find(std::begin(kEndings), std::end(kEndings), path.extension().string()) != std::end(kEndings) && fs::is_regular_file(path);
}

// A folder without config.json but with one GGUF file stands for that file, else one with weights that need no config. Throws usage when
// there are several.
fs::path file_of(const fs::path& path) {
  if (!fs::is_directory(path) || fs::exists(path / "config.json")) return path;
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(path))
    if (entry.path().extension() == ".gguf" && is_gguf(entry.path())) names.push_back(entry.path().filename().string());
  const bool bare = names.empty() && !Tokenizer::is_in(path);
  if (bare && fs::exists(path / "model.safetensors")) return path / "model.safetensors";
  if (bare)
    for (const auto& entry : fs::directory_iterator(path))
      if (may_be_recognised(entry.path()) && entry.path().extension() != ".safetensors") names.push_back(entry.path().filename().string());
  if (names.empty()) return path;
  std::sort(names.begin(), names.end());
  if (names.size() > 1) fail(ErrorCode::usage, "{}: holds {} files of weights, expected one: {}; name the file", path.string(), names.size(), some_of(names));
  return path / names[0];
}

// Says which weights of the file the model did not use, buffers aside.
void warn_of_unused(const Bundle& b) {
  const std::set<std::string> used(b.weights.used.begin(), b.weights.used.end());
  std::vector<std::string> unused;
  for (const auto& info : b.source->tensors()) {
    if (used.count(info.name)) continue;
    // A tied head may be stored beside the embedding it equals.
    if (!is_buffer(*b.entry, info.name) && info.name != "lm_head.weight") unused.push_back(info.name);
  }
  if (!unused.empty()) warn("{}: {} weights are not used by {}: {}", b.name, unused.size(), b.architecture(), some_of(unused));
}

// `all_train`: every weight becomes a trained parameter; otherwise those that do not may stay as the file has them.
nn::MatrixType matrix_type(const LoadOptions& options, bool all_train, bool gguf, const std::string& where) {
  switch (options.precision) {
    case Precision::bf16: return nn::MatrixType::bf16;
    case Precision::int8:
      if (options.trainable) fail(ErrorCode::usage, "{}: gradients need weights in f32 or bf16, not int8", where);
      return nn::MatrixType::int8;
    case Precision::f32: return nn::MatrixType::f32;
    case Precision::automatic:
      if (!gguf) return nn::MatrixType::f32;
      [[fallthrough]];
    case Precision::stored: break;
  }
  return all_train ? nn::MatrixType::f32 : nn::MatrixType::stored;
}

// Gives what the file lacks outside the base model as the family starts training it: the head of another task.
class NewHeadSource : public nn::WeightSource {
 public:
  NewHeadSource(nn::WeightSource& file, std::string_view base_prefix, uint64_t seed) : file_(file), base_prefix_(base_prefix), random_(seed) {}
  bool has(const std::string& name) const override { return file_.has(name); }
  nn::LoadedWeight load(const std::string& name, const Shape& shape, nn::Init init) override {
    nn::LoadedWeight found = file_.load(name, shape, init);
    const bool head = !name.starts_with(base_prefix_) || name.find("pooler") != std::string::npos;
    if (!head || (found.value.defined() && found.value.shape() == shape)) return found;
    made.push_back(name);
    return random_.load(name, shape, init);
  }
  void done_with(const Tensor& stored) override { file_.done_with(stored); }
  std::vector<std::string> made;

 private:
  nn::WeightSource& file_;
  std::string_view base_prefix_;
  nn::RandomSource random_;
};

void build(Bundle* b, const LoadOptions& options, const TrainOptions& train) {
  CheckpointSource file(b->source, b->gguf, *b->entry, b->config);
  NewHeadSource with_head(file, b->entry->base_prefix, train.seed);
  nn::WeightSource& source = train.new_head ? static_cast<nn::WeightSource&>(with_head) : file;
  b->weights.trains = train.trains;
  b->weights.in_4_bits = train.in_4_bits;
  b->weights.most_bytes = train.most_bytes;
  b->weights.adapters = train.adapters;
  b->weights.matrices = matrix_type(options, options.trainable && !train.trains, b->gguf != nullptr, b->name);
  b->weights.trainable = options.trainable;
  if (options.trainable && !train.trains && b->gguf)
    for (const auto& info : b->source->tensors())
      if (!info.dtype || is_quantized(*info.dtype))
        fail(ErrorCode::usage, "{}: {} is {}, gradients need weights stored as F32, F16 or BF16{}", b->name, info.name, info.type, train.instead);
  if (options.trainable && b->source->where().ends_with(".onnx"))
    fail(ErrorCode::usage, "{}: gradients need weights in safetensors, pytorch_model.bin or GGUF; convert the model first", b->source->where());
  b->network = b->entry->make(b->config, nn::Weights(source, b->weights));
  b->network->follow(b->weights.narrowest);
  b->weights.adapters = nullptr;  // made; the source of them need not live on
  if (!with_head.made.empty()) warn("{}: {} weights are new and drawn at random: {}", b->name, with_head.made.size(), some_of(with_head.made));
  if (!b->weights.problems.empty())
    fail(ErrorCode::failure, "{}: {} weights do not fit {}: {}", b->name, b->weights.problems.size(), b->architecture(), some_of(b->weights.problems));
}

// Metadata, and what the tensors themselves say.
Json described(const formats::GgufFile& file) {
  Json m = gguf_metadata(file);
  Json& tensors = m["tensors"] = Json::object();
  for (const auto& info : file.tensors()) {
    Json& entry = tensors[info.name] = Json::array();
    if (info.name.starts_with("rope_") && info.shape.rank() == 1)
      for (const float v : file.tensor(info.name).to_vector()) entry.push_back(v);
    else
      for (const int64_t size : info.shape.dims()) entry.push_back(size);
  }
  return m;
}

void open_gguf(Bundle* b) {
  b->gguf = formats::GgufFile::open(b->path);
  b->source = b->gguf;
  const auto architecture = b->gguf->get<std::string>("general.architecture");
  std::set<std::string> known;
  for (const ModelEntry* entry : models_entries()) {
    if (!entry->gguf.architecture) continue;
    known.emplace(entry->gguf.architecture);
    if (architecture == entry->gguf.architecture) b->entry = entry;
  }
  if (!b->entry) fail(ErrorCode::failure, "{}: architecture \"{}\" is not known; known: {}", b->name, architecture, fmt::join(known, ", "));
  b->config = b->entry->gguf.config(described(*b->gguf));
  b->entry = &find_entry(b->config, b->name);  // an architecture may stand for several families
  if (const auto* embedding = b->gguf->find_tensor("token_embd.weight"); embedding && embedding->shape.rank() == 2) b->config["vocab_size"] = embedding->shape[0];
  b->config["tie_word_embeddings"] = !b->gguf->contains("output.weight");
  b->generation_config = sampling_of(*b->gguf);
  for (const auto& [key, name] : {std::pair{"tokenizer.ggml.bos_token_id", "bos_token_id"},
                                  {"tokenizer.ggml.eos_token_id", "eos_token_id"},
                                  {"tokenizer.ggml.padding_token_id", "pad_token_id"}})
    if (const auto* value = b->gguf->find(key)) b->generation_config[name] = value->as_int();
  // End of a turn and of a message end an answer too.
  for (const char* key : {"tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"}) {
    const auto* value = b->gguf->find(key);
    if (!value) continue;
    Json& ends = b->generation_config["eos_token_id"];
    if (!ends.is_array()) ends = ends.is_null() ? Json::array() : Json::array({ends});
    if (std::find(ends.begin(), ends.end(), Json(value->as_int())) == ends.end()) ends.push_back(value->as_int());
  }
}

// The family of a checkpoint whose config names none: the one whose own prefix its weights carry ("bert."), as old ones were saved.
std::string model_type_of(const formats::TensorSource& source) {
  for (const ModelEntry* entry : models_entries())
    for (const auto& info : source.tensors())
      if (info.name.starts_with(std::string(entry->model_type) + ".")) return entry->model_type;
  return "";
}

// generation_config.json; old checkpoints without one keep its settings in config.json, or in the text model's part of it.
Json generation_settings(const fs::path& folder, const Json& config) {
  if (fs::exists(folder / "generation_config.json")) return read_json_file(folder / "generation_config.json");
  Json out = Json::object();
  for (const Json& part : {config, config.value("decoder", Json()), config.value("text_config", Json())})
    for (const char* key :
         {"max_length", "min_length", "do_sample", "early_stopping", "num_beams", "temperature", "top_k", "top_p", "typical_p", "repetition_penalty",
          "length_penalty", "no_repeat_ngram_size", "encoder_no_repeat_ngram_size", "bad_words_ids", "num_return_sequences", "bos_token_id",
          "pad_token_id", "eos_token_id", "decoder_start_token_id", "forced_bos_token_id", "forced_eos_token_id", "remove_invalid_values",
          "exponential_decay_length_penalty", "suppress_tokens", "begin_suppress_tokens"})
      if (part.is_object() && part.contains(key) && !part[key].is_null() && !out.contains(key)) out[key] = part[key];
  return out;
}

void open_folder(Bundle* b) {
  const fs::path config = b->path / "config.json";
  if (is_adapter(b->path)) fail(ErrorCode::failure, "{}: an adapter, which is no model by itself; mynah merge {} --output-dir OUT makes one of it and its base", b->name, b->path.string());
  if (!fs::exists(config))
    fail(ErrorCode::not_found, "{}: no config.json; expected a folder in Hugging Face layout, a .gguf file or a Piper voice", b->name);
  if (is_ct2(b->path)) {
    Ct2Whisper whisper = open_ct2_whisper(b->path);
    b->config = std::move(whisper.config);
    b->generation_config = std::move(whisper.generation_config);
    b->source = std::move(whisper.source);
    b->entry = &find_entry(b->config, config.string());
    return;
  }
  b->config = read_json_file(config);
  require(b->config.is_object(), "{}: not a JSON object", config.string());
  if (!b->config.contains("model_type") && !b->config.contains("architectures"))
    if (const std::string type = model_type_of(*formats::open_checkpoint(b->path)); !type.empty()) b->config["model_type"] = type;
  b->entry = &find_entry(b->config, config.string());
  b->generation_config = generation_settings(b->path, b->config);
  if (b->entry->generation) b->entry->generation(b->config, &b->generation_config);
}

void open_recognised(Bundle* b) {
  b->source = formats::open_checkpoint(b->path);
  b->config = recognised(*b->source);
  require(!b->config.is_null(), "{}: weights of an unknown network; expected those of YOLOX or YOLO, or a folder with config.json", b->name);
  b->entry = &find_entry(b->config, b->name);
  b->generation_config = Json::object();
}

void open_ggml(Bundle* b) {
  GgmlWhisper whisper = open_ggml_whisper(b->path);
  b->config = std::move(whisper.config);
  b->generation_config = std::move(whisper.generation_config);
  b->source = std::move(whisper.source);
  b->tokenizer = std::move(whisper.tokenizer);
  b->entry = &find_entry(b->config, b->name);
}

void open_text(Bundle* b) {
  if (b->tokenizer) return;  // its file is the model's own
  b->text_path = b->path;
  std::string source;
  if (b->gguf) {
    if (b->gguf->find("tokenizer.ggml.model")) b->tokenizer = gguf_tokenizer(b->gguf);
    source = b->gguf->get<std::string>("tokenizer.chat_template", "");
  } else {
    b->tokenizer = open_tokenizer(b->path);
    if (fs::exists(b->path / "chat_template.jinja")) source = read_text_file(b->path / "chat_template.jinja", 4 << 20);
    else if (b->tokenizer) source = b->tokenizer->chat_template();
  }
  if (!source.empty()) b->chat_template = ChatTemplate::parse(source, b->path.filename().string());
}

// Names the architecture with this head that is most alike to the checkpoint's own. Returns whether it is another one.
bool choose_head(Bundle* b, nn::HeadKind head) {
  if (nn::head_kind(b->config) == head && b->config.contains("architectures")) return false;
  const std::string own = b->architecture();
  std::string_view best;
  size_t most = 0;
  for (const std::string_view name : b->entry->architectures) {
    if (nn::head_kind({{"architectures", {name}}}) != head) continue;
    const auto common = static_cast<size_t>(std::mismatch(name.begin(), name.end(), own.begin(), own.end()).first - name.begin());
    if (best.empty() || common > most) {
      best = name;
      most = common;
    }
  }
  if (best.empty())
    fail(ErrorCode::failure, "{}: {} has no form with the head that this needs; it has {}", b->name, own, fmt::join(b->entry->architectures, ", "));
  b->config["architectures"] = {best};
  return true;
}

}  // namespace

bool is_buffer(const ModelEntry& entry, std::string_view name) {
  return std::any_of(entry.ignored.begin(), entry.ignored.end(), [&](std::string_view pattern) {
    return pattern.ends_with('*') ? name.starts_with(pattern.substr(0, pattern.size() - 1)) : name.ends_with(pattern);
  });
}

const ModelEntry& find_entry(const Json& config, const std::string& where) {
  std::string architecture;
  if (const auto it = config.find("architectures"); it != config.end() && it->is_array() && !it->empty() && (*it)[0].is_string())
    architecture = (*it)[0].get<std::string>();
  const std::string type = nn::config_string(config, "model_type", "");
  std::vector<std::string> all;
  const ModelEntry* of_type = nullptr;
  for (const ModelEntry* entry : models_entries()) {
    for (const std::string_view name : entry->architectures) {
      if (name == architecture) return *entry;
      all.emplace_back(name);
    }
    if (type != entry->model_type) continue;
    if (architecture.empty()) return *entry;
    of_type = entry;
  }
  const std::string& wanted = architecture.empty() ? type : architecture;
  if (wanted.empty()) fail(ErrorCode::failure, "{}: names no \"architectures\" and no \"model_type\" (\"bert\", say), which tell the family; add one", where);
  if (of_type) fail(ErrorCode::failure, "{}: architecture \"{}\" is not known; of {} there are {}", where, wanted, type, fmt::join(of_type->architectures, ", "));
  constexpr size_t kLongest = 100;  // of names that are compared with all others
  const std::string near = wanted.size() <= kLongest ? did_you_mean(wanted, all) : "";
  fail(ErrorCode::failure, "{}: architecture \"{}\" is not known{}", where, wanted, near.empty() ? "; docs/models.md lists those that are" : near);
}

const nn::CausalLM& Bundle::causal_lm() const {
  const nn::CausalLM* lm = network ? network->causal_lm() : nullptr;
  require(lm != nullptr, "{}: {} does not generate text", name, architecture());
  return *lm;
}

std::string Bundle::architecture() const {
  if (const auto it = config.find("architectures"); it != config.end() && it->is_array() && !it->empty() && (*it)[0].is_string())
    return (*it)[0].get<std::string>();
  return std::string(entry->architectures[0]);
}

namespace {
AdapterOpener& adapter_opener() {
  static AdapterOpener opener;
  return opener;
}
}  // namespace

void open_adapters_by(AdapterOpener opener) { adapter_opener() = std::move(opener); }

bool is_adapter(const fs::path& path) { return fs::exists(path / "adapter_config.json") && !fs::exists(path / "config.json"); }

std::shared_ptr<Bundle> open(const fs::path& path, const LoadOptions& options, Parts parts, const TrainOptions& train) {
  if (!fs::exists(path)) fail(ErrorCode::not_found, "{}: no such file or folder", path.string());
  if (adapter_opener() && !options.trainable && is_adapter(path)) return adapter_opener()(path, options, parts);
  auto b = std::make_shared<Bundle>();
  b->name = options.name.empty() ? path.string() : options.name;
  b->path = file_of(path);
  if (is_gguf(b->path)) {
    open_gguf(b.get());
  } else if (is_ggml_whisper(b->path)) {
    open_ggml(b.get());
  } else if (const auto voice = piper_voice(path)) {
    PiperVoice piper = open_piper(*voice);
    b->path = *voice;
    b->config = std::move(piper.config);
    b->generation_config = Json::object();
    b->source = std::move(piper.weights);
    b->entry = &find_entry(b->config, voice->string());
  } else if (may_be_recognised(b->path)) {
    open_recognised(b.get());
  } else if (fs::is_directory(path)) {
    open_folder(b.get());
    if (parts.network && !b->source) b->source = formats::open_checkpoint(path);
  } else {
    fail(ErrorCode::integrity, "{}: not a GGUF file; expected a .gguf file, a Piper voice (.onnx beside its .onnx.json), weights of YOLOX or YOLO, or a folder in Hugging Face layout", b->name);
  }
  const bool other_head = parts.head && choose_head(b.get(), parts.head(*b));
  if (train.edit_config) train.edit_config(&b->config);
  // Weights alone, beside which nothing lies.
  const bool alone = !b->gguf && fs::is_regular_file(b->path);
  if (parts.tokenizer && !alone) open_text(b.get());
  if (parts.network) build(b.get(), options, train);
  if (parts.network && !other_head) warn_of_unused(*b);
  return b;
}

std::shared_ptr<Bundle> open_text_only(const fs::path& path, const std::string& name) {
  if (!fs::exists(path)) fail(ErrorCode::not_found, "{}: no such file or folder", path.string());
  auto b = std::make_shared<Bundle>();
  b->name = name.empty() ? path.string() : name;
  b->path = path;
  if (!Tokenizer::is_in(path)) b->path = file_of(path);
  require(b->path.extension() != ".onnx", "{}: a voice has no tokenizer", b->name);
  if (is_gguf(b->path)) b->gguf = formats::GgufFile::open(b->path);
  open_text(b.get());
  require(b->tokenizer != nullptr, "{}: no tokenizer found", b->name);
  return b;
}

namespace {

// Says how large a network is before it is made: its weights are memory that nobody touches.
class Measure : public nn::WeightSource {
 public:
  explicit Measure(size_t most_bytes) : most_(most_bytes) {}
  bool has(const std::string&) const override { return true; }
  nn::LoadedWeight load(const std::string& name, const Shape& shape, nn::Init) override {
    bytes_ += static_cast<size_t>(shape.numel()) * sizeof(float);
    if (bytes_ > most_)
      fail(ErrorCode::does_not_fit, "memory: weights of more than {:.1f} GB; with gradients and optimiser that is more than the machine has; make the model smaller",
           static_cast<double>(most_) / 1e9);
    return {Tensor::empty(shape), name, {}};
  }

 private:
  size_t most_, bytes_ = 0;
};

}  // namespace

std::shared_ptr<Bundle> create(const Json& config, uint64_t seed, size_t most_bytes) {
  auto b = std::make_shared<Bundle>();
  b->name = "the new model";
  b->config = config;
  b->generation_config = Json::object();
  b->entry = &find_entry(config, "config");
  if (!config.contains("architectures")) b->config["architectures"] = {b->entry->architectures[0]};
  const nn::ConfigKeys keys;
  if (most_bytes > 0) {
    Measure measure(most_bytes);
    nn::WeightList unused;
    b->entry->make(b->config, nn::Weights(measure, unused));
  }
  b->weights.trainable = true;
  nn::RandomSource source(seed);
  b->network = b->entry->make(b->config, nn::Weights(source, b->weights));
  for (const auto& [key, value] : config.items())
    if (const std::string meant = keys.meant_by(key); !meant.empty()) warn("config: nothing reads \"{}\"; did you mean \"{}\"?", key, meant);
  return b;
}

std::shared_ptr<const Tokenizer> open_tokenizer(const fs::path& path) {
  if (fs::is_regular_file(path)) return is_gguf(path)           ? gguf_tokenizer(formats::GgufFile::open(path))
                                      : is_ggml_whisper(path) ? open_ggml_whisper(path).tokenizer
                                                              : Tokenizer::from_folder(path);
  return Tokenizer::is_in(path) ? Tokenizer::from_folder(path) : nullptr;
}

}  // namespace mynah::bundle
