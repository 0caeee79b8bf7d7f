// mynah merge ADAPTER: the base model with the adapter's change in its weights.
#include <fmt/core.h>

#include "base/require.h"
#include "cli.h"
#include "command.h"
#include "open_model.h"
#include "train/lora.h"
#include "train/merge_check.h"

namespace mynah::app {
namespace {

struct MergeOptions {
  std::string adapter, model, output_dir;
  bool load_in_4bit = false, json = false;
};

int run_merge(const MergeOptions& o) {
  const std::string base = o.model.empty() ? train::base_of_adapter(o.adapter) : o.model;
  const auto path = o.model.empty() ? base_path(base, o.adapter) : model_path(base);
  if (o.output_dir.ends_with(".gguf")) fail(ErrorCode::usage, "--output-dir {}: merge writes a folder; mynah convert FOLDER {} makes a file of it", o.output_dir, o.output_dir);
  for (const std::string& input : {path, o.adapter}) refuse_same_place(input, o.output_dir);
  const double largest = train::merge_adapter(o.adapter, path, o.output_dir, o.load_in_4bit);
  const std::optional<double> difference = train::largest_logit_difference(o.adapter, path, o.output_dir, o.load_in_4bit);
  if (o.json) {
    print_json({{"base", base}, {"output_dir", o.output_dir}, {"largest_change", largest}, {"largest_logit_difference", difference ? Json(*difference) : Json()}});
    return 0;
  }
  fmt::print(stderr, "{}: {} and {}; the largest change of a weight is {:.3g}\n", o.output_dir, base, o.adapter, largest);
  if (difference) fmt::print(stderr, "logits before and after, on 32 tokens: they differ by {:.1e} at most\n", *difference);
  return 0;
}

}  // namespace

void add_merge(cli::App& parent, std::function<int()>& action) {
  cli::App* c = parent.add_subcommand("merge", "Write the model that a LoRA adapter and its base are together");
  auto o = std::make_shared<MergeOptions>();
  c->add_option("adapter", o->adapter, "PEFT folder")->required()->type_name("ADAPTER");
  c->add_option("--model", o->model, "base model (default: base_model_name_or_path of the adapter)")->type_name("MODEL");
  c->add_option("--output-dir", o->output_dir, "folder to write")->required()->type_name("DIR");
  c->add_flag("--load-in-4bit", o->load_in_4bit, "the adapter was trained beside matrices in 4 bits: they become these numbers");
  c->add_flag("--json", o->json, "say what was done as JSON");
  c->callback([o, &action] { action = [o] { return run_merge(*o); }; });
}

}  // namespace mynah::app
