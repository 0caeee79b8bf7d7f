#include "nn/rope_gguf.h"

#include <algorithm>
#include <cmath>

#include "base/require.h"
#include "mynah/json.h"
#include "nn/rope.h"

namespace mynah::nn {
namespace {

// YaRN's own factor on cos and sin; readers of GGUF multiply it by rope.scaling.attn_factor.
double yarn_attention(double factor) { return factor <= 1 ? 1.0 : 0.1 * std::log(factor) + 1.0; }

bool is_close(std::span<const float> a, std::span<const float> b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](float x, float y) { return std::abs(x - y) <= 1e-5f * std::abs(y); });
}

}  // namespace

Json rope_metadata(const Json& config, int64_t head_dim) {
  const Rope rope(config, head_dim);
  const Json scaling = rope_settings(config);
  const std::string type = rope_type(scaling);
  Json m = Json::object();
  if (type == "default" || type == "none" || type == "llama3") return m;
  const auto truncate = scaling.find("truncate");
  const bool exact = truncate != scaling.end() && truncate->is_boolean() && !truncate->get<bool>();
  if ((type != "linear" && type != "yarn") || exact)
    fail(ErrorCode::failure, "convert: GGUF has no field for rope type \"{}\"{}; keep the model as safetensors", type,
         exact ? " with truncate false" : "");
  m["rope.scaling.type"] = type;
  m["rope.scaling.factor"] = scaling.at("factor").get<float>();
  if (type == "linear") return m;
  const Json original = scaling.value("original_max_position_embeddings", Json());
  m["rope.scaling.original_context_length"] =
      original.is_number() && original != 0 ? original.get<int64_t>() : rope.max_positions();
  for (const auto& [ours, theirs] :
       {std::pair{"beta_fast", "rope.scaling.yarn_beta_fast"}, {"beta_slow", "rope.scaling.yarn_beta_slow"}})
    if (const Json value = scaling.value(ours, Json()); value.is_number() && value != 0) m[theirs] = value.get<float>();
  const double ratio = rope.attention_factor() / yarn_attention(scaling.at("factor").get<double>());
  if (std::abs(ratio - 1) > 1e-6) m["rope.scaling.attn_factor"] = static_cast<float>(ratio);
  return m;
}

Json rope_scaling_of(const Json& m) {
  const auto type = m.find("rope.scaling.type");
  if (type == m.end() || *type == "none") return nullptr;
  Json scaling = {{"rope_type", *type}};
  for (const auto& [ours, theirs] : {std::pair{"factor", "rope.scaling.factor"},
                                     {"original_max_position_embeddings", "rope.scaling.original_context_length"},
                                     {"beta_fast", "rope.scaling.yarn_beta_fast"},
                                     {"beta_slow", "rope.scaling.yarn_beta_slow"}})
    if (m.contains(theirs)) scaling[ours] = m[theirs];
  if (const auto attention = m.find("rope.scaling.attn_factor"); attention != m.end() && attention->is_number()) {
    const bool yarn = *type == "yarn" && scaling.contains("factor") && scaling["factor"].is_number();
    scaling["attention_factor"] =
        attention->get<double>() * (yarn ? yarn_attention(scaling["factor"].get<double>()) : 1.0);
  }
  return scaling;
}

std::vector<float> rope_divisors(const Json& config, int64_t head_dim) {
  if (rope_type(rope_settings(config)) != "llama3") return {};
  Json plain = config;
  plain.erase("rope_scaling");
  plain.erase("rope_parameters");
  const Rope scaled(config, head_dim);
  plain["rope_theta"] = scaled.theta();
  const Rope unscaled(plain, head_dim);
  std::vector<float> divisors(unscaled.inverse_frequencies().begin(), unscaled.inverse_frequencies().end());
  for (size_t i = 0; i < divisors.size(); ++i) divisors[i] /= scaled.inverse_frequencies()[i];
  return divisors;
}

Json rope_scaling_of(std::span<const float> divisors, const Json& config, int64_t head_dim) {
  const float factor = divisors.empty() ? 1.0f : *std::max_element(divisors.begin(), divisors.end());
  Json candidate = config;
  for (int64_t original = 64; original <= int64_t{1} << 20; original *= 2) {
    candidate["rope_scaling"] = {{"rope_type", "llama3"},
                                 {"factor", factor},
                                 {"low_freq_factor", 1.0},
                                 {"high_freq_factor", 4.0},
                                 {"original_max_position_embeddings", original}};
    if (is_close(rope_divisors(candidate, head_dim), divisors)) return candidate["rope_scaling"];
  }
  const Json factors = std::vector<float>(divisors.begin(), divisors.end());
  return {{"rope_type", "longrope"}, {"short_factor", factors}, {"long_factor", factors}, {"attention_factor", 1.0}};
}

}  // namespace mynah::nn
