#include "train/pretrain.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/log.h"
#include "base/random.h"
#include "base/require.h"
#include "base/unicode.h"
#include "bundle/bundle.h"
#include "nn/config.h"
#include "nn/head_kind.h"
#include "train/denoising.h"
#include "train/lm.h"
#include "train/memory.h"
#include "train/permutation_lm.h"
#include "train/replaced_tokens.h"
#include "train/samples.h"
#include "train/subject.h"
#include "train/text_corpus.h"
#include "train/trainer.h"

namespace mynah::train {
namespace {

struct Windows : MicroBatch {
  PackedRows rows;
};

// Blocks of a corpus. Documents inside a block do not see each other and their positions start at 0.
class Blocks {
 public:
  Blocks(Corpus corpus, int64_t block) : corpus_(std::move(corpus)), block_(block) {}

  // A window of `length` inputs from token `begin` on, with the next tokens as targets.
  void add(int64_t begin, int64_t length, PackedRows* rows) const {
    const CorpusPiece piece = corpus_.piece(begin, std::min(length + 1, corpus_.size() - begin));
    int64_t first = 0;  // of the document's part
    for (int64_t i = 0; i < length; ++i) {
      const bool last = piece.is_last(i);
      rows->batch.ids.push_back(piece.token(i));
      rows->batch.positions.push_back(static_cast<int32_t>(i - first));
      rows->targets.push_back(last ? kIgnored : piece.token(i + 1));
      if (!last && i + 1 < length) continue;
      rows->batch.lengths.push_back(i + 1 - first);
      first = i + 1;
    }
  }
  int64_t tokens() const { return corpus_.size(); }
  int64_t block() const { return block_; }
  const Corpus& corpus() const { return corpus_; }

 private:
  Corpus corpus_;
  int64_t block_;
};

// Next-token prediction. One text of characters gives random windows, as nanoGPT draws them; others give blocks in shuffled order.
class NextToken : public BatchObjective {
 public:
  NextToken(const Arguments& a, const nn::CausalLM& lm, Corpus train, Corpus held_out, int64_t block, bool random_windows)
      : BatchObjective(a), lm_(lm), train_(std::move(train), block), held_out_(std::move(held_out), block), random_(random_windows),
        batches_(std::max<int64_t>(1, (train_.tokens() - 1) / block), a.per_device_train_batch_size, a.shuffle, a.seed) {}

  bool has_evaluation() const override { return held_out_.tokens() > 1; }

  // Consecutive windows, so that every token but the first is a target once.
  Json evaluate() override {
    const int64_t targets = held_out_.tokens() - 1, block = held_out_.block();
    Json row = evaluate_rows((targets + block - 1) / block, [&](const std::vector<int64_t>& some) {
      auto batch = std::make_unique<Windows>();
      for (const int64_t i : some) held_out_.add(i * block, std::min(block, targets - i * block), &batch->rows);
      batch->targets = static_cast<double>(batch->rows.counted());
      return batch;
    });
    row["eval_bpb"] = row["eval_loss"].get<double>() * static_cast<double>(targets) / std::numbers::ln2 / static_cast<double>(held_out_.corpus().bytes());
    return row;
  }

 protected:
  int64_t batches_per_epoch() const override { return batches_.count(); }

  std::unique_ptr<MicroBatch> micro_batch(int64_t epoch, int64_t index) const override {
    auto batch = std::make_unique<Windows>();
    const int64_t block = train_.block();
    if (random_) {
      const auto draw = static_cast<uint64_t>(epoch * batches_per_epoch() + index);
      for (int64_t row = 0; row < arguments_.per_device_train_batch_size; ++row) {
        const auto bits = philox(arguments_.seed, draw, static_cast<uint64_t>(row), RandomPurpose::data_order);
        const uint64_t places = static_cast<uint64_t>(train_.tokens() - block);
        add(static_cast<int64_t>((static_cast<uint64_t>(bits[0]) << 32 | bits[1]) % places), block, batch.get());
      }
    } else {
      for (const int64_t row : batches_.rows(epoch, index)) add(row * block, std::min(block, train_.tokens() - 1 - row * block), batch.get());
    }
    batch->targets = static_cast<double>(batch->rows.counted());
    batch->tokens = batch->rows.tokens();
    return batch;
  }

  Tensor loss(const MicroBatch& batch, const Share& share, Metrics*) override {
    const PackedRows& rows = static_cast<const Windows&>(batch).rows;
    const Body body = lm_body(lm_, rows);
    return with_balance(head_loss(lm_, body.hidden, rows.targets, share.targets, nullptr), body, static_cast<double>(share.micro_batches));
  }

