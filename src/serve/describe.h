// What a model's files say about it, in the words of Ollama's GET /api/tags and POST /api/show; `mynah list` and `mynah
// show` print the same.
#pragma once
#include <string>

#include "base/json.h"
#include "bundle/bundle.h"
#include "store/store.h"

namespace mynah::serve {

// What a Modelfile added to a model, kept as files with roles beside its weights.
struct ModelSettings {
  std::string template_text, system, license;
  Json parameters;  // object by option name
  Json messages;    // array
};
ModelSettings settings_of(const store::Store& store, const store::Model& model);

// A stored name as Ollama's clients know it: with a tag.
std::string tagged_name(const std::string& name);

// Of the file that holds the weights: "gguf", "safetensors", "pytorch", "onnx" or "ctranslate2".
std::string weight_format(const formats::TensorSource& source);
// The type that most weights have: "Q4_1", "F32".
std::string weight_type(const formats::TensorSource& source);

// Facts that need the file's head only.
struct Description {
  std::string format, family, architecture,
      quantisation;  // weight_format; "llama"; "LlamaForCausalLM"; weight_type
  int64_t parameters = 0, context_length = 0, embedding_length = 0;
  bool generates = false, embeds = false, tools = false, thinking = false, fills_in = false, sees = false;
  std::string chat_template;  // Jinja source; may be empty
  Json model_info;
  std::shared_ptr<bundle::Bundle> bundle;  // without its network

  bool knows_language() const { return generates || embeds; }  // others answer tasks alone: voices, classifiers, what hears or sees
};
// Throws what opening the files throws.
Description describe(const std::filesystem::path& path);
// What a template of the Modelfile's changes in it; false for one that this program cannot read, whose model keeps its
// own.
bool apply_template(Description* d, const std::string& text);

Json details_json(const Description& d);
Json capabilities_json(const Description& d);

// The body of GET /api/tags. A model that cannot be opened is listed without details.
Json tags_json(const store::Store& store);
Json tag_json(const store::Store& store, const store::Model& model);
// The body of POST /api/show of a stored model or a path. `verbose` keeps long arrays.
Json show_json(const store::Store& store, const std::filesystem::path& path, const store::Model* model, bool verbose);

// "134.5M", "7.2B"
std::string parameter_size(int64_t parameters);

}  // namespace mynah::serve
