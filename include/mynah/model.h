// A model opened from a folder in Hugging Face layout or a .gguf file: network, tokenizer, chat template and defaults.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "mynah/tensor.h"
#include "mynah/tokenizer.h"

namespace mynah {

// What the numbers are computed in.
enum class Precision {
  automatic,  // safetensors and .bin: f32; GGUF: as stored
  f32,        // every weight becomes f32
  stored,     // matrices keep the file's type: bf16, f16, or block-quantised with 8-bit activations
  int8,       // products read matrices and activations quantised to 8 bits; vectors and embeddings stay as they are
  bf16,       // matrices are rounded to bf16 and multiplied so, with f32 sums; vectors stay f32
};

struct LoadOptions {
  Precision precision = Precision::automatic;
  bool trainable = false;  // parameters become f32 leaves that gradients are accumulated into
  std::string name;        // what messages call the model; empty: its path
};

namespace bundle {
struct Bundle;
}

// A cheap handle; copies share the model. Safe to use from several threads for inference.
class Model {
 public:
  // `path`: a folder with config.json and weights, or a .gguf file. Throws not_found; integrity for damaged files; failure for
  // an unknown architecture and for missing or misshapen weights, naming them.
  static Model open(const std::string& path, const LoadOptions& options = {});
  // A trainable model made from the text of a config.json ({"model_type": "gpt2", "n_layer": 2, ...}). Its parameters are drawn as
  // the family starts training, from `seed`.
  static Model create(const std::string& config_json, uint64_t seed);

  // The reference implementation's forward pass: tensors by its names (input_ids, attention_mask, labels -> logits, loss).
  std::map<std::string, Tensor> forward(const std::map<std::string, Tensor>& inputs) const;
  // Name and tensor of every trainable parameter; empty unless opened as trainable or created.
  std::vector<std::pair<std::string, Tensor>> parameters() const;
  // Writes config.json, model.safetensors and what there is of tokenizer and generation settings into a folder that other tools
  // load. Throws failure unless trainable.
  void save(const std::string& folder) const;

  std::string architecture() const;                            // "LlamaForCausalLM"
  std::shared_ptr<const Tokenizer> tokenizer() const;          // null if the model comes without one
  int64_t context_length() const;                              // tokens, 0 if unlimited
  int64_t parameter_count() const;                             // elements of all weights

  bundle::Bundle& bundle() const { return *bundle_; }          // for the library itself

  explicit Model(std::shared_ptr<bundle::Bundle> bundle) : bundle_(std::move(bundle)) {}

 private:
  std::shared_ptr<bundle::Bundle> bundle_;
};

}  // namespace mynah
