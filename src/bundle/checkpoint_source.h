// Weights of checkpoint files for nn::Weights: finds a name under its spellings (missing base prefix, old names, GGUF names) and
// brings it into the layout that models use.
#pragma once
#include <memory>
#include <string>

#include "bundle/bundle.h"
#include "bundle/gguf_names.h"

namespace mynah::bundle {

class CheckpointSource : public nn::WeightSource {
 public:
  CheckpointSource(std::shared_ptr<const formats::TensorSource> source, std::shared_ptr<const formats::GgufFile> gguf, const ModelEntry& entry,
                   const Json& config);

  bool has(const std::string& name) const override;
  nn::LoadedWeight load(const std::string& name, const Shape& shape, nn::Init init) override;
  void done_with(const Tensor& stored) override;

 private:
  std::string find(const std::string& name) const;  // the name in the file; empty if it is not there

  std::shared_ptr<const formats::TensorSource> source_;
  std::shared_ptr<const formats::GgufFile> gguf_;
  const ModelEntry& entry_;
  GgufHeads heads_;
  std::span<const GgufRule> rules_;
};

}  // namespace mynah::bundle
