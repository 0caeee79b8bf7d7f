// A text's vector, as sentence-transformers computes it: the encoder, then the modules that modules.json lists (pooling, a linear
// map, normalisation). A model without modules.json gives the mean of its tokens, normalised.
#pragma once
#include <string>
#include <vector>

#include "mynah/ops.h"
#include "tasks/task_entry.h"

namespace mynah::tasks {

class SentenceEncoder {
 public:
  // Reads modules.json and what it names. Throws failure for a module that is not known.
  explicit SentenceEncoder(const OpenTask& task);

  // `prompt` goes before every text. Vectors of one length each. Texts that are too long are cut, which the log says.
  std::vector<std::vector<float>> encode(const std::vector<std::string>& texts, const std::string& prompt = "") const;
  // The prompt of this name in config_sentence_transformers.json; without a name its default one, or none. Throws usage for a
  // name that is not there.
  std::string prompt(const std::optional<std::string>& name) const;

 private:
  enum class Pool { cls, max, mean, mean_sqrt_len, weighted_mean, last };
  enum class Activation { none, tanh, relu, gelu, sigmoid };
  struct Dense {
    Tensor weight, bias;
    Activation activation;
  };
  // After pooling: a linear map, or normalisation where `normalize` is set.
  struct Step {
    bool normalize = false;
    Dense dense = {};
  };

  void read_pooling(const Json& config);
  void read_dense(const std::filesystem::path& folder);
  std::vector<float> pooled(const std::vector<float>& tokens, size_t width, size_t first) const;
  void apply(const Step& step, std::vector<float>& vector) const;

  const OpenTask& task_;
  std::vector<Pool> pools_;
  std::vector<Step> steps_;
  EncodeOptions cut_;
  bool lower_case_ = false, pools_prompt_ = true;
  Json prompts_ = Json::object();
};

// Of two vectors of one length; 0 when one of them is 0.
double cosine(const std::vector<float>& a, const std::vector<float>& b);

}  // namespace mynah::tasks
