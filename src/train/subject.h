// The model that is trained: a whole network, or adapters on a frozen one.
#pragma once
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "bundle/bundle.h"
#include "train/lora.h"
#include "train/trainer.h"

namespace mynah::train {

struct SubjectOptions {
  std::filesystem::path model;
  std::string model_name;  // as the user gave it: what messages call it and an adapter names as its base
  LoraOptions lora;
  // Another head than the checkpoint's: the end of an architecture's name ("ForSequenceClassification"); empty: as it is.
  std::string head;
  std::vector<std::string> labels;  // names of a classifier's outputs; empty: as the checkpoint has them
  std::string problem_type;         // of a sequence classifier; empty: as the reference infers it
  bool from_scratch = false;        // the folder's config.json says what is made, its weights, if any, are not read
  uint64_t seed = 42;               // of what is drawn: a new head, new adapters
};

struct Subject {
  std::shared_ptr<bundle::Bundle> bundle;
  std::shared_ptr<Adapter> adapter;  // null: all weights are trained
  Trained trained;

  const nn::CausalLM& lm() const { return bundle->causal_lm(); }
};

Subject open_subject(const SubjectOptions& options);

// The same model as it is at the start, not trained: what preference losses compare with. A model that scores texts needs its tokenizer.
std::shared_ptr<bundle::Bundle> open_reference(const SubjectOptions& options, bool tokenizer = false);

// Every weight is trained; checkpoints are model folders. `b` must outlive what is returned.
Trained whole_model(bundle::Bundle& b);

}  // namespace mynah::train