 private:
  void add(int64_t begin, int64_t length, Windows* batch) const {
    train_.add(begin, length, &batch->rows);
    batch->places.push_back(fmt::format("tokens {} to {}", begin, begin + length - 1));
  }

  const nn::CausalLM& lm_;
  Blocks train_, held_out_;
  bool random_;
  RowBatches batches_;
};

// Whether every token is one character.
bool is_character_tokenizer(const Tokenizer& tokenizer) {
  for (int32_t id = 0; id < tokenizer.vocab_size(); ++id)
    if (!tokenizer.is_special(id) && unicode::count_characters(tokenizer.token_text(id)) != 1) return false;
  return true;
}

// Fills in what the tokenizer decides and refuses a vocabulary that is too small.
Json complete_config(Json config, const Tokenizer& tokenizer, const std::string& where) {
  require(config.is_object(), "{}: not a JSON object", where);
  const int64_t tokens = tokenizer.vocab_size();
  if (!config.contains("vocab_size")) config["vocab_size"] = tokens;
  const int64_t vocabulary = nn::config_int(config, "vocab_size", tokens);
  require(vocabulary >= tokens, "{}: vocab_size is {}, the tokenizer has {} tokens; leave vocab_size out or raise it", where, vocabulary, tokens);
  for (const auto& [key, id] : {std::pair{"bos_token_id", tokenizer.bos_id()}, {"eos_token_id", tokenizer.eos_id()}, {"pad_token_id", tokenizer.pad_id()}})
    if (!config.contains(key)) config[key] = id ? Json(*id) : Json();
  return config;
}

// The network to be trained with the tokenizer and template of `text`: made from a config, or a checkpoint's.
std::shared_ptr<bundle::Bundle> start(Json config, const std::string& config_place, const std::filesystem::path& model, const bundle::Bundle& text, const Arguments& a) {
  bundle::TrainOptions limited;
  limited.most_bytes = most_weight_bytes(a.optim);
  const auto b = model.empty() ? bundle::create(complete_config(std::move(config), *text.tokenizer, config_place), a.seed, limited.most_bytes)
                               : bundle::open(model, {.precision = Precision::f32, .trainable = true}, {.network = true, .tokenizer = false}, limited);
  const int64_t vocabulary = nn::config_int(b->config, "vocab_size", text.tokenizer->vocab_size());
  require(vocabulary >= text.tokenizer->vocab_size(), "{}: vocab_size is {}, the tokenizer has {} tokens", model.string(), vocabulary, text.tokenizer->vocab_size());
  b->tokenizer = text.tokenizer;
  b->chat_template = text.chat_template;
  b->text_path = text.text_path;
  return b;
}

// The head that an objective trains, where a config names none.
Json with_head(Json config, const std::string& objective, const std::string& where) {
  if (!config.is_object() || config.contains("architectures") || (objective != "mlm" && objective != "rtd")) return config;
  const nn::HeadKind wanted = objective == "mlm" ? nn::HeadKind::masked_lm : nn::HeadKind::replaced_tokens;
  for (const auto& name : bundle::find_entry(config, where).architectures) {
    Json named = config;
    named["architectures"] = {name};
    if (nn::head_kind(named) == wanted) return named;
  }
  return config;
}

void check_options(const PretrainOptions& o) {
  check(o.arguments);
  static constexpr std::string_view kObjectives[] = {"clm", "mlm", "span", "denoising", "rtd", "plm"};
  if (std::find(std::begin(kObjectives), std::end(kObjectives), o.objective) == std::end(kObjectives))
    fail(ErrorCode::usage, "--objective: \"{}\", expected clm, mlm, span, denoising, rtd or plm", o.objective);
  if (o.config.empty() == o.model.empty()) fail(ErrorCode::usage, "pretrain: --config FILE or --model MODEL is needed, and not both");
  if (!o.generator.empty() && !o.generator_config.empty()) fail(ErrorCode::usage, "pretrain: --generator and --generator-config are given, expected one");
  if (o.objective != "rtd" && !(o.generator.empty() && o.generator_config.empty())) fail(ErrorCode::usage, "pretrain: a generator belongs to --objective rtd");
  if (o.tokenizer.empty() && o.model.empty()) fail(ErrorCode::usage, "pretrain: --tokenizer DIR is needed");
  if (!(o.validation_fraction >= 0 && o.validation_fraction < 1)) fail(ErrorCode::usage, "--validation-fraction: {}, expected 0 or more and below 1", o.validation_fraction);
  for (const auto& [flag, share] : {std::pair{"mlm-probability", o.mlm_probability}, {"mask-ratio", o.mask_ratio}, {"plm-probability", o.plm_probability}})
    if (!(share > 0 && share < 1)) fail(ErrorCode::usage, "--{}: {}, expected above 0 and below 1", flag, share);
  if (!(o.poisson_lambda > 0 && o.poisson_lambda <= 100)) fail(ErrorCode::usage, "--poisson-lambda: {}, expected above 0 and at most 100", o.poisson_lambda);
  if (o.max_span_length < 1) fail(ErrorCode::usage, "--max-span-length: {}, expected 1 or more", o.max_span_length);
  if (!(o.discriminator_weight >= 0)) fail(ErrorCode::usage, "--discriminator-weight: {}, expected 0 or more", o.discriminator_weight);
}

}  // namespace

void pretrain(const PretrainOptions& o) {
  check_options(o);
  const auto text = bundle::open_text_only(o.tokenizer.empty() ? o.model : o.tokenizer);
  const auto b = start(o.model.empty() ? with_head(read_json_file(o.config), o.objective, o.config.string()) : Json(), o.config.string(), o.model, *text, o.arguments);

  const auto eos = b->tokenizer->eos_id();
  const auto corpus_of = [&](const std::vector<std::filesystem::path>& files) { return read_corpus(files, *b->tokenizer, text->text_path, eos ? *eos : -1, o.arguments); };
  Corpus train = corpus_of(o.train_files), held_out;
  if (!o.validation_file.empty()) held_out = corpus_of({o.validation_file});
  else if (o.validation_fraction > 0)
    held_out = train.split_off(static_cast<int64_t>(static_cast<double>(train.size()) * (1 - o.validation_fraction)));

  if (o.validation_fraction > 0 && o.validation_file.empty() && held_out.size() < 2)
    fail(ErrorCode::usage, "--validation-fraction: {} of {} tokens holds out {}; raise it, or leave it away", o.validation_fraction, train.size() + held_out.size(), held_out.size());

  const nn::CausalLM* lm = b->network->causal_lm();
  int64_t block = o.block_size;
  const int64_t context = nn::config_int(b->config, "max_position_embeddings", nn::config_int(b->config, "n_positions", lm ? lm->max_positions() : 0, 0), 0);
  if (block <= 0) block = context > 0 ? std::min<int64_t>(context, 1024) : 512;
  require(context <= 0 || block <= context, "--block-size: {}, the model has {} positions", block, context);
  require(block >= 8 || o.objective == "clm", "--block-size: {}, expected 8 or more", block);
  require(train.size() > block, "{}: {} tokens, more than --block-size {} are needed", o.train_files.front().string(), train.size(), block);

  if (o.objective == "rtd") {
    const bool given = !o.generator_config.empty();
    const auto generator = start(!o.generator.empty() ? Json() : given ? with_head(read_json_file(o.generator_config), "mlm", o.generator_config.string()) : generator_config(b->config),
                                 given ? o.generator_config.string() : "the generator's config", o.generator, *text, o.arguments);
    const ReplacedTokens made = make_replaced_tokens(o, *b, *generator, std::move(train), std::move(held_out), block);
    run(o.arguments, made.trained, *made.objective);
    return;
  }
  std::unique_ptr<Objective> objective;
  if (o.objective == "clm") {
    if (!lm || lm->kind() != nn::HeadKind::causal_lm || b->network->seq2seq_lm())
      fail(ErrorCode::usage, "--objective clm: {} does not predict next tokens; use mlm, span, denoising, rtd or plm", b->architecture());
    const bool random_windows = train.documents() == 1 && is_character_tokenizer(*b->tokenizer) && o.arguments.shuffle;
    objective = std::make_unique<NextToken>(o.arguments, *lm, std::move(train), std::move(held_out), block, random_windows);
  } else if (o.objective == "plm") {
    objective = make_permutation_lm(o, *b, std::move(train), std::move(held_out), block);
  } else {
    objective = make_denoising(o, *b, std::move(train), std::move(held_out), block);
  }
  Trained trained = whole_model(*b);
  trained.sample = sampler(b);
  run(o.arguments, trained, *objective);
}

}  // namespace mynah::train
