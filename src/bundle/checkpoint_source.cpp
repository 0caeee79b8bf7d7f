#include "bundle/checkpoint_source.h"

#include "base/file.h"

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
  if (!gguf_) return;
  heads_ = gguf_heads(gguf_metadata(*gguf_));
  rules_ = entry_.gguf.rules(config);
}

std::string CheckpointSource::find(const std::string& name) const {
  if (gguf_) {
    const auto weight = to_gguf_name(rules_, name);
    return weight && source_->contains(weight->name) ? weight->name : "";
  }
  // The base prefix may be missing, or another: question answerers of decoders say "transformer" where others say "model".
  const std::string bases[] = {entry_.base_prefix, "model.", "transformer."};
  std::string bare = name;
  for (const std::string& base : bases)
    if (!base.empty() && bare == name && name.rfind(base, 0) == 0) bare = name.substr(base.size());
  for (const std::string& spelling : {name, bare, bases[0] + bare, bases[1] + bare, bases[2] + bare})
    for (const std::string& candidate : {spelling, old_spelling(spelling)})
      if (source_->contains(candidate)) return candidate;
  for (const auto& [ours, theirs] : entry_.renames) {
    if (!name.starts_with(ours)) continue;
    const std::string other = std::string(theirs) + name.substr(ours.size());
    if (source_->contains(other)) return other;
  }
  return "";
}

bool CheckpointSource::has(const std::string& name) const { return !find(name).empty(); }

nn::LoadedWeight CheckpointSource::load(const std::string& name, const Shape&, nn::Init) {
  nn::LoadedWeight weight;
  weight.disk_name = find(name);
  if (weight.disk_name.empty()) return weight;
  weight.value = source_->tensor(weight.disk_name);
  if (!gguf_) return weight;
  const GgufWeight place = *to_gguf_name(rules_, name);
  const GgufRule::Layout layout = place.layout;
  const Tensor stored = weight.value;
  if (layout == GgufRule::transposed) {
    weight.transposed = stored.rank() == 2;
  } else if (layout == GgufRule::stacked) {
    weight.value = part_of(stored, place.part);
    weight.part = place.part;
  } else if (layout != GgufRule::same) {
    weight.value = change_layout(layout, stored, heads_, false);
    if (layout != GgufRule::plus_one) weight.to_disk = [layout, heads = heads_](const Tensor& t) { return change_layout(layout, t, heads, true); };
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
