// Encoded rows with their labels, and the objective that a network's own loss makes of them.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bundle/bundle.h"
#include "train/objective.h"
#include "train/row_file.h"

namespace mynah::train {

struct Feature {
  std::vector<int32_t> ids, type_ids;
  std::vector<int32_t> labels;     // a class; a class per token; or the tokens to produce
  std::vector<float> numbers;      // regression, or one per label of a multi-label classifier
  int32_t start = -1, end = -1;    // of an answer, in tokens
  int32_t cls = 0;                 // the token that a window without the answer points at
  std::vector<int32_t> context;    // 1 for tokens that may be of an answer
  std::string where;

  template <class Parts>
  void each_part(Parts& part) {
    part(ids);
    part(type_ids);
    part(labels);
    part(numbers);
    part(start);
    part(end);
    part(cls);
    part(context);
    part(where);
  }
};

enum class LabelKind { one, numbers, per_token, span, sequence };

std::unique_ptr<Objective> make_features(const Arguments& arguments, const bundle::Bundle& b, LabelKind kind, RowFile<Feature> train,
                                         RowFile<Feature> held_out);

}  // namespace mynah::train
