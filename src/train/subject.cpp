#include "train/subject.h"

#include "base/json.h"
#include "base/require.h"
#include "nn/config.h"
#include "nn/head_kind.h"
#include "train/checkpoint.h"
#include "train/memory.h"
#include "train/samples.h"

namespace mynah::train {
namespace {

// "Llama" of "LlamaForCausalLM", "GPT2" of "GPT2LMHeadModel".
std::string family_of(const std::string& architecture) {
  for (const char* end : {"For", "LMHeadModel", "EncoderModel", "Model"})
    if (const size_t at = architecture.rfind(end); at != std::string::npos && at > 0) return architecture.substr(0, at);
  return architecture;
}

void change_head(const SubjectOptions& o, Json* config) {
  const auto list = config->find("architectures");
  const std::string now = list != config->end() && list->is_array() && !list->empty() ? (*list)[0].get<std::string>() : "";
  require(!now.empty(), "{}: config.json names no architecture", o.model_name);
  // A model that answers questions by a head of another name keeps it; XLNet's new one is the plain one, as in the reference.
  const bool answers = o.head == "ForQuestionAnswering";
  if (!o.head.empty() && !(answers && now.find(o.head) != std::string::npos)) (*config)["architectures"] = {family_of(now) + o.head + (answers && now.starts_with("XLNet") ? "Simple" : "")};
  // The end of a row is found by its padding; models without a padding token take the end token, as TRL does.
  if (o.head == "ForSequenceClassification" && (!config->contains("pad_token_id") || (*config)["pad_token_id"].is_null()))
    if (const auto tokenizer = bundle::open_tokenizer(o.model))
      if (const auto pad = tokenizer->pad_id() ? tokenizer->pad_id() : tokenizer->eos_id()) (*config)["pad_token_id"] = *pad;
  if (!o.problem_type.empty()) (*config)["problem_type"] = o.problem_type;
  if (o.labels.empty()) return;
  Json names = Json::object(), ids = Json::object();
  for (size_t i = 0; i < o.labels.size(); ++i) {
    names[std::to_string(i)] = o.labels[i];
    ids[o.labels[i]] = i;
  }
  config->erase("num_labels");
  (*config)["id2label"] = names;
  (*config)["label2id"] = ids;
}

bundle::TrainOptions train_options(const SubjectOptions& o, Adapter* adapter) {
  bundle::TrainOptions t;
  t.seed = o.seed;
  if (!o.head.empty() || !o.labels.empty()) {
    t.new_head = true;
    t.edit_config = [&o](Json* config) { change_head(o, config); };
  }
  t.most_bytes = most_weight_bytes();
  t.instead = "; --lora-r 8 trains adapters beside the weights as they are (QLoRA)";
  t.adapters = adapter;
  if (o.lora.load_in_4bit) t.in_4_bits = is_in_4_bits;
  if (adapter) t.trains = [adapter](const std::string& name) { return adapter->trains(name); };
  return t;
}

// PEFT's name of what a model with this head does.
std::string task_type(const SubjectOptions& o, const Json& config) {
  if (o.head == "ForSequenceClassification") return "SEQ_CLS";
  if (o.head == "ForTokenClassification") return "TOKEN_CLS";
  if (o.head == "ForQuestionAnswering") return "QUESTION_ANS";
  if (o.head == "Model") return "FEATURE_EXTRACTION";
  return nn::config_bool(config, "is_encoder_decoder", config.value("model_type", "") == "t5") ? "SEQ_2_SEQ_LM" : "CAUSAL_LM";
}

Json config_of(const SubjectOptions& o) { return bundle::open(o.model, {.name = o.model_name}, {.network = false, .tokenizer = false})->config; }

}  // namespace

Trained whole_model(bundle::Bundle& b) {
  Trained trained;
  for (const nn::Parameter& p : b.weights.parameters) trained.parameters.emplace_back(p.name, p.value);
  trained.save = [&b](const std::filesystem::path& folder) { bundle::save(b, folder); };
  // Running statistics move too.
  NamedParameters stored = trained.parameters;
  for (const nn::Parameter& p : b.weights.buffers) stored.emplace_back(p.name, p.value);
  trained.restore = [stored](const std::filesystem::path& folder) { read_tensors(folder / "model.safetensors", stored); };
  return trained;
}

Subject open_subject(const SubjectOptions& o) {
  Subject s;
  if (o.from_scratch) {
    if (o.lora.enabled) fail(ErrorCode::usage, "--from-scratch: adapters need a model that knows something; leave LoRA away");
    Json config = read_json_file(o.model / "config.json");
    if (!o.head.empty() || !o.labels.empty()) change_head(o, &config);
    s.bundle = bundle::create(config, o.seed, most_weight_bytes());
    s.bundle->path = o.model;
    s.bundle->name = o.model_name;
    s.bundle->tokenizer = bundle::open_tokenizer(o.model);
    if (s.bundle->tokenizer) s.bundle->text_path = o.model;
    s.trained = whole_model(*s.bundle);
    s.trained.sample = sampler(s.bundle);
    return s;
  }
  if (o.lora.load_in_4bit && !o.lora.enabled) fail(ErrorCode::usage, "--load-in-4bit: weights of 4 bits cannot be trained; give --lora-r or --adapter");
  if (!o.lora.enabled) {
    s.bundle = bundle::open(o.model, {.precision = Precision::f32, .trainable = true, .name = o.model_name}, {}, train_options(o, nullptr));
    s.trained = whole_model(*s.bundle);
    s.trained.sample = sampler(s.bundle);
    return s;
  }
  const Json config = config_of(o);
  s.adapter = std::make_shared<Adapter>(o.lora, config, task_type(o, config), o.seed, true);
  s.bundle = bundle::open(o.model, {.precision = Precision::automatic, .trainable = true, .name = o.model_name}, {}, train_options(o, s.adapter.get()));
  NamedParameters whole;
  for (const nn::Parameter& p : s.bundle->weights.parameters) whole.emplace_back(p.name, p.value);
  s.adapter->check_found(whole);
  s.adapter->read_whole(whole);
  NamedParameters all = s.adapter->parameters();
  all.insert(all.end(), whole.begin(), whole.end());
  s.trained.parameters = all;
  s.trained.save = [adapter = s.adapter, b = s.bundle, whole, name = o.model_name](const std::filesystem::path& folder) {
    adapter->save(folder, name, whole);
    bundle::save_text(*b, folder);
  };
  s.trained.sample = sampler(s.bundle);
  s.trained.restore = [parts = s.adapter->parameters(), whole = s.adapter->named_in_file(whole)](const std::filesystem::path& folder) {
    NamedParameters tensors = parts;
    tensors.insert(tensors.end(), whole.begin(), whole.end());
    read_tensors(folder / "adapter_model.safetensors", tensors);
  };
  return s;
}

std::shared_ptr<bundle::Bundle> open_reference(const SubjectOptions& o, bool tokenizer) {
  std::unique_ptr<Adapter> adapter;
  if (!o.lora.adapter.empty()) adapter = std::make_unique<Adapter>(o.lora, config_of(o), "CAUSAL_LM", o.seed, false);
  bundle::TrainOptions t = train_options(o, nullptr);
  t.adapters = adapter.get();
  return bundle::open(o.model, {.precision = Precision::automatic, .trainable = false, .name = o.model_name}, {.network = true, .tokenizer = tokenizer}, t);
}

}  // namespace mynah::train
