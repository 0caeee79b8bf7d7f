// Fine-tuning for the tasks of heads: sequence and token classification, question answering, sequence to sequence; and for vectors of texts.
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "train/objective.h"
#include "train/subject.h"

namespace mynah::train {

enum class Task { language_model, sequence_classification, token_classification, question_answering, seq2seq, sentence_similarity };

// From a name or alias ("text-classification", "ner", "summarization" ...); empty: by the head that the checkpoint has. Throws usage.
Task find_task(const std::string& name, const std::filesystem::path& model);

struct TaskOptions {
  int64_t max_length = 1024;
  int64_t doc_stride = 128;  // tokens that two windows of a long context share
};

// Tokens that a row of text may have by a model's config; 0: any number.
int64_t most_tokens(const Json& config);

// What the labels of a file ask of the model's head. Throws failure for rows without labels or of mixed kinds.
struct Labels {
  std::vector<std::string> names;  // of the classifier's outputs; empty: the checkpoint's stay
  std::string problem_type;
};
// The labels that the checkpoint's own head knows serve if all labels of the file are among them.
Labels find_labels(Task task, const std::filesystem::path& model, const std::filesystem::path& train_file);

std::unique_ptr<Objective> make_task(Task task, const Arguments& arguments, const TaskOptions& options, const bundle::Bundle& b,
                                     const std::filesystem::path& train_file, const std::filesystem::path& validation_file);

}  // namespace mynah::train
