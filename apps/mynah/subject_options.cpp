#include "subject_options.h"

#include <sstream>

#include "base/require.h"
#include "open_model.h"

namespace mynah::app {

std::vector<std::string> comma_list(const std::string& text) {
  std::vector<std::string> parts;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, ',');) {
    const size_t begin = part.find_first_not_of(" \t"), end = part.find_last_not_of(" \t");
    if (begin != std::string::npos) parts.push_back(part.substr(begin, end - begin + 1));
  }
  return parts;
}

void SubjectFlags::add(cli::App& c) {
  command_ = &c;
  c.add_option("model", model_, "folder, .gguf file or name")->type_name("MODEL");
  c.add_option("--lora-r", lora_.r, "train low-rank adapters of this rank instead of the weights")->capture_default_str()->group("LoRA");
  c.add_option("--lora-alpha", lora_.alpha, "scale of the adapters")->capture_default_str()->group("LoRA");
  c.add_option("--lora-dropout", lora_.dropout, "share of the adapters' inputs that is dropped at random")->capture_default_str()->group("LoRA");
  c.add_option("--lora-target-modules", targets_, "comma list of modules, a regular expression of their whole paths, or all-linear (default: by family, as in PEFT)")->group("LoRA");
  c.add_flag("--use-rslora{true}", lora_.use_rslora, "scale by alpha / sqrt(r)")->group("LoRA");
  c.add_flag("--use-dora{true}", lora_.use_dora, "train direction and length of rows apart (DoRA)")->group("LoRA");
  c.add_option("--init-lora-weights", lora_.init, "true, false (B random too) or gaussian")->capture_default_str()->group("LoRA");
  c.add_option("--lora-modules-to-save", saved_, "comma list of modules that are trained whole beside the adapters")->group("LoRA");
  c.add_flag("--load-in-4bit{true}", lora_.load_in_4bit, "keep the frozen matrices as 4-bit NormalFloat (QLoRA)")->group("LoRA");
  c.add_option("--adapter", adapter_, "start from this PEFT folder")->type_name("DIR")->group("LoRA");
}

train::SubjectOptions SubjectFlags::subject(uint64_t seed) const {
  train::SubjectOptions s;
  s.lora = lora_;
  s.lora.adapter = adapter_;
  // Names of modules have letters, digits, dots and underscores; what has more is one regular expression, as in PEFT.
  s.lora.targets_are_pattern = targets_.find_first_of("*|()[]{}^$\\?+") != std::string::npos;
  s.lora.target_modules = s.lora.targets_are_pattern ? std::vector<std::string>{targets_} : comma_list(targets_);
  s.lora.modules_to_save = comma_list(saved_);
  s.lora.enabled = !adapter_.empty();
  for (const char* flag : {"--lora-r", "--lora-alpha", "--lora-dropout", "--lora-target-modules", "--use-rslora", "--use-dora", "--init-lora-weights", "--lora-modules-to-save"})
    if (command_->count(flag) > 0) {
      if (!adapter_.empty()) fail(ErrorCode::usage, "{}: is of new adapters, and the one of --adapter {} keeps what it was made with; leave one away", flag, adapter_);
      s.lora.enabled = true;
    }
  s.model_name = model_;
  if (model_.empty()) {
    if (adapter_.empty()) fail(ErrorCode::usage, "{}: MODEL is needed", command_->get_name());
    s.model_name = train::base_of_adapter(adapter_);
    s.model = base_path(s.model_name, adapter_);
  } else {
    s.model = model_path(s.model_name);
  }
  s.seed = seed;
  return s;
}

void refuse_encoder_decoder(const train::Subject& subject, const std::string& command) {
  if (subject.bundle->network->seq2seq_lm())
    fail(ErrorCode::usage, "{}: {} is an encoder-decoder, expected a decoder; finetune --task seq2seq trains it", command, subject.bundle->architecture());
}

void SftFlags::add(cli::App& c) {
  c.add_option("--max-length", values.max_length, "tokens of a row; longer ones are cut")->capture_default_str();
  c.add_option("--truncation-mode", values.truncation_mode, "keep_start or keep_end")->capture_default_str();
  c.add_flag("--packing{true}", values.packing, "put several rows into one; they do not see each other");
  packing_strategy_option = c.add_option("--packing-strategy", values.packing_strategy, "bfd, bfd_split or wrapped")->capture_default_str();
  completion_only_option = c.add_flag("--completion-only-loss{true}", completion_only, "learn the completion alone (default for rows with a prompt)");
  c.add_flag("--assistant-only-loss{true}", values.assistant_only_loss, "learn what the assistant says alone");
}

train::SftOptions SftFlags::options() const {
  train::SftOptions o = values;
  if (packing_strategy_option->count() && !o.packing) fail(ErrorCode::usage, "--packing-strategy {}: needs --packing", o.packing_strategy);
  if (completion_only_option->count()) o.completion_only_loss = completion_only;
  return o;
}

}  // namespace mynah::app
