// mynah finetune MODEL: fine-tuning for a task, whole or with LoRA.

#include "cli.h"
#include "base/require.h"
#include "command.h"
#include "open_model.h"
#include "subject_options.h"
#include "train/media_tasks.h"
#include "train/tasks.h"
#include "training_options.h"

namespace mynah::app {
namespace {

struct FinetuneOptions {
  cli::App* command = nullptr;
  SubjectFlags subject;
  SftFlags sft;
  TrainingOptions training;
  std::string task, train_file, validation_file, loss_type = "nll", augment;
  bool from_scratch = false;
  train::TaskOptions task_options;
};

const char* head_of(train::Task task) {
  switch (task) {
    case train::Task::sequence_classification: return "ForSequenceClassification";
    case train::Task::token_classification: return "ForTokenClassification";
    case train::Task::question_answering: return "ForQuestionAnswering";
    case train::Task::sentence_similarity: return "Model";
    default: return "";
  }
}

// Flags that this task does not read would change nothing without a word.
void check_flags(const FinetuneOptions& o, bool sft, bool answers, bool media) {
  const auto refuse = [&](const std::vector<const char*>& flags, const char* whose) {
    for (const char* flag : flags)
      if (o.command->count(flag) > 0) fail(ErrorCode::usage, "finetune: {} is of {}, and this task is another; leave it away", flag, whose);
  };
  if (!sft) refuse({"--loss-type", "--truncation-mode", "--packing", "--packing-strategy", "--completion-only-loss", "--assistant-only-loss"}, "text generation");
  if (!answers) refuse({"--doc-stride"}, "question answering");
  if (media) refuse({"--max-length"}, "texts");
  else refuse({"--augment"}, "pictures");
}

// Pictures and sounds.
int act_on_media(const FinetuneOptions& o, train::MediaTask task, train::SubjectOptions s) {
  const train::Arguments a = o.training.arguments();
  s.seed = a.seed;
  s.head = train::media_head(task, s.model);
  s.labels = train::find_media_labels(task, s.model, o.train_file).names;
  const train::Subject subject = train::open_subject(s);
  const auto objective = train::make_media_task(task, a, {train::augmentation(o.augment)}, *subject.bundle, o.train_file, o.validation_file);
  train::run(a, subject.trained, *objective);
  return 0;
}

int run_finetune(const FinetuneOptions& o) {
  train::SubjectOptions s = o.subject.subject(0);
  refuse_same_place(s.model, o.training.output_dir());
  s.from_scratch = o.from_scratch;
  if (const auto media = train::find_media_task(o.task, s.model)) {
    check_flags(o, false, false, true);
    return act_on_media(o, *media, std::move(s));
  }
  const train::Task task = train::find_task(o.task, s.model);
  const bool sft = task == train::Task::language_model;
  check_flags(o, sft, task == train::Task::question_answering, false);
  const train::Arguments a = o.training.arguments(sft ? TrainingDefaults{2e-5, 1, 10} : TrainingDefaults{});
  s.seed = a.seed;
  s.head = head_of(task);
  const train::Labels labels = train::find_labels(task, s.model, o.train_file);
  s.labels = labels.names;
  s.problem_type = labels.problem_type;
  const train::Subject subject = train::open_subject(s);
  if (sft) refuse_encoder_decoder(subject, "finetune");
  train::SftOptions sft_options = o.sft.options();
  sft_options.loss_type = o.loss_type;
  train::TaskOptions task_options = o.task_options;
  task_options.max_length = sft_options.max_length;
  const auto objective = sft ? train::make_sft(a, sft_options, *subject.bundle, o.train_file, o.validation_file)
                             : train::make_task(task, a, task_options, *subject.bundle, o.train_file, o.validation_file);
  train::run(a, subject.trained, *objective);
  return 0;
}

}  // namespace

void add_finetune(cli::App& parent, std::function<int()>& action) {
  cli::App* c = parent.add_subcommand("finetune", "Fine-tune a model on rows of text, pictures or sounds, for chat or for a task");
  auto o = std::make_shared<FinetuneOptions>();
  o->command = c;
  o->subject.add(*c);
  c->add_option("--train-file", o->train_file, ".jsonl, .csv or .txt (also .gz, .zst); of pictures also a folder with one for each label")->required()->type_name("FILE");
  c->add_option("--validation-file", o->validation_file, "held-out rows")->type_name("FILE");
  c->add_option("--task", o->task, "text-generation, text-classification, token-classification, question-answering, seq2seq, sentence-similarity, image-classification, "
                "object-detection, audio-classification, automatic-speech-recognition, contrastive (default: the model's)");
  c->add_option("--loss-type", o->loss_type, "of text: nll or dft")->capture_default_str();
  c->add_option("--doc-stride", o->task_options.doc_stride, "tokens that windows of a long context share")->capture_default_str();
  c->add_option("--augment", o->augment, "change pictures at random: a comma list of flip, crop, color, mosaic");
  c->add_flag("--from-scratch", o->from_scratch, "draw all weights anew: MODEL is a folder with config.json and what processes its inputs");
  o->sft.add(*c);
  o->training.add(*c);
  c->callback([o, &action] { action = [o] { return run_finetune(*o); }; });
}

}  // namespace mynah::app
