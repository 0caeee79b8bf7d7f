#include "train/replaced_tokens.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "base/require.h"
#include "mynah/autograd.h"
#include "mynah/ops.h"
#include "nn/config.h"
#include "train/corpus_rows.h"
#include "train/denoising.h"
#include "train/forward_loss.h"
#include "train/subject.h"

namespace mynah::train {
namespace {

// The embeddings that both networks have. The generator's are copies, brought up to date before they are used; what they would learn goes
// to the discriminator's.
class SharedEmbeddings {
 public:
  SharedEmbeddings(const nn::WeightList& discriminator, const nn::WeightList& generator) {
    for (const nn::Parameter& g : generator.parameters) {
      const auto& all = discriminator.parameters;
      const auto d = std::find_if(all.begin(), all.end(), [&](const nn::Parameter& p) { return p.name == g.name; });
      const bool shared = g.name.find(".embeddings.") != std::string::npos && d != all.end() && d->value.shape() == g.value.shape();
      if (shared) pairs_.emplace_back(d->value, g.value);
      else own_.emplace_back("generator." + g.name, g.value);
    }
  }

  // What only the generator has.
  const NamedParameters& own() const { return own_; }
  void copy() const {
    for (const auto& [from, to] : pairs_) {
      Tensor target = to;
      std::memcpy(target.raw(), from.raw(), from.nbytes());
    }
  }
  void move_gradients() const {
    const NoGrad no_grad;
    for (const auto& [to, from] : pairs_) {
      const Tensor gained = grad(from), had = grad(to);
      if (!gained.defined()) continue;
      set_grad(to, had.defined() ? had + gained : gained);
      zero_grad(from);
    }
  }

 private:
  std::vector<std::pair<Tensor, Tensor>> pairs_;
  NamedParameters own_;
};

struct MaskedRows : MicroBatch {
  std::vector<std::vector<int32_t>> ids, masked, labels;
  std::vector<std::pair<size_t, size_t>> places;  // row and place of every mask
  std::vector<float> draws;                       // what the generator says there is drawn with
};

// The token at which the sum of probabilities exceeds u.
int32_t drawn(const float* logits, int64_t count, float u) {
  const float highest = *std::max_element(logits, logits + count);
  double total = 0;
  for (int64_t i = 0; i < count; ++i) total += std::exp(static_cast<double>(logits[i] - highest));
  double left = static_cast<double>(u) * total;
  for (int64_t i = 0; i < count; ++i)
    if ((left -= std::exp(static_cast<double>(logits[i] - highest))) < 0) return static_cast<int32_t>(i);
  return static_cast<int32_t>(count - 1);
}

class Detection : public CorpusRows {
 public:
  Detection(const PretrainOptions& o, const bundle::Bundle& discriminator, const bundle::Bundle& generator, std::shared_ptr<const SharedEmbeddings> shared,
            Corpus train, Corpus held_out, int64_t row_tokens)
      : CorpusRows(o.arguments, std::move(train), std::move(held_out), row_tokens), discriminator_(*discriminator.network), generator_(*generator.network),
        tokenizer_(*discriminator.tokenizer), shared_(std::move(shared)), probability_(o.mlm_probability), weight_(o.discriminator_weight),
        mask_(needed(tokenizer_.mask_id(), "mask", "rtd")) {}

  StepResult accumulate(int64_t step, Metrics* metrics, const std::function<void()>& update) override {
    shared_->copy();
    const StepResult result = CorpusRows::accumulate(step, metrics, update);
    shared_->move_gradients();
    return result;
  }
  Json evaluate() override {
    shared_->copy();
    return CorpusRows::evaluate();
  }

 protected:
  // Equally many tokens of every row are masked, so that both losses are means over the same share of an update.
  std::unique_ptr<MicroBatch> damaged(std::vector<CorpusRow> rows) const override {
    auto batch = std::make_unique<MaskedRows>();
    for (CorpusRow& row : rows) {
      std::vector<int32_t> ids;
      if (const auto cls = tokenizer_.cls_id()) ids.push_back(*cls);
      const size_t first = ids.size();
      ids.insert(ids.end(), row.tokens.begin(), row.tokens.end());
      if (const auto sep = tokenizer_.sep_id()) ids.push_back(*sep);
      std::vector<size_t> candidates;
      for (size_t i = first; i < first + row.tokens.size(); ++i)
        if (!tokenizer_.is_special(ids[i])) candidates.push_back(i);
      row.draw.shuffle(&candidates);
      candidates.resize(std::min(candidates.size(), static_cast<size_t>(std::ceil(probability_ * static_cast<double>(row.tokens.size())))));
      std::sort(candidates.begin(), candidates.end());
      std::vector<int32_t> masked = ids, labels(ids.size(), -100);
      for (const size_t i : candidates) {
        labels[i] = ids[i];
        masked[i] = mask_;
        batch->places.emplace_back(batch->ids.size(), i);
        batch->draws.push_back(row.draw());
      }
      batch->targets += static_cast<double>(candidates.size());
      batch->tokens += static_cast<int64_t>(ids.size());
      batch->ids.push_back(std::move(ids));
      batch->masked.push_back(std::move(masked));
      batch->labels.push_back(std::move(labels));
    }
    return batch;
  }

