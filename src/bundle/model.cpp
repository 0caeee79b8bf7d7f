// The public handle of an opened model.
#include "mynah/model.h"


#include "bundle/bundle.h"
#include "mynah/json.h"

namespace mynah {

Model Model::open(const std::string& path, const LoadOptions& options) { return Model(bundle::open(path, options)); }
Model Model::create(const std::string& config_json, uint64_t seed) { return Model(bundle::create(parse_json(config_json, "config"), seed)); }

std::map<std::string, Tensor> Model::forward(const std::map<std::string, Tensor>& inputs) const { return bundle_->network->forward(inputs, {}); }

std::vector<std::pair<std::string, Tensor>> Model::parameters() const {
  std::vector<std::pair<std::string, Tensor>> all;
  for (const nn::Parameter& p : bundle_->weights.parameters) all.emplace_back(p.name, p.value);
  return all;
}

void Model::save(const std::string& folder) const { bundle::save(*bundle_, folder); }

std::string Model::architecture() const { return bundle_->architecture(); }
std::shared_ptr<const Tokenizer> Model::tokenizer() const { return bundle_->tokenizer; }
int64_t Model::context_length() const { return bundle_->causal_lm().max_positions(); }

int64_t Model::parameter_count() const {
  int64_t n = 0;
  if (bundle_->source) {
    for (const auto& info : bundle_->source->tensors()) n += info.shape.numel();
  } else {
    for (const nn::Parameter& p : bundle_->weights.parameters) n += p.value.numel();
  }
  return n;
}

}  // namespace mynah
