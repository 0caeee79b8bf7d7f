#include "serve/vectors.h"

#include <fmt/core.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <numeric>

#include "base/file.h"
#include "mynah/autograd.h"
#include "mynah/json.h"
#include "mynah/ops.h"
#include "nn/causal_lm.h"
#include "nn/config.h"
#include "serve/service.h"
#include "serve/task_pipeline.h"
#include "serve/turn.h"
#include "tasks/scores.h"
#include "tasks/sentence_encoder.h"

namespace mynah::serve {
namespace {

enum class Pooling { mean, first, last, max };

Pooling pooling_of(const LoadedModel& model) {
  if (model.scheduler) return Pooling::last;
  const auto& b = model.model.bundle();
  if (b.gguf)
    if (const auto* value = b.gguf->find(std::string(model.description.family) + ".pooling_type"))
      return value->as_int() == 2 ? Pooling::first : value->as_int() == 3 ? Pooling::last : Pooling::mean;
  const auto file = b.path / "1_Pooling" / "config.json";
  std::error_code error;
  if (!std::filesystem::exists(file, error)) return Pooling::mean;
  const Json json = read_json_file(file);
  if (json.value("pooling_mode_cls_token", false)) return Pooling::first;
  if (json.value("pooling_mode_max_tokens", false)) return Pooling::max;
  if (json.value("pooling_mode_lasttoken", false)) return Pooling::last;
  return Pooling::mean;
}

// Takes the last hidden states [T, C] of the text of this number.
using Take = std::function<void(size_t text, const Tensor& hidden)>;

constexpr int64_t kBatchTokens = 2048;
constexpr size_t kBatchRows = 64;

// Texts one after another through a decoder, which needs no padding.
void decoder_states(const nn::CausalLM& lm, const std::vector<std::vector<int32_t>>& texts,
                    const std::vector<size_t>& which, const Take& take) {
  nn::TokenBatch batch;
  for (const size_t i : which) {
    batch.ids.insert(batch.ids.end(), texts[i].begin(), texts[i].end());
    for (size_t t = 0; t < texts[i].size(); ++t) batch.positions.push_back(static_cast<int32_t>(t));
    batch.lengths.push_back(static_cast<int64_t>(texts[i].size()));
  }
  const Tensor all = lm.body(batch, nullptr);
  int64_t first = 0;
  for (const size_t i : which) {
    const auto n = static_cast<int64_t>(texts[i].size());
    take(i, narrow(all, 0, first, n));
    first += n;
  }
}

// Texts side by side through an encoder, padded to the longest.
void encoder_states(const LoadedModel& model, const std::vector<std::vector<int32_t>>& texts,
                    const std::vector<size_t>& which, const Take& take) {
  size_t longest = 0;
  for (const size_t i : which) longest = std::max(longest, texts[i].size());
  const auto rows = static_cast<int64_t>(which.size()), n = static_cast<int64_t>(longest);
  // A vocabulary may name a pad token that the network has no row for; what stands behind a text is not looked at.
  const auto& b = model.model.bundle();
  const int64_t pad = model.model.tokenizer()->pad_id().value_or(0);
  const int64_t filler = pad < nn::config_int(b.config, "vocab_size", pad + 1) ? pad : 0;
  std::vector<int64_t> ids(which.size() * longest, filler), mask(ids.size(), 0);
  for (size_t r = 0; r < which.size(); ++r)
    for (size_t t = 0; t < texts[which[r]].size(); ++t) {
      ids[r * longest + t] = texts[which[r]][t];
      mask[r * longest + t] = 1;
    }
  const auto made = b.network->forward(
      {{"input_ids", Tensor::from(ids, {rows, n})}, {"attention_mask", Tensor::from(mask, {rows, n})}},
      {.hidden_states = true});
  const Tensor* all = nullptr;
  for (const char* name : {"last_hidden_state", "encoder_last_hidden_state"})
    if (const auto it = made.find(name); it != made.end() && !all) all = &it->second;
  // Models with a head: the last of their hidden states.
  for (int64_t layer = 256; layer >= 0 && !all; --layer)
    if (const auto it = made.find(fmt::format("hidden_states.{}", layer)); it != made.end()) all = &it->second;
  if (!all) throw ApiError(400, fmt::format("\"{}\" does not support embeddings", model.name), "model");
  for (size_t r = 0; r < which.size(); ++r)
    take(which[r],
         narrow(select(*all, 0, static_cast<int64_t>(r)), 0, 0, static_cast<int64_t>(texts[which[r]].size())));
}

// Texts of like length are computed together; what else is computed changes no number.
void each_hidden(const LoadedModel& model, const std::vector<std::vector<int32_t>>& texts, const ClientLeft& left, const Take& take) {
  const Turn turn(left);
  NoGrad no_grad;
  const auto& network = *model.model.bundle().network;
  const nn::CausalLM* lm = network.seq2seq_lm() ? nullptr : network.causal_lm();
  std::vector<size_t> order(texts.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return texts[a].size() < texts[b].size(); });
  for (size_t first = 0; first < order.size();) {
    stop_if_left(left);
    std::vector<size_t> which;
    while (first < order.size() && which.size() < kBatchRows &&
           (which.empty() || static_cast<int64_t>((which.size() + 1) * texts[order[first]].size()) <= kBatchTokens))
      which.push_back(order[first++]);
    if (lm)
      decoder_states(*lm, texts, which, take);
    else
      encoder_states(model, texts, which, take);
  }
}

std::vector<std::vector<float>> rows_of(const Tensor& hidden) {
  std::vector<std::vector<float>> rows;
  for (int64_t i = 0; i < hidden.size(0); ++i) {
    const float* row = hidden.data<float>() + i * hidden.stride(0);
    rows.emplace_back(row, row + hidden.size(1));
  }
  return rows;
}

std::vector<float> pooled(Pooling pooling, const std::vector<std::vector<float>>& rows) {
  if (pooling == Pooling::last) return rows.back();
  std::vector<float> out = rows[0];
  if (pooling == Pooling::max)
    for (const auto& r : rows)
      for (size_t i = 0; i < out.size(); ++i) out[i] = std::max(out[i], r[i]);
  if (pooling == Pooling::mean) {
    std::vector<double> sum(out.size());
    for (const auto& r : rows)
      for (size_t i = 0; i < out.size(); ++i) sum[i] += r[i];
    for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<float>(sum[i] / static_cast<double>(rows.size()));
  }
  return out;
}

std::vector<float> finished(std::vector<float> row, const VectorOptions& options) {
  if (options.dimensions) {
    if (*options.dimensions < 1 || *options.dimensions > static_cast<int64_t>(row.size()))
      throw ApiError(400, fmt::format("\"dimensions\" is {}, expected 1 to {}", *options.dimensions, row.size()),
                     "dimensions");
    row.resize(static_cast<size_t>(*options.dimensions));
  }
  if (options.normalize) tasks::to_unit_length(row);
  return row;
}

// Whether the folder lists modules of sentence-transformers, whose own steps then make the vector.
bool has_modules(const LoadedModel& model) {
  std::error_code error;
  return !model.model.bundle().gguf && std::filesystem::exists(model.model.bundle().path / "modules.json", error);
}

void note_tokens(const VectorOptions& options, int64_t tokens) {
  if (options.notes) options.notes->change([&](RequestNotes::Values& v) { v.prompt_tokens += tokens; });
}

}  // namespace

