#include "train/sentence_pairs.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "base/require.h"
#include "base/unicode.h"
#include "data/rows.h"
#include "mynah/json.h"
#include "mynah/ops.h"
#include "nn/config.h"
#include "train/forward_loss.h"
#include "train/row_encoder.h"
#include "train/row_objective.h"

namespace mynah::train {
namespace {

namespace fs = std::filesystem;

constexpr float kScale = 20, kMargin = 0.5f;  // the defaults of sentence-transformers

enum class PairKind : int64_t { none, ranked, ranked_with_negatives, labelled, scored };

struct Texts {
  std::vector<int32_t> first, second, third;
  float label = 0;
  std::string where;

  template <class Parts>
  void each_part(Parts& part) {
    part(first);
    part(second);
    part(third);
    part(label);
    part(where);
  }
};

struct PairBatch : ForwardBatch {
  std::vector<float> labels;  // of pairs; empty: ranked
  bool scored = false;
};

// What a token weighs in its text's vector, of `count` tokens.
enum class Pooling { first, mean, mean_sqrt_len, weighted_mean, last };
float weight_of(Pooling pooling, int64_t token, int64_t count) {
  const auto n = static_cast<float>(count);
  switch (pooling) {
    case Pooling::first: return token == 0;
    case Pooling::last: return token == count - 1;
    case Pooling::mean: return 1 / n;
    case Pooling::mean_sqrt_len: return 1 / std::sqrt(n);
    default: return 2 * static_cast<float>(token + 1) / (n * (n + 1));
  }
}

Json json_if_there(const fs::path& path) { return fs::exists(path) ? read_json_file(path) : Json::object(); }

// How modules.json makes a vector of the tokens; a normalisation behind it changes no cosine.
std::vector<Pooling> read_poolings(const fs::path& folder) {
  constexpr std::pair<const char*, Pooling> kModes[] = {{"pooling_mode_cls_token", Pooling::first},
                                                        {"pooling_mode_mean_tokens", Pooling::mean},
                                                        {"pooling_mode_mean_sqrt_len_tokens", Pooling::mean_sqrt_len},
                                                        {"pooling_mode_weightedmean_tokens", Pooling::weighted_mean},
                                                        {"pooling_mode_lasttoken", Pooling::last}};
  const Json modules = json_if_there(folder / "modules.json");
  std::vector<Pooling> poolings;
  if (!modules.is_array()) return {Pooling::mean};
  for (const Json& module : modules) {
    const std::string type = nn::config_string(module, "type", ""), path = nn::config_string(module, "path", "");
    const std::string name = type.substr(type.rfind('.') + 1);
    require(path.find("..") == std::string::npos && !fs::path(path).is_absolute(), "{}: modules.json names the folder {}", folder.string(), path);
    if (name == "Pooling") {
      const Json config = json_if_there(folder / path / "config.json");
      require(!nn::config_bool(config, "pooling_mode_max_tokens", false), "{}: the vector is the largest of its tokens' numbers, which is not trained here; expected a mean, the first or the last token",
              (folder / path).string());
      for (const auto& [key, pooling] : kModes)
        if (nn::config_bool(config, key, pooling == Pooling::mean && !config.contains("pooling_mode_cls_token"))) poolings.push_back(pooling);
    }
    require(name == "Transformer" || name == "Pooling" || name == "Normalize" || name == "Dropout", "{}: modules.json has a {}, which is not trained here; expected Transformer, Pooling or Normalize",
            folder.string(), type);
  }
  require(!poolings.empty(), "{}: modules.json has no pooling", folder.string());
  return poolings;
}

// Rows of length 1.
Tensor normalized(const Tensor& x) { return x / maximum(sqrt(sum(square(x), 1, true)), Tensor::full({1, 1}, 1e-12f)); }

class SentencePairs : public RowObjective<Texts> {
 public:
  SentencePairs(const Arguments& a, const bundle::Bundle& b, RowFile<Texts> train, RowFile<Texts> held_out)
      : RowObjective(a, a.shuffle, std::move(train), std::move(held_out)), network_(*b.network), poolings_(read_poolings(b.path)), pad_(RowEncoder(b).pad()) {}

