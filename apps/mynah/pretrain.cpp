// mynah pretrain: a new model from a config, a tokenizer and text.
#include "cli.h"
#include "train/pretrain.h"

#include "base/require.h"
#include "command.h"
#include "open_model.h"
#include "training_options.h"

namespace mynah::app {
namespace {

struct PretrainOptions {
  train::PretrainOptions pretrain;
  TrainingOptions training;
  std::vector<std::string> files;
  std::string config, model, tokenizer, validation, generator_config, generator;
};

int run_pretrain(const PretrainOptions& o) {
  train::PretrainOptions p = o.pretrain;
  p.arguments = o.training.arguments();
  p.config = std::filesystem::is_directory(o.config) ? std::filesystem::path(o.config) / "config.json" : std::filesystem::path(o.config);
  if (!o.model.empty()) p.model = model_path(o.model);
  if (!o.model.empty()) refuse_same_place(p.model, p.arguments.output_dir);
  p.tokenizer = o.tokenizer;
  p.generator_config = o.generator_config;
  if (!o.generator.empty()) p.generator = model_path(o.generator);
  p.train_files.assign(o.files.begin(), o.files.end());
  p.validation_file = o.validation;
  train::pretrain(p);
  return 0;
}

}  // namespace

void add_pretrain(cli::App& parent, std::function<int()>& action) {
  cli::App* c = parent.add_subcommand("pretrain", "Train a new model on text");
  auto o = std::make_shared<PretrainOptions>();
  c->add_option("--config", o->config, "config.json of the model to make, or a folder with it")->type_name("FILE");
  c->add_option("--model", o->model, "go on with this model instead")->type_name("MODEL");
  c->add_option("--tokenizer", o->tokenizer, "folder with the tokenizer (default: --model's)")->type_name("DIR");
  c->add_option("--train-file", o->files, "text, or .jsonl or .csv rows with \"text\" (also .gz, .zst)")->required()->type_name("FILE...");
  c->add_option("--validation-file", o->validation, "held-out text")->type_name("FILE");
  c->add_option("--validation-fraction", o->pretrain.validation_fraction, "hold out the end of the training text")->capture_default_str();
  c->add_option("--objective", o->pretrain.objective, "clm (next token), mlm (masked tokens), span (T5), denoising (BART), rtd (ELECTRA), plm (XLNet)")
      ->capture_default_str();
  c->add_option("--block-size", o->pretrain.block_size, "tokens of a row (0: the model's positions, at most 1024)")->capture_default_str();
  c->add_option("--mlm-probability", o->pretrain.mlm_probability, "mlm, rtd: share of tokens to predict")->capture_default_str();
  c->add_flag("--whole-word{true}", o->pretrain.whole_word, "mlm: mask whole words");
  c->add_option("--mask-ratio", o->pretrain.mask_ratio, "denoising: share of tokens that spans hide")->capture_default_str();
  c->add_option("--poisson-lambda", o->pretrain.poisson_lambda, "denoising: mean length of a span")->capture_default_str();
  c->add_flag("--permute-sentences{true}", o->pretrain.permute_sentences, "denoising: sentences change places (default true)");
  c->add_option("--plm-probability", o->pretrain.plm_probability, "plm: share of tokens to predict")->capture_default_str();
  c->add_option("--max-span-length", o->pretrain.max_span_length, "plm: tokens of a predicted span")->capture_default_str();
  c->add_option("--generator-config", o->generator_config, "rtd: config.json of the generator (default: a quarter of the model's width)")->type_name("FILE");
  c->add_option("--generator", o->generator, "rtd: go on with this generator")->type_name("MODEL");
  c->add_option("--discriminator-weight", o->pretrain.discriminator_weight, "rtd: of its loss beside the generator's")->capture_default_str();
  o->training.add(*c);
  c->callback([o, &action] { action = [o] { return run_pretrain(*o); }; });
}

}  // namespace mynah::app