VectorOptions::VectorOptions(const Call& call) : left(call.left()), notes(call.request->notes) {}

std::vector<int32_t> vector_ids(const LoadedModel& model, const std::string& text) {
  if (!model.model.tokenizer()) throw ApiError(400, "the model comes without a tokenizer");
  return model.model.tokenizer()->encode_ids(text);
}

int64_t most_tokens(const LoadedModel& model) {
  int64_t most = model.context();
  const auto file = model.model.bundle().path / "sentence_bert_config.json";
  std::error_code error;
  if (!model.model.bundle().gguf && std::filesystem::exists(file, error)) {
    const Json json = read_json_file(file);
    if (const auto it = json.find("max_seq_length");
        it != json.end() && it->is_number_integer() && it->get<int64_t>() > 0)
      most = most > 0 ? std::min(most, it->get<int64_t>()) : it->get<int64_t>();
  }
  return most;
}

std::vector<std::vector<float>> token_vectors(const LoadedModel& model, const std::vector<int32_t>& ids, const ClientLeft& left) {
  std::vector<std::vector<float>> rows;
  each_hidden(model, {ids}, left, [&](size_t, const Tensor& hidden) { rows = rows_of(hidden); });
  return rows;
}

Vectors vectors_of(const LoadedModel& model, const std::vector<std::vector<int32_t>>& texts,
                   const VectorOptions& options) {
  const Pooling pooling = pooling_of(model);
  const int64_t most = most_tokens(model);
  std::vector<std::vector<int32_t>> cut = texts;
  Vectors out;
  for (auto& ids : cut) {
    if (most > 0 && static_cast<int64_t>(ids.size()) > most) {
      if (!options.truncate) throw ApiError(400, "the input length exceeds the context length", "input");
      const int32_t last = ids.back();
      ids.resize(static_cast<size_t>(most));
      if (!model.scheduler) ids.back() = last;  // the end mark of encoders stays
    }
    if (ids.empty()) throw ApiError(400, "the input holds no token", "input");
    out.tokens += static_cast<int64_t>(ids.size());
  }
  note_tokens(options, out.tokens);
  out.rows.resize(cut.size());
  each_hidden(model, cut, options.left, [&](size_t i, const Tensor& hidden) {
    out.rows[i] = finished(pooled(pooling, rows_of(hidden)), options);
  });
  return out;
}

