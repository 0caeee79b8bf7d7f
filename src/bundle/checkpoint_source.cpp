#include "bundle/checkpoint_source.h"

#include "base/file.h"
#include "bundle/gguf_names.h"
#include "nn/config.h"

namespace mynah::bundle {
namespace {

// Old spellings of the same parameter.
std::string old_spelling(const std::string& name) {
  for (const auto& [now, old] : {std::pair{"LayerNorm.weight", "LayerNorm.gamma"}, {"LayerNorm.bias", "LayerNorm.beta"}}) {
    const std::string ending = now;
    if (name.size() > ending.size() && name.compare(name.size() - ending.size(), ending.size(), ending) == 0)
      return name.substr(0, name.size() - ending.size()) + old;
  }
  return name;
}

}  // namespace

CheckpointSource::CheckpointSource(std::shared_ptr<const formats::TensorSource> source, std::shared_ptr<const formats::GgufFile> gguf,
                                   const ModelEntry& entry, const Json& config)
    : source_(std::move(source)), gguf_(std::move(gguf)), entry_(entry) {
  if (gguf_) {
    heads_ = nn::config_int(config, "num_attention_heads", 0, 0);
    kv_heads_ = nn::config_int(config, "num_key_value_heads", heads_, 0);
  }
}

std::string CheckpointSource::find(const std::string& name) const {
  if (gguf_) {
    const auto weight = to_gguf_name(entry_.gguf, name);
    return weight && source_->contains(weight->name) ? weight->name : "";
  }
  const std::string prefix = entry_.base_prefix;
  const std::string bare = name.rfind(prefix, 0) == 0 ? name.substr(prefix.size()) : "";
  for (const std::string& spelling : {name, bare, prefix + name})
    for (const std::string& candidate : {spelling, old_spelling(spelling)})
      if (!candidate.empty() && source_->contains(candidate)) return candidate;
  return "";
}

bool CheckpointSource::has(const std::string& name) const { return !find(name).empty(); }

nn::LoadedWeight CheckpointSource::load(const std::string& name, const Shape&, nn::Init) {
  nn::LoadedWeight weight;
  weight.disk_name = find(name);
  if (weight.disk_name.empty()) return weight;
  weight.value = source_->tensor(weight.disk_name);
  if (!gguf_) return weight;
  const auto layout = to_gguf_name(entry_.gguf, name)->layout;
  if (layout == GgufRule::transposed && weight.value.rank() == 2) weight.transposed = true;
  if (layout == GgufRule::rope_q || layout == GgufRule::rope_k) {
    const int64_t heads = layout == GgufRule::rope_q ? heads_ : kv_heads_;
    const Tensor stored = weight.value;
    weight.value = reorder_rope_rows(stored, heads, false);
    weight.to_disk = [heads](const Tensor& t) { return reorder_rope_rows(t, heads, true); };
    done_with(stored);
  }
  return weight;
}

void CheckpointSource::done_with(const Tensor& stored) {
  if (gguf_ && gguf_->mapping()) {
    const auto bytes = gguf_->mapping()->bytes();
    const auto* p = static_cast<const std::byte*>(stored.raw());
    if (p >= bytes.data() && p < bytes.data() + bytes.size()) gguf_->mapping()->drop(p, stored.nbytes());
  }
}

}  // namespace mynah::bundle
