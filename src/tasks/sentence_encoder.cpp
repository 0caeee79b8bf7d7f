#include "tasks/sentence_encoder.h"

#include <algorithm>
#include <cmath>

#include "base/require.h"
#include "base/unicode.h"
#include "formats/checkpoint.h"
#include "nn/config.h"
#include "tasks/characters.h"
#include "tasks/encode.h"

namespace mynah::tasks {
namespace {

namespace fs = std::filesystem;

Json json_if_there(const fs::path& path) { return fs::exists(path) ? read_json_file(path) : Json::object(); }

}  // namespace

SentenceEncoder::SentenceEncoder(const OpenTask& task) : task_(task) {
  const fs::path& folder = task.bundle().path;
  const bool is_folder = fs::is_directory(folder);
  const Json modules = is_folder ? json_if_there(folder / "modules.json") : Json::object();
  if (!modules.is_array()) {
    pools_ = {Pool::mean};
    steps_ = {{.normalize = true}};
  } else {
    for (const Json& module : modules) {
      const std::string type = nn::config_string(module, "type", ""), path = nn::config_string(module, "path", "");
      const std::string name = type.substr(type.rfind('.') + 1);
      require(path.find("..") == std::string::npos && !fs::path(path).is_absolute(), "{}: modules.json names the folder {}", folder.string(), path);
      if (name == "Pooling") read_pooling(json_if_there(folder / path / "config.json"));
      else if (name == "Dense") read_dense(folder / path);
      else if (name == "Normalize") steps_.push_back({.normalize = true});
      else if (name != "Transformer" && name != "Dropout")
        fail(ErrorCode::failure, "{}: modules.json has a {}, expected Transformer, Pooling, Dense or Normalize", folder.string(), type);
    }
    require(!pools_.empty(), "{}: modules.json has no pooling", folder.string());
  }
  const Json settings = is_folder ? json_if_there(folder / "sentence_bert_config.json") : Json::object();
  lower_case_ = nn::config_bool(settings, "do_lower_case", false);
  cut_.truncation = Truncation::longest_first;
  cut_.max_length = nn::config_int(settings, "max_seq_length", 0, 0);
  if (*cut_.max_length == 0) {
    cut_.max_length = nn::config_int(task.bundle().config, "max_position_embeddings", int64_t{1} << 30, 1);
    if (const auto most = task.tokenizer().model_max_length()) cut_.max_length = std::min(*cut_.max_length, *most);
  }
  if (is_folder) prompts_ = json_if_there(folder / "config_sentence_transformers.json");
}

void SentenceEncoder::read_pooling(const Json& config) {
  constexpr std::pair<const char*, Pool> kModes[] = {{"pooling_mode_cls_token", Pool::cls},
                                                     {"pooling_mode_max_tokens", Pool::max},
                                                     {"pooling_mode_mean_tokens", Pool::mean},
                                                     {"pooling_mode_mean_sqrt_len_tokens", Pool::mean_sqrt_len},
                                                     {"pooling_mode_weightedmean_tokens", Pool::weighted_mean},
                                                     {"pooling_mode_lasttoken", Pool::last}};
  for (const auto& [key, pool] : kModes)
    if (nn::config_bool(config, key, pool == Pool::mean && !config.contains("pooling_mode_cls_token"))) pools_.push_back(pool);
  pools_prompt_ = nn::config_bool(config, "include_prompt", true);
}

void SentenceEncoder::read_dense(const fs::path& folder) {
  const Json config = read_json_file(folder / "config.json");
  const auto file = formats::open_checkpoint(folder);
  Dense dense;
  dense.weight = to(file->tensor("linear.weight"), DType::f32);
  require(dense.weight.rank() == 2, "{}: linear.weight has shape {}, expected [out, in]", folder.string(), dense.weight.shape().str());
  if (nn::config_bool(config, "bias", true)) {
    dense.bias = to(file->tensor("linear.bias"), DType::f32);
    require(dense.bias.numel() == dense.weight.size(0), "{}: linear.bias has shape {}, expected [{}]", folder.string(), dense.bias.shape().str(), dense.weight.size(0));
  }
  const std::string function = nn::config_string(config, "activation_function", "torch.nn.modules.activation.Tanh");
  const std::string name = function.substr(function.rfind('.') + 1);
  constexpr std::pair<std::string_view, Activation> kActivations[] = {
      {"Identity", Activation::none}, {"Tanh", Activation::tanh}, {"ReLU", Activation::relu}, {"GELU", Activation::gelu}, {"Sigmoid", Activation::sigmoid}};
  const auto* known = std::find_if(std::begin(kActivations), std::end(kActivations), [&](const auto& a) { return a.first == name; });
  require(known != std::end(kActivations), "{}: activation {} is not known", folder.string(), function);
  dense.activation = known->second;
  steps_.push_back({.normalize = false, .dense = std::move(dense)});
}

std::string SentenceEncoder::prompt(const std::optional<std::string>& name) const {
  const Json all = prompts_.contains("prompts") && prompts_["prompts"].is_object() ? prompts_["prompts"] : Json::object();
  const std::string wanted = name.value_or(nn::config_string(prompts_, "default_prompt_name", ""));
  if (all.contains(wanted) && all[wanted].is_string()) return all[wanted].get<std::string>();
  if (!name) return "";
  std::string known;
  for (const auto& [key, value] : all.items()) known += (known.empty() ? "" : ", ") + key;
  fail(ErrorCode::usage, "{}: the model has no prompt \"{}\"; it has {}", task_.entry->name, *name, known.empty() ? "none" : known);
}

std::vector<float> SentenceEncoder::pooled(const std::vector<float>& tokens, size_t width, size_t first) const {
  const size_t count = tokens.size() / width;
  first = std::min(first, count - 1);
  std::vector<float> out;
  for (const Pool pool : pools_) {
    std::vector<float> v(width, pool == Pool::max ? -1e9f : 0.0f);
    const auto* row = tokens.data();
    if (pool == Pool::cls) v.assign(row, row + width);
    if (pool == Pool::last) v.assign(tokens.end() - static_cast<long>(width), tokens.end());
    if (pool != Pool::cls && pool != Pool::last) {
      float total = 0;
      for (size_t t = first; t < count; ++t) {
        const float weight = pool == Pool::weighted_mean ? static_cast<float>(t + 1) : 1.0f;
        total += weight;
        for (size_t k = 0; k < width; ++k) {
          const float x = tokens[t * width + k];
          if (pool == Pool::max) v[k] = std::max(v[k], x);
          else v[k] += weight * x;
        }
      }
      const float by = pool == Pool::max ? 1.0f : pool == Pool::mean_sqrt_len ? std::sqrt(total) : total;
      for (float& x : v) x /= by;
    }
    out.insert(out.end(), v.begin(), v.end());
  }
  return out;
}

void SentenceEncoder::apply(const Step& step, std::vector<float>& vector) const {
  if (step.normalize) {
    double sum = 0;
    for (const float x : vector) sum += static_cast<double>(x) * x;
    const auto length = static_cast<float>(std::max(std::sqrt(sum), 1e-12));
    for (float& x : vector) x /= length;
    return;
  }
  const Dense& d = step.dense;
  require(d.weight.size(1) == static_cast<int64_t>(vector.size()), "{}: a dense module takes {} numbers, the vector has {}", task_.entry->name, d.weight.size(1), vector.size());
  Tensor y = linear(Tensor::from(vector, {1, d.weight.size(1)}), d.weight, d.bias);
  switch (d.activation) {
    case Activation::none: break;
    case Activation::tanh: y = tanh(y); break;
    case Activation::relu: y = relu(y); break;
    case Activation::gelu: y = gelu(y); break;
    case Activation::sigmoid: y = sigmoid(y); break;
  }
  vector = y.to_vector();
}

std::vector<std::vector<float>> SentenceEncoder::encode(const std::vector<std::string>& texts, const std::string& prompt) const {
  std::vector<Encoding> encodings;
  for (const std::string& text : texts) {
    std::string whole = without_spaces_around(prompt + text);
    if (lower_case_) whole = unicode::to_lower(whole);
    encodings.push_back(tasks::encode(task_, {whole, std::nullopt}, cut_));
  }
  // Some models leave the tokens of the prompt out of the mean, but not those that are put before it.
  const size_t first = pools_prompt_ || prompt.empty() ? 0 : task_.tokenizer().encode_ids(prompt).size() - (task_.tokenizer().added_token_count(false) > 0 ? 1 : 0);
  std::vector<std::vector<float>> vectors(texts.size());
  forward_encodings(task_, encodings, [&](size_t row, const nn::NamedTensors& outputs, int64_t place) {
    const Tensor& hidden = hidden_states(task_, outputs);
    const std::vector<float> tokens = row_values(hidden, place, static_cast<int64_t>(encodings[row].ids.size()));
    vectors[row] = pooled(tokens, static_cast<size_t>(hidden.size(2)), first);
    for (const Step& step : steps_) apply(step, vectors[row]);
  });
  return vectors;
}

double cosine(const std::vector<float>& a, const std::vector<float>& b) {
  double ab = 0, aa = 0, bb = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    ab += static_cast<double>(a[i]) * b[i];
    aa += static_cast<double>(a[i]) * a[i];
    bb += static_cast<double>(b[i]) * b[i];
  }
  return aa > 0 && bb > 0 ? ab / std::sqrt(aa * bb) : 0;
}

}  // namespace mynah::tasks
