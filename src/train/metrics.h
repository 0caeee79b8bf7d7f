// Numbers that a trainer reports beside the loss: each logged row holds their means since the last one.
#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/json.h"

namespace mynah::train {

class Metrics {
 public:
  // One observation; a row shows the mean of all since the last row, in the order in which names first came.
  void add(const std::string& name, double value);
  // A number that rows show as it is now (a total).
  void set(const std::string& name, double value);

  // Adds the means to `row` and starts anew.
  void flush_into(Json* row);
  // For checkpoints between two rows.
  Json state() const;
  void set_state(const Json& state);

 private:
  struct Entry {
    std::string name;
    double sum;
    int64_t count;  // 0: set, not a mean
  };
  Entry* find(const std::string& name);
  std::vector<Entry> entries_;
};

}  // namespace mynah::train
