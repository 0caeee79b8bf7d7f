// Pictures and texts in one space: what models such as CLIP and SigLIP make of both.
#include <algorithm>
#include <cmath>

#include "base/require.h"
#include "mynah/autograd.h"
#include "nn/config.h"
#include "tasks/candidate_labels.h"
#include "tasks/encode.h"
#include "tasks/options.h"
#include "tasks/picture_results.h"
#include "tasks/pictures.h"
#include "tasks/scores.h"

namespace mynah::tasks {
namespace {

constexpr int64_t kSiglipTokens = 64;

bool is_siglip(const OpenTask& task) { return nn::config_string(task.bundle().config, "model_type", "").find("siglip") != std::string::npos; }

Tensor integers(const std::vector<Encoding>& rows, std::vector<int32_t> Encoding::*field) {
  std::vector<int64_t> all;
  for (const Encoding& e : rows) all.insert(all.end(), (e.*field).begin(), (e.*field).end());
  return Tensor::from(std::span<const int64_t>(all), {static_cast<int64_t>(rows.size()), static_cast<int64_t>(rows[0].ids.size())});
}

// The text side of the model's inputs, with tokenizer arguments of the caller.
nn::NamedTensors text_inputs(const OpenTask& task, const std::vector<std::string>& texts, const Json& more) {
  require(task.bundle().tokenizer != nullptr, "{}: {} reads no texts, it comes without a tokenizer", task.entry->name, task.bundle().name);
  Json arguments = is_siglip(task) ? Json{{"padding", "max_length"}, {"max_length", kSiglipTokens}, {"truncation", true}} : Json{{"padding", true}};
  arguments.update(more);
  const EncodeOptions encoding = encode_options(arguments);
  std::vector<Encoding> rows;
  for (const std::string& text : texts) rows.push_back(encode(task, {text, std::nullopt}, encoding));
  PaddingOptions padding;
  if (arguments["padding"] == "max_length") padding.length = encoding.max_length.value_or(task.tokenizer().model_max_length().value_or(0));
  task.tokenizer().pad(rows, padding);
  nn::NamedTensors out{{"input_ids", integers(rows, &Encoding::ids)}};
  const auto names = task.tokenizer_config.find("model_input_names");
  const bool masked = names == task.tokenizer_config.end() ? !is_siglip(task) : std::find(names->begin(), names->end(), Json("attention_mask")) != names->end();
  if (masked) out["attention_mask"] = integers(rows, &Encoding::attention_mask);
  return out;
}

std::vector<float> vector_of(const OpenTask& task, const nn::NamedTensors& outputs, const char* name) {
  const auto it = outputs.find(name);
  require(it != outputs.end(), "{} does not see pictures and texts in one space; CLIP and SigLIP do", task.bundle().architecture());
  std::vector<float> vector = it->second.to_vector();  // models of a single tower leave its length as it is
  require(to_unit_length(vector), "{}: the model gives a vector without direction", task.bundle().name);
  return vector;
}

}  // namespace

nn::NamedTensors zero_shot_texts(const OpenTask& task, const std::vector<std::string>& labels, const Json& options) {
  const std::string pattern = text(options, "hypothesis_template").value_or("This is a photo of {}.");
  std::vector<std::string> texts;
  for (const std::string& label : labels) texts.push_back(hypothesis(task, pattern, label));
  Json arguments = Json::object();
  if (const auto it = options.find("tokenizer_kwargs"); it != options.end() && !it->is_null()) {
    if (!it->is_object()) fail(ErrorCode::usage, "{}: tokenizer_kwargs is {}, expected an object", task.entry->name, it->dump());
    arguments = *it;
  }
  return text_inputs(task, texts, arguments);
}

Json own_labels_of(const OpenTask& task, const media::Image& picture, const std::vector<std::string>& labels, const nn::NamedTensors& texts) {
  const nn::NamedTensors outputs = look(task, picture, texts);
  require(outputs.count("logits_per_image") != 0, "{}: {} does not compare pictures with texts", task.entry->name, task.bundle().architecture());
  std::vector<float> scores = outputs.at("logits_per_image").to_vector();
  if (is_siglip(task))
    for (float& x : scores) x = 1 / (1 + std::exp(-x));
  else
    scores = softmax(scores);
  Json rows = Json::array();
  for (const size_t i : largest(scores, scores.size())) rows.push_back({{"score", scores[i]}, {"label", labels[i]}});
  return rows;
}

std::vector<float> picture_vector(const OpenTask& task, const media::Image& picture) { return vector_of(task, look(task, picture), "image_embeds"); }

std::vector<float> text_vector(const OpenTask& task, const std::string& text) {
  NoGrad no_grad;
  return vector_of(task, task.bundle().network->forward(text_inputs(task, {text}, {{"truncation", true}}), {}), "text_embeds");
}

}  // namespace mynah::tasks