 protected:
  Tensor loss(const MicroBatch& micro, const Share& share, Metrics* metrics) override {
    const auto& b = static_cast<const PairBatch&>(micro);
    const Tensor vectors = encode(b);
    const auto n = static_cast<int64_t>(b.places.size());
    const Tensor first = narrow(vectors, 0, 0, n), others = narrow(vectors, 0, n, vectors.size(0) - n);
    const Tensor loss = b.labels.empty() ? ranking(first, others, metrics) : agreement(first, others, b);
    return loss * (1.0f / static_cast<float>(share.micro_batches));
  }

 private:
  // [texts, width * poolings], of length 1.
  Tensor encode(const PairBatch& b) const {
    const Tensor hidden = network_.forward(b.inputs, {}).at("last_hidden_state");
    const Tensor& mask = b.inputs.at("attention_mask");
    const int64_t texts = hidden.size(0), length = hidden.size(1);
    std::vector<Tensor> parts;
    for (const Pooling pooling : poolings_) {
      Tensor weights = Tensor::zeros({texts, 1, length});
      for (int64_t i = 0; i < texts; ++i) {
        const int64_t* of_text = mask.data<int64_t>() + i * length;
        const int64_t count = std::accumulate(of_text, of_text + length, int64_t{0});
        for (int64_t t = 0; t < count; ++t) weights.data<float>()[i * length + t] = weight_of(pooling, t, count);
      }
      parts.push_back(reshape(matmul(weights, hidden), {texts, hidden.size(2)}));
    }
    return normalized(parts.size() == 1 ? parts[0] : cat(parts, 1));
  }

  // Row i of `candidates` is the text that anchor i must find.
  static Tensor ranking(const Tensor& anchors, const Tensor& candidates, Metrics* metrics) {
    const int64_t n = anchors.size(0);
    const Tensor scores = matmul(anchors, transpose(candidates, 0, 1)) * kScale;
    std::vector<int64_t> own(static_cast<size_t>(n));
    std::iota(own.begin(), own.end(), 0);
    const std::vector<float> all = scores.to_vector();
    double found = 0;
    for (int64_t i = 0; i < n; ++i) {
      const auto row = all.begin() + i * candidates.size(0);
      found += std::max_element(row, row + candidates.size(0)) == row + i;
    }
    metrics->add("accuracy", found / static_cast<double>(n));
    return cross_entropy(scores, Tensor::from(std::span<const int64_t>(own), {n}));
  }

  static Tensor agreement(const Tensor& first, const Tensor& second, const PairBatch& b) {
    const Tensor cosines = sum(first * second, 1), labels = Tensor::from(b.labels, {static_cast<int64_t>(b.labels.size())});
    if (b.scored) return mean(square(cosines - labels));
    const Tensor distances = add(neg(cosines), 1.0f), apart = relu(add(neg(distances), kMargin));
    return mean(labels * square(distances) + add(neg(labels), 1.0f) * square(apart)) * 0.5f;
  }

  std::unique_ptr<MicroBatch> collate(const RowFile<Texts>& all, const std::vector<int64_t>& rows) const override {
    auto batch = std::make_unique<PairBatch>();
    const auto kind = static_cast<PairKind>(all.note(0));
    std::vector<Texts> texts;
    for (const int64_t row : rows) {
      texts.push_back(all[row]);
      batch->places.push_back(texts.back().where);
      if (kind == PairKind::labelled || kind == PairKind::scored) batch->labels.push_back(texts.back().label);
    }
    batch->scored = kind == PairKind::scored;
    std::vector<std::vector<int32_t>> ids;
    for (const Texts& t : texts) ids.push_back(t.first);
    for (const Texts& t : texts) ids.push_back(t.second);
    if (kind == PairKind::ranked_with_negatives)
      for (const Texts& t : texts) ids.push_back(t.third);
    for (const auto& text : ids) batch->tokens += static_cast<int64_t>(text.size());
    batch->inputs = {{"input_ids", padded(ids, pad_)}, {"attention_mask", padding_mask(ids)}};
    batch->targets = static_cast<double>(rows.size());
    return batch;
  }

