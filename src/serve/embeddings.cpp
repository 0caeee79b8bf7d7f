// Embeddings in every dialect: Ollama's /api/embed and /api/embeddings, OpenAI's /v1/embeddings, and the server of text
// embeddings: /embed, /embed_all, /similarity, /rerank.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>

#include "serve/openai.h"
#include "serve/task_pipeline.h"
#include "serve/turn.h"
#include "serve/vectors.h"

namespace mynah::serve {
namespace {

int64_t nanoseconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now() - start).count();
}

std::string base64(const std::vector<float>& values) {
  static constexpr char kLetters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string bytes(values.size() * 4, '\0'), out;
  std::memcpy(bytes.data(), values.data(), bytes.size());
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t group = 0;
    for (size_t k = 0; k < 3; ++k)
      group = group << 8 | (i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : 0);
    for (size_t k = 0; k < 4; ++k) out += i + k > bytes.size() ? '=' : kLetters[group >> (18 - 6 * k) & 63];
  }
  return out;
}

ApiError wrong_input(const char* name) {
  return ApiError(400, fmt::format("invalid input type: \"{}\" is neither a string nor an array of strings", name),
                  name);
}

std::vector<int32_t> ids_of(const LoadedModel& model, const Json& list, const char* name) {
  std::vector<int32_t> ids;
  for (const Json& id : list) {
    if (!id.is_number_integer() || id.get<int64_t>() < 0 || id.get<int64_t>() >= model.model.tokenizer()->vocab_size())
      throw wrong_input(name);
    ids.push_back(id.get<int32_t>());
  }
  return ids;
}

// What vectors are asked for: texts, or token ids.
struct VectorInput {
  std::vector<std::string> texts;
  std::vector<std::vector<int32_t>> ids;
  bool empty() const { return texts.empty() && ids.empty(); }
};

// A string, [string], and where they are allowed [int] or [[int]].
VectorInput input_of(const LoadedModel& model, const Json& input, const char* name, bool ids_allowed) {
  if (!model.model.tokenizer()) throw ApiError(400, "the model comes without a tokenizer");
  VectorInput out;
  if (input.is_string())
    out.texts.push_back(input.get<std::string>());
  else if (!input.is_array())
    throw wrong_input(name);
  else if (ids_allowed && !input.empty() && input[0].is_number())
    out.ids.push_back(ids_of(model, input, name));
  else
    for (const Json& item : input) {
      if (item.is_string() && out.ids.empty())
        out.texts.push_back(item.get<std::string>());
      else if (item.is_array() && ids_allowed && out.texts.empty())
        out.ids.push_back(ids_of(model, item, name));
      else
        throw wrong_input(name);
    }
  return out;
}

Vectors vectors_of_input(LoadedModel& model, const VectorInput& input, const VectorOptions& options) {
  return input.ids.empty() ? vectors_of_texts(model, input.texts, options) : vectors_of(model, input.ids, options);
}

// The model of a request in Ollama's dialect, whose options are looked at though none of them changes a vector.
Models::Lease acquire_for_vectors(const Call& call, const Fields& f, const std::string& name) {
  if (const Json* options = f.object("options")) {
    OllamaSettings scratch;
    for (const auto& [key, value] : options->items())
      if (!value.is_null()) set_ollama_option(Fields(*options), key, &scratch);
  }
  try {
    return call.acquire(name, keep_alive_of(f));
  } catch (const ApiError& error) {
    if (error.status != 404) throw;
    throw ApiError(404, fmt::format("model \"{}\" not found, try pulling it first", name), "model");
  }
}

void ollama_embed(Call& call) {
  const auto start = std::chrono::steady_clock::now();
  const Json body = call.body();
  const Fields f(body);
  const std::string name = f.text_or("model", "");
  if (name.empty()) throw ApiError(400, "model is required", "model");
  auto lease = acquire_for_vectors(call, f, name);
  const Json* input = f.find("input");
  f.boolean("truncate");
  f.integer("dimensions");
  Json vectors = Json::array();
  int64_t tokens = 0;
  if (input && !(input->is_string() && input->get<std::string>().empty())) {
    VectorOptions options(call);
    options.truncate = f.boolean("truncate").value_or(true);
    if (const auto n = f.integer("dimensions"); n && *n != 0) options.dimensions = n;
    const Vectors made = vectors_of_input(*lease, input_of(*lease, *input, "input", false), options);
    for (const auto& row : made.rows) vectors.push_back(row);
    tokens = made.tokens;
  }
  call.send_json({{"model", name},
                  {"embeddings", vectors},
                  {"total_duration", nanoseconds_since(start)},
                  {"load_duration", static_cast<int64_t>(lease.load_seconds * 1e9)},
                  {"prompt_eval_count", tokens}});
}