Vectors vectors_of_texts(LoadedModel& model, const std::vector<std::string>& texts, const VectorOptions& options) {
  std::vector<std::vector<int32_t>> ids;
  for (const auto& text : texts) ids.push_back(vector_ids(model, text));
  // Where the modules end in a normalisation, the vector before it is pooled here.
  if (!has_modules(model) || !options.normalize) {
    if (options.prompt_name)
      throw ApiError(400, "\"prompt_name\" is not supported: the model lists no prompts", "prompt_name");
    return vectors_of(model, ids, options);
  }
  const int64_t most = most_tokens(model);
  Vectors out;
  for (const auto& row : ids) {
    const auto n = static_cast<int64_t>(row.size());
    if (most > 0 && n > most && !options.truncate)
      throw ApiError(400, "the input length exceeds the context length", "input");
    out.tokens += most > 0 ? std::min(n, most) : n;
  }
  note_tokens(options, out.tokens);
  const auto task = task_of(model, "sentence-embedding");
  const tasks::SentenceEncoder encoder(*task);
  const std::string prompt = encoder.prompt(options.prompt_name);
  const Turn turn(options.left);
  constexpr size_t kPiece = 64;  // texts between two looks at the client
  for (size_t first = 0; first < texts.size(); first += kPiece) {
    stop_if_left(options.left);
    const std::vector<std::string> piece(texts.begin() + static_cast<long>(first), texts.begin() + static_cast<long>(std::min(texts.size(), first + kPiece)));
    for (auto& row : encoder.encode(piece, prompt)) out.rows.push_back(finished(std::move(row), options));
  }
  return out;
}

float cosine(const std::vector<float>& a, const std::vector<float>& b) { return static_cast<float>(tasks::cosine(a, b)); }

}  // namespace mynah::serve
