// Which model is trained and how much of it: MODEL and the LoRA flags, shared by finetune and align.
#pragma once
#include <string>

#include "cli.h"
#include "train/sft.h"
#include "train/subject.h"

namespace mynah::app {

// Throws usage where what `command` would train answers an encoded text: rows of text alone do not fit it.
void refuse_encoder_decoder(const train::Subject& subject, const std::string& command);

class SubjectFlags {
 public:
  void add(cli::App& command);
  // Pulls MODEL if it is a name. Without MODEL the adapter's base is meant.
  train::SubjectOptions subject(uint64_t seed) const;
  const std::string& model() const { return model_; }

 private:
  std::string model_, adapter_, targets_, saved_;
  train::LoraOptions lora_;
  cli::App* command_ = nullptr;
};

// The flags of SFT, for finetune and align sft.
struct SftFlags {
  void add(cli::App& command);
  train::SftOptions options() const;

  train::SftOptions values;
  bool completion_only = true;
  cli::Option *completion_only_option = nullptr, *packing_strategy_option = nullptr;
};

// "a,b" -> {"a", "b"}.
std::vector<std::string> comma_list(const std::string& text);

}  // namespace mynah::app
