// LoRA adapters: made anew or read from a PEFT folder, trained beside a frozen network, written as a PEFT folder.
#pragma once
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bundle/bundle.h"
#include "mynah/train.h"
#include "nn/low_rank.h"
#include "train/adapter_config.h"

namespace mynah::train {

struct LoraOptions {
  bool enabled = false;
  int64_t r = 8;
  double alpha = 16, dropout = 0;
  std::vector<std::string> target_modules;  // empty: the family's usual ones
  bool targets_are_pattern = false;         // target_modules is one regular expression of whole paths
  std::vector<std::string> modules_to_save;  // trained whole beside the adapters
  bool use_rslora = false, use_dora = false;
  std::string init = "true";                 // of A and B as PEFT names it: true, false (B random too), gaussian
  std::filesystem::path adapter;  // start from this PEFT folder
  bool load_in_4bit = false;      // the frozen matrices of plain types are kept as NF4
};

// Whether --load-in-4bit keeps a matrix of this path as NF4: those of linear maps, but of no table of words and no head.
bool is_in_4_bits(const std::string& module);

class Adapter : public nn::LowRankSource {
 public:
  // New adapters for a network of this model_type, drawn from `seed` as PEFT draws them. `task_type` is PEFT's: a classifier is trained
  // whole and kept with the adapter. Or those of options.adapter. `trainable` false: for a frozen reference.
  Adapter(const LoraOptions& options, const Json& model_config, const std::string& task_type, uint64_t seed, bool trainable);

  std::shared_ptr<const nn::LowRank> adapter(const std::string& module, int64_t out, int64_t in, const std::function<Tensor()>& weight) override;

  // Whether a weight of the network is trained beside the adapters.
  bool trains(const std::string& weight) const;
  // Call once the network is made, with the weights that are trained whole: throws usage where new adapters name a module that is not there.
  void check_found(const NamedParameters& whole) const;
  // Copies what options.adapter holds of the weights trained whole into them.
  void read_whole(const NamedParameters& whole) const;
  // The same tensors under their names in adapter_model.safetensors.
  NamedParameters named_in_file(const NamedParameters& whole) const;

  // The matrices of the adapters under PEFT's names.
  const NamedParameters& parameters() const { return parameters_; }
  // adapter_config.json and adapter_model.safetensors; `whole` are weights trained whole.
  void save(const std::filesystem::path& folder, const std::string& base_model, const NamedParameters& whole) const;

 private:
  std::string kinds_of_modules() const;
  static std::vector<std::string> kinds(const std::vector<std::string>& modules);
  void draw(Tensor* a, Tensor* b, const std::string& module) const;

  std::filesystem::path folder_;
  Json json_;  // adapter_config.json
  AdapterConfig config_;
  bool trainable_;
  uint64_t seed_;
  std::shared_ptr<const formats::TensorSource> file_;
  NamedParameters parameters_;
  std::vector<std::string> wanted_whole_;     // LoraOptions' modules_to_save
  bool targets_named_ = false;               // somebody typed them
  std::vector<std::string> seen_, adapted_;  // modules of the network, and those that have an adapter
};

// Adds the adapter of a PEFT folder to its base and writes a whole model. `base` empty: base_model_name_or_path of the folder.
// With `load_in_4bit` the base is taken as the NF4 values that the adapter was trained beside. Returns the largest change of a weight.
double merge_adapter(const std::filesystem::path& adapter, const std::filesystem::path& base, const std::filesystem::path& output_dir, bool load_in_4bit = false);
// The base with the adapter beside its weights as they are stored, to be asked, not trained. Throws failure for an adapter of another model, or
// one that comes with whole weights.
std::shared_ptr<bundle::Bundle> open_with_adapter(const std::filesystem::path& adapter, const std::filesystem::path& base, const LoadOptions& options, bundle::Parts parts);
// base_model_name_or_path of a PEFT folder.
std::string base_of_adapter(const std::filesystem::path& adapter);

}  // namespace mynah::train
