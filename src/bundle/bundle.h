// One opened model: everything its files say, ready to use. train, tasks, serve and apps open models only through this folder.
#pragma once
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/json.h"
#include "formats/checkpoint.h"
#include "formats/gguf.h"
#include "models/model_entry.h"
#include "mynah/model.h"
#include "nn/causal_lm.h"
#include "text/template.h"

namespace mynah::bundle {

struct Bundle {
  std::filesystem::path path;
  std::string name;                              // what messages call it: as it was asked for, else its path
  Json config;                                   // config.json, or its equivalent made from GGUF metadata
  Json generation_config;                        // generation_config.json, or an empty object
  const ModelEntry* entry = nullptr;
  std::shared_ptr<const formats::TensorSource> source;
  std::shared_ptr<const formats::GgufFile> gguf; // null for other files
  nn::WeightList weights;
  std::unique_ptr<nn::Model> network;
  std::shared_ptr<const Tokenizer> tokenizer;    // may be null
  std::shared_ptr<const ChatTemplate> chat_template;  // may be null
  std::filesystem::path text_path;               // where tokenizer and template came from; empty if there are none

  // The generating side of the network; throws failure for a model that does not generate.
  const nn::CausalLM& causal_lm() const;
  std::string architecture() const;
};

// The prompt that the chat template makes of messages [{role, content}, ...]; `tools` may be null. Throws failure without a template.
// `generated`: ChatTemplate::render.
std::string render_chat(const Bundle& b, const Json& messages, const Json& tools, bool generation_prompt,
                        std::vector<std::pair<size_t, size_t>>* generated = nullptr);

// Whether a weight of this name is a buffer that files may hold and models of the family do not read.
bool is_buffer(const ModelEntry& entry, std::string_view name);

// What of a model is opened.
struct Parts {
  bool network = true, tokenizer = true;
  // Chooses the head to open the model with, given what its files say (kind and family); absent: config.json's own. What the
  // checkpoint holds beyond that head is left alone.
  std::function<nn::HeadKind(const Bundle&)> head = {};
};

// How a model is opened to be trained.
struct TrainOptions {
  std::function<void(Json* config)> edit_config;          // before the network is made: another head, say
  bool new_head = false;                                  // weights that the file lacks outside the base model are drawn from `seed`
  uint64_t seed = 0;
  std::function<bool(const std::string& name)> trains;    // which weights are trained, if trainable; empty: all
  size_t most_bytes = 0;                                  // of trained weights; more throw does_not_fit. 0: any number
  std::function<bool(const std::string& name)> in_4_bits;  // which matrices are kept as NF4; empty: none
  nn::LowRankSource* adapters = nullptr;                  // adapters beside the matrices
  std::string instead;                                    // what to do where the file is quantised and cannot be trained: "; ..."
};

std::shared_ptr<Bundle> open(const std::filesystem::path& path, const LoadOptions& options, Parts parts = {}, const TrainOptions& train = {});

// A folder that holds a PEFT adapter alone.
bool is_adapter(const std::filesystem::path& path);
// From now on open() leaves adapters that are to answer, not to be trained, to `opener`, which finds their base. Set once, before other threads.
using AdapterOpener = std::function<std::shared_ptr<Bundle>(const std::filesystem::path& adapter, const LoadOptions& options, Parts parts)>;
void open_adapters_by(AdapterOpener opener);

// Writes the model as a folder in Hugging Face layout: config.json, model.safetensors, generation_config.json for a model that
// generates, and the tokenizer's files. Throws failure unless all weights are trainable. Copies of the text files alone: save_text.
void save(const Bundle& b, const std::filesystem::path& folder);
void save_text(const Bundle& b, const std::filesystem::path& folder);

// Tokenizer and chat template alone, of a GGUF file or a folder that may hold nothing else. `name`: as LoadOptions has it. Throws failure if
// there is no tokenizer.
std::shared_ptr<Bundle> open_text_only(const std::filesystem::path& path, const std::string& name = "");

// A network made from a config alone, its parameters drawn from `seed`, trainable. Weights of more than `most_bytes` (0: any number) are refused
// before they are made (does_not_fit).
std::shared_ptr<Bundle> create(const Json& config, uint64_t seed, size_t most_bytes = 0);

// config.json of a folder or GGUF file, and the family that knows it. Throws failure for an unknown one, naming what is known.
const ModelEntry& find_entry(const Json& config, const std::string& where);

// Tokenizer and template of a folder or a GGUF file; null if there is none.
std::shared_ptr<const Tokenizer> open_tokenizer(const std::filesystem::path& path);
std::shared_ptr<const Tokenizer> gguf_tokenizer(const std::shared_ptr<const formats::GgufFile>& file);
// The tokenizer.ggml.* keys; its views lie in `file`, which must outlive it.
GgufVocabulary gguf_vocabulary(const formats::GgufFile& file);

// The shortest decimal number that the f32 stands for: 1e-05, not 9.999999747378752e-06.
double as_written(float value);

// Scalar metadata of a GGUF file as JSON, the keys of its architecture first and without their prefix.
Json gguf_metadata(const formats::GgufFile& file);

}  // namespace mynah::bundle