void ollama_embeddings(Call& call) {
  const Json body = call.body();
  const Fields f(body);
  const std::string name = f.text_or("model", "");
  if (name.empty()) throw ApiError(400, "model is required", "model");
  auto lease = acquire_for_vectors(call, f, name);
  const std::string prompt = f.text_or("prompt", "");
  Json row = Json::array();
  if (!prompt.empty()) {
    VectorOptions options(call);
    options.normalize = false;
    row = vectors_of_texts(*lease, {prompt}, options).rows[0];
  }
  call.send_json({{"embedding", row}});
}

Models::Lease default_model(Call& call, const Fields& f) {
  const std::string name = f.text_or("model", call.service.models.default_name());
  if (name.empty())
    throw ApiError(404, "the server has no model of its own: start it with --model, or name a \"model\"");
  return call.acquire(name);
}

void tei_embed(Call& call) {
  const Json body = call.body();
  const Fields f(body);
  auto lease = default_model(call, f);
  const Json* input = f.find("inputs");
  if (!input) throw ApiError(422, "\"inputs\" is missing");
  VectorOptions options(call);
  options.normalize = f.boolean("normalize").value_or(true);
  options.truncate = f.boolean("truncate").value_or(false);
  options.dimensions = f.integer("dimensions");
  options.prompt_name = f.text("prompt_name");
  const VectorInput texts = input_of(*lease, *input, "inputs", true);
  if (texts.empty()) throw ApiError(422, "\"inputs\" is empty");
  Json all = Json::array();
  for (const auto& row : vectors_of_input(*lease, texts, options).rows) all.push_back(row);
  call.send_json(all);
}

void tei_embed_all(Call& call) {
  const Json body = call.body();
  const Fields f(body);
  auto lease = default_model(call, f);
  const Json* input = f.find("inputs");
  if (!input) throw ApiError(422, "\"inputs\" is missing");
  Json all = Json::array();
  VectorInput texts = input_of(*lease, *input, "inputs", true);
  for (const auto& text : texts.texts) texts.ids.push_back(vector_ids(*lease, text));
  for (const auto& ids : texts.ids) {
    Json rows = Json::array();
    for (const auto& row : token_vectors(*lease, ids, call.left())) rows.push_back(row);
    all.push_back(std::move(rows));
  }
  call.send_json(all);
}

void tei_similarity(Call& call) {
  const Json body = call.body();
  const Json* inputs = Fields(body).object("inputs");
  const Fields f(inputs ? *inputs : body);
  auto lease = default_model(call, Fields(body));
  const auto source = f.text("source_sentence");
  const auto sentences = f.texts("sentences");
  if (!source || !sentences || sentences->empty())
    throw ApiError(422, "\"source_sentence\" and \"sentences\" are needed");
  std::vector<std::string> texts = {*source};
  texts.insert(texts.end(), sentences->begin(), sentences->end());
  const auto rows = vectors_of_texts(*lease, texts, VectorOptions(call)).rows;
  Json all = Json::array();
  for (size_t i = 1; i < rows.size(); ++i) all.push_back(cosine(rows[0], rows[i]));
  call.send_json(all);
}

// A cross-encoder scores the pair; other models by how alike the vectors are.
void tei_rerank(Call& call) {
  const Json body = call.body();
  const Fields f(body);
  auto lease = default_model(call, f);
  LoadedModel& model = *lease;
  const auto query = f.text("query");
  auto texts = f.texts("texts");
  if (!texts) texts = f.texts("documents");
  if (!query || !texts || texts->empty()) throw ApiError(422, "\"query\" and \"texts\" are needed");
  const bool raw = f.boolean("raw_scores").value_or(false), give_text = f.boolean("return_text").value_or(false);
  std::vector<double> scores;
  const auto& network = *model.model.bundle().network;
  if (network.kind() == nn::HeadKind::sequence_classification && !model.scheduler) {
    const int64_t most = most_tokens(model);
    EncodeOptions options;
    if (f.boolean("truncate").value_or(false)) options.truncation = Truncation::longest_first;
    if (most > 0) options.max_length = most;
    const Turn turn(call.left());
    for (const auto& text : *texts) {
      stop_if_left(call.left());
      const Encoding e = model.model.tokenizer()->encode_windows(*query, text, options)[0];
      const auto n = static_cast<int64_t>(e.ids.size());
      if (most > 0 && n > most)
        throw ApiError(413, fmt::format("the query and a text have {} tokens, the model reads {}; \"truncate\": true cuts them", n, most), "texts");
      Tensor ids = Tensor::empty({1, n}, DType::i64), types = Tensor::empty({1, n}, DType::i64);
      for (int64_t i = 0; i < n; ++i) {
        ids.data<int64_t>()[i] = e.ids[static_cast<size_t>(i)];
        types.data<int64_t>()[i] = e.type_ids[static_cast<size_t>(i)];
      }
      NoGrad no_grad;
      std::map<std::string, Tensor> inputs = {{"input_ids", ids}};
      if (model.model.bundle().config.value("type_vocab_size", 1) > 1) inputs.emplace("token_type_ids", types);
      const auto out = network.forward(inputs, {});
      const Tensor logits = out.at("logits");
      if (logits.size(1) != 1) throw ApiError(424, "the model is a classifier of several labels, not a ranker");
      const double value = logits.data<float>()[0];
      scores.push_back(raw ? value : 1 / (1 + std::exp(-value)));
    }
  } else {
    std::vector<std::string> both = {*query};
    both.insert(both.end(), texts->begin(), texts->end());
    const auto rows = vectors_of_texts(model, both, VectorOptions(call)).rows;
    for (size_t i = 1; i < rows.size(); ++i) scores.push_back(cosine(rows[0], rows[i]));
  }
  std::vector<size_t> order(scores.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return scores[a] > scores[b]; });
  Json all = Json::array();
  for (const size_t i : order) {
    Json row = {{"index", i}, {"score", scores[i]}};
    if (give_text) row["text"] = (*texts)[i];
    all.push_back(std::move(row));
  }
  call.send_json(all);
}