  const nn::Model& network_;
  const std::vector<Pooling> poolings_;
  int32_t pad_;
};

const char* name_of(PairKind kind) {
  switch (kind) {
    case PairKind::ranked: return "anchor and positive";
    case PairKind::ranked_with_negatives: return "anchor, positive and negative";
    case PairKind::labelled: return "sentence1, sentence2 and label";
    default: return "sentence1, sentence2 and score";
  }
}

PairKind kind_of(const Json& row) {
  if (!row.contains("sentence1")) return row.contains("negative") ? PairKind::ranked_with_negatives : PairKind::ranked;
  return row.contains("score") ? PairKind::scored : PairKind::labelled;
}

// Of a table a number is a text.
float label_of(const Json& row, PairKind kind, const std::string& where) {
  const Json& given = data::field(row, kind == PairKind::scored ? "score" : "label", where);
  const Json label = given.is_string() ? Json::parse(given.get<std::string>(), nullptr, false) : given;
  require(label.is_number() || label.is_boolean(), "{}: label {}, expected a number", where, given.dump());
  const float value = label.is_boolean() ? static_cast<float>(label.get<bool>()) : label.get<float>();
  if (kind == PairKind::labelled) require(value == 0 || value == 1, "{}: label {}, expected 1 for texts that belong together and 0 for others; a degree goes into \"score\"", where, given.dump());
  else require(value >= -1 && value <= 1, "{}: score {}, expected a cosine, -1 to 1", where, given.dump());
  return value;
}

RowFile<Texts> read_texts(const Arguments& a, const bundle::Bundle& b, const fs::path& file, int64_t max_length, bool lower) {
  EncodeOptions cut;
  cut.truncation = Truncation::longest_first;
  cut.max_length = max_length;
  return keep_rows<Texts>(a, b, file, fmt::format("sentences {} {}", max_length, lower), [&](RowSink<Texts>& sink) {
    const auto ids = [&](const Json& row, const char* name, const std::string& where) {
      const std::string text = data::text_field(row, name, where);
      std::vector<int32_t> tokens = b.tokenizer->encode_windows(lower ? unicode::to_lower(text) : text, cut)[0].ids;
      require(!tokens.empty(), "{}: {} has no tokens", where, name);
      return tokens;
    };
    data::for_each_row(file, [&](const Json& row, const std::string& where) {
      const PairKind kind = kind_of(row);
      if (sink.note(0) == 0) sink.note(0) = static_cast<int64_t>(kind);
      require(sink.note(0) == static_cast<int64_t>(kind), "{}: a row of {}, those before have {}", where, name_of(kind), name_of(static_cast<PairKind>(sink.note(0))));
      const bool labelled = kind == PairKind::labelled || kind == PairKind::scored;
      Texts texts{ids(row, labelled ? "sentence1" : "anchor", where), ids(row, labelled ? "sentence2" : "positive", where), {}, 0, where};
      if (kind == PairKind::ranked_with_negatives) texts.third = ids(row, "negative", where);
      if (labelled) texts.label = label_of(row, kind, where);
      sink.add(std::move(texts));
    });
  });
}

}  // namespace

std::unique_ptr<Objective> make_sentence_pairs(const Arguments& a, int64_t max_length, const bundle::Bundle& b, const fs::path& train_file, const fs::path& validation_file) {
  if (b.network->kind() != nn::HeadKind::bare || b.network->seq2seq_lm()) fail(ErrorCode::usage, "--task sentence-similarity: {} gives no vectors of tokens, expected an encoder as BertModel", b.architecture());
  const Json settings = fs::is_directory(b.path) ? json_if_there(b.path / "sentence_bert_config.json") : Json::object();
  if (const int64_t most = nn::config_int(settings, "max_seq_length", 0, 0); most > 0) max_length = std::min(max_length, most);
  const bool lower = nn::config_bool(settings, "do_lower_case", false);
  RowFile<Texts> train = read_texts(a, b, train_file, max_length, lower), held_out = read_texts(a, b, validation_file, max_length, lower);
  return std::make_unique<SentencePairs>(a, b, std::move(train), std::move(held_out));
}

}  // namespace mynah::train
