// Scores and labels that several tasks share.
#pragma once
#include <span>
#include <string>
#include <vector>

#include "tasks/task_entry.h"

namespace mynah::tasks {

// config.json's name of a class, "LABEL_i" without one.
std::string label_name(const bundle::Bundle& b, int64_t index);

std::vector<float> softmax(std::span<const float> logits);
size_t argmax(std::span<const float> values);  // the first of equals
// Indices of the k largest, largest first, of equals the first one first.
std::vector<size_t> largest(std::span<const float> values, size_t k);
// Brings a vector to length 1. False, and nothing done, for one without direction: of zeros, or not finite.
bool to_unit_length(std::span<float> vector);

}  // namespace mynah::tasks