  Tensor loss(const MicroBatch& batch, const Share& share, Metrics* metrics) override {
    const auto& rows = static_cast<const MaskedRows&>(batch);
    if (rows.targets <= 0) return Tensor::scalar(0);
    const nn::NamedTensors said = generator_.forward({{"input_ids", padded(rows.masked, 0)}, {"labels", padded(rows.labels, -100)}}, {});
    const Tensor logits = contiguous(said.at("logits").detach());
    const int64_t vocabulary = logits.size(2), length = logits.size(1);
    std::vector<std::vector<int32_t>> filled = rows.ids, replaced;
    for (const auto& row : rows.ids) replaced.emplace_back(row.size(), 0);
    double hits = 0;
    for (size_t k = 0; k < rows.places.size(); ++k) {
      const auto [row, place] = rows.places[k];
      const float* at = logits.data<float>() + (static_cast<int64_t>(row) * length + static_cast<int64_t>(place)) * vocabulary;
      filled[row][place] = drawn(at, vocabulary, rows.draws[k]);
      replaced[row][place] = filled[row][place] != rows.ids[row][place];
      hits += !replaced[row][place];
    }
    const Tensor told = discriminator_.forward({{"input_ids", padded(filled, 0)}, {"labels", padded(replaced, 0)}}, {}).at("loss");
    metrics->add("generator_loss", said.at("loss").item());
    metrics->add("discriminator_loss", told.item());
    metrics->add("generator_hits", hits / rows.targets);
    return (said.at("loss") + told * static_cast<float>(weight_)) * static_cast<float>(rows.targets / share.targets);
  }

 private:
  const nn::Model &discriminator_, &generator_;
  const Tokenizer& tokenizer_;
  std::shared_ptr<const SharedEmbeddings> shared_;
  double probability_, weight_;
  int32_t mask_;
};

}  // namespace

Json generator_config(const Json& discriminator) {
  Json config = discriminator;
  config["architectures"] = {"ElectraForMaskedLM"};
  for (const auto& [key, standard] : {std::pair{"hidden_size", 256}, {"num_attention_heads", 4}, {"intermediate_size", 1024}})
    config[key] = std::max<int64_t>(1, nn::config_int(discriminator, key, standard) / 4);
  return config;
}

ReplacedTokens make_replaced_tokens(const PretrainOptions& o, bundle::Bundle& discriminator, bundle::Bundle& generator, Corpus train, Corpus held_out,
                                    int64_t block) {
  if (discriminator.network->kind() != nn::HeadKind::replaced_tokens)
    fail(ErrorCode::usage, "--objective rtd: {} does not tell replaced tokens; expected ElectraForPreTraining", discriminator.architecture());
  if (generator.network->kind() != nn::HeadKind::masked_lm)
    fail(ErrorCode::usage, "--objective rtd: the generator is {}, which does not predict masked tokens", generator.architecture());
  const auto shared = std::make_shared<const SharedEmbeddings>(discriminator.weights, generator.weights);
  const Tokenizer& t = *discriminator.tokenizer;
  const int64_t row_tokens = block - (t.cls_id() ? 1 : 0) - (t.sep_id() ? 1 : 0);
  ReplacedTokens made;
  made.objective = std::make_unique<Detection>(o, discriminator, generator, shared, std::move(train), std::move(held_out), row_tokens);
  const Trained first = whole_model(discriminator), second = whole_model(generator);
  made.trained.parameters = first.parameters;
  made.trained.parameters.insert(made.trained.parameters.end(), shared->own().begin(), shared->own().end());
  made.trained.save = [first, second, shared](const std::filesystem::path& folder) {
    shared->copy();
    first.save(folder);
    second.save(folder / "generator");
  };
  made.trained.restore = [first, second](const std::filesystem::path& folder) {
    first.restore(folder);
    second.restore(folder / "generator");
  };
  return made;
}

}  // namespace mynah::train
