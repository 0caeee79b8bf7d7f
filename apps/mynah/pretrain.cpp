// mynah pretrain: a new model from a config, a tokenizer and text.
#include "cli.h"
#include "train/pretrain.h"

#include "base/require.h"
#include "command.h"
#include "training_options.h"

namespace mynah::app {
namespace {

struct Options {
  train::PretrainOptions pretrain;
  TrainingOptions training;
  std::vector<std::string> files;
  std::string config, tokenizer, validation;
};

int act(const Options& o) {
  train::PretrainOptions p = o.pretrain;
  p.arguments = o.training.arguments();
  p.config = o.config;
  p.tokenizer = o.tokenizer;
  p.train_files.assign(o.files.begin(), o.files.end());
  p.validation_file = o.validation;
  train::pretrain(p);
  return 0;
}

}  // namespace

void add_pretrain(cli::App& parent, std::function<int()>& action) {
  cli::App* c = parent.add_subcommand("pretrain", "Train a new model on text");
  auto o = std::make_shared<Options>();
  c->add_option("--config", o->config, "config.json of the model to make")->required()->type_name("FILE");
  c->add_option("--tokenizer", o->tokenizer, "folder with the tokenizer")->required()->type_name("DIR");
  c->add_option("--train-file", o->files, "text, or .jsonl or .csv rows with \"text\" (also .gz)")->required()->type_name("FILE...");
  c->add_option("--validation-file", o->validation, "held-out text")->type_name("FILE");
  c->add_option("--validation-fraction", o->pretrain.validation_fraction, "hold out the end of the training text")->capture_default_str();
  c->add_option("--objective", o->pretrain.objective, "clm (next token), mlm (masked tokens), span (T5)")->capture_default_str();
  c->add_option("--block-size", o->pretrain.block_size, "tokens of a row (0: the model's positions, at most 1024)")->capture_default_str();
  c->add_option("--mlm-probability", o->pretrain.mlm_probability, "share of tokens to predict")->capture_default_str();
  c->add_flag("--whole-word{true}", o->pretrain.whole_word, "mask whole words");
  o->training.add(*c);
  c->callback([o, &action] { action = [o] { return act(*o); }; });
}

}  // namespace mynah::app
