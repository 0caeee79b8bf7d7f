#include "serve/vectors.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <numeric>

#include "base/file.h"
#include "mynah/autograd.h"
#include "nn/causal_lm.h"

namespace mynah::serve {
namespace {

enum class Pooling { mean, first, last, max };

Pooling pooling_of(const LoadedModel& model) {
  if (model.scheduler) return Pooling::last;
  const auto& b = model.model.bundle();
  if (b.gguf)
    if (const auto* value = b.gguf->find(std::string(model.description.family) + ".pooling_type")) return value->as_int() == 2 ? Pooling::first : value->as_int() == 3 ? Pooling::last : Pooling::mean;
  const auto file = b.path / "1_Pooling" / "config.json";
  std::error_code error;
  if (!std::filesystem::exists(file, error)) return Pooling::mean;
  const Json json = read_json_file(file);
  if (json.value("pooling_mode_cls_token", false)) return Pooling::first;
  if (json.value("pooling_mode_max_tokens", false)) return Pooling::max;
  if (json.value("pooling_mode_lasttoken", false)) return Pooling::last;
  return Pooling::mean;
}

void normalise(std::vector<float>* row) {
  double sum = 0;
  for (const float v : *row) sum += static_cast<double>(v) * v;
  if (sum <= 0) return;
  const auto scale = static_cast<float>(1 / std::sqrt(sum));
  for (float& v : *row) v *= scale;
}

// The last hidden states of one text [T, C].
Tensor hidden_of(const LoadedModel& model, const std::vector<int32_t>& ids) {
  NoGrad no_grad;
  const auto& network = *model.model.bundle().network;
  if (const nn::CausalLM* lm = network.causal_lm(); lm && !network.seq2seq_lm()) {
    nn::TokenBatch batch;
    batch.ids = ids;
    batch.positions.resize(ids.size());
    std::iota(batch.positions.begin(), batch.positions.end(), 0);
    batch.lengths = {static_cast<int64_t>(ids.size())};
    return lm->body(batch, nullptr);
  }
  const auto n = static_cast<int64_t>(ids.size());
  Tensor input = Tensor::empty({1, n}, DType::i64), mask = Tensor::empty({1, n}, DType::i64);
  for (int64_t i = 0; i < n; ++i) {
    input.data<int64_t>()[i] = ids[static_cast<size_t>(i)];
    mask.data<int64_t>()[i] = 1;
  }
  auto out = network.forward({{"input_ids", input}, {"attention_mask", mask}}, {.hidden_states = true});
  for (const char* name : {"last_hidden_state", "encoder_last_hidden_state"})
    if (const auto it = out.find(name); it != out.end()) return it->second.as_strided({n, it->second.size(2)}, {it->second.size(2), 1});
  // Models with a head: the last of their hidden states.
  for (int64_t layer = 256; layer >= 0; --layer)
    if (const auto it = out.find(fmt::format("hidden_states.{}", layer)); it != out.end()) return it->second.as_strided({n, it->second.size(2)}, {it->second.size(2), 1});
  throw ApiError(400, fmt::format("\"{}\" does not support embeddings", model.name), "model");
}

}  // namespace

std::vector<int32_t> vector_ids(const LoadedModel& model, const std::string& text) {
  if (!model.model.tokenizer()) throw ApiError(400, "the model comes without a tokenizer");
  return model.model.tokenizer()->encode_ids(text);
}

std::vector<std::vector<float>> token_vectors(const LoadedModel& model, const std::vector<int32_t>& ids) {
  const Tensor hidden = hidden_of(model, ids);
  std::vector<std::vector<float>> rows;
  for (int64_t i = 0; i < hidden.size(0); ++i) {
    const float* row = hidden.data<float>() + i * hidden.stride(0);
    rows.emplace_back(row, row + hidden.size(1));
  }
  return rows;
}

Vectors vectors_of(const LoadedModel& model, const std::vector<std::vector<int32_t>>& texts, const VectorOptions& options) {
  const Pooling pooling = pooling_of(model);
  Vectors out;
  for (std::vector<int32_t> ids : texts) {
    const int64_t most = model.context();
    if (most > 0 && static_cast<int64_t>(ids.size()) > most) {
      if (!options.truncate) throw ApiError(400, "the input length exceeds the context length", "input");
      const int32_t last = ids.back();
      ids.resize(static_cast<size_t>(most));
      if (!model.scheduler) ids.back() = last;  // the end mark of encoders stays
    }
    out.tokens += static_cast<int64_t>(ids.size());
    if (ids.empty()) throw ApiError(400, "the input holds no token", "input");
    const auto rows = token_vectors(model, ids);
    std::vector<float> row = rows[0];
    if (pooling == Pooling::last) row = rows.back();
    if (pooling == Pooling::max)
      for (const auto& r : rows)
        for (size_t i = 0; i < row.size(); ++i) row[i] = std::max(row[i], r[i]);
    if (pooling == Pooling::mean) {
      std::vector<double> sum(row.size());
      for (const auto& r : rows)
        for (size_t i = 0; i < row.size(); ++i) sum[i] += r[i];
      for (size_t i = 0; i < row.size(); ++i) row[i] = static_cast<float>(sum[i] / static_cast<double>(rows.size()));
    }
    if (options.dimensions) {
      if (*options.dimensions < 1 || *options.dimensions > static_cast<int64_t>(row.size())) throw ApiError(400, fmt::format("\"dimensions\" is {}, expected 1 to {}", *options.dimensions, row.size()), "dimensions");
      row.resize(static_cast<size_t>(*options.dimensions));
    }
    if (options.normalize) normalise(&row);
    out.rows.push_back(std::move(row));
  }
  return out;
}

float cosine(const std::vector<float>& a, const std::vector<float>& b) {
  double ab = 0, aa = 0, bb = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    ab += static_cast<double>(a[i]) * b[i];
    aa += static_cast<double>(a[i]) * a[i];
    bb += static_cast<double>(b[i]) * b[i];
  }
  return aa > 0 && bb > 0 ? static_cast<float>(ab / std::sqrt(aa * bb)) : 0;
}

}  // namespace mynah::serve