void tei_embed_sparse(Call&) { throw ApiError(424, "the model makes no sparse vectors"); }

// Labels of a text, a pair ["a", "b"], or of several of them [["a"], ["b", "c"]].
void tei_predict(Call& call) {
  const Json body = call.body();
  const Fields f(body);
  auto lease = default_model(call, f);
  const Json* inputs = f.find("inputs");
  if (!inputs) throw ApiError(422, "\"inputs\" is missing");
  Json options = {{"top_k", nullptr}};
  if (f.boolean("raw_scores").value_or(false)) options["function_to_apply"] = "none";
  const auto texts_of = [](const Json& one) {
    if (one.is_string()) return one;
    if (!one.is_array() || one.empty() || one.size() > 2 || !one[0].is_string() || !one.back().is_string())
      throw ApiError(422, "\"inputs\" is neither a text, a pair of texts nor an array of these");
    return one.size() == 1 ? one[0] : Json{{"text", one[0]}, {"text_pair", one[1]}};
  };
  const bool many = inputs->is_array() && !inputs->empty() && (*inputs)[0].is_array();
  Json all = Json::array();
  for (const Json& one : many ? *inputs : Json::array({*inputs}))
    all.push_back(run_pipeline(call, *lease, "text-classification", texts_of(one), options));
  call.send_json(many ? all : all[0]);
}

}  // namespace

void openai_embeddings(Call& call) {
  const Json body = call.body();
  const Fields f(body);
  const std::string name = model_name(call, f);
  const Json* input = f.find("input");
  if (!input) throw ApiError(400, "\"input\" is missing", "input");
  const std::string format = f.text_or("encoding_format", "float");
  if (format != "float" && format != "base64")
    throw ApiError(400, "\"encoding_format\" must be float or base64", "encoding_format");
  VectorOptions options(call);
  options.dimensions = f.integer("dimensions");
  auto lease = call.acquire(name, keep_alive_of(f));
  const VectorInput texts = input_of(*lease, *input, "input", true);
  if (texts.empty()) throw ApiError(400, "\"input\" is empty", "input");
  const Vectors made = vectors_of_input(*lease, texts, options);
  Json data = Json::array();
  for (size_t i = 0; i < made.rows.size(); ++i)
    data.push_back({{"object", "embedding"},
                    {"index", i},
                    {"embedding", format == "base64" ? Json(base64(made.rows[i])) : Json(made.rows[i])}});
  call.send_json({{"object", "list"},
                  {"data", data},
                  {"model", f.text_or("model", name)},
                  {"usage", {{"prompt_tokens", made.tokens}, {"total_tokens", made.tokens}}}});
}

std::span<const Route> embedding_routes() {
  static const Route routes[] = {{"POST", "/api/embed", ollama_embed},
                                 {"POST", "/api/embeddings", ollama_embeddings},
                                 {"POST", "/v1/embeddings", openai_embeddings},
                                 {"POST", "/api/v0/embeddings", openai_embeddings},
                                 {"POST", "/embed", tei_embed},
                                 {"POST", "/embed_all", tei_embed_all},
                                 {"POST", "/embed_sparse", tei_embed_sparse},
                                 {"POST", "/predict", tei_predict},
                                 {"POST", "/similarity", tei_similarity},
                                 {"POST", "/rerank", tei_rerank},
                                 {"POST", "/v1/rerank", tei_rerank}};
  return routes;
}

}  // namespace mynah::serve
