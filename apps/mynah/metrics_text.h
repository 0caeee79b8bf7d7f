// Prometheus' text form, as a server writes its numbers.
#pragma once
#include <map>
#include <string>
#include <vector>

namespace mynah::app {

class MetricsText {
 public:
  // Lines that are no numbers are passed over.
  explicit MetricsText(const std::string& text);

  // The sum of the rows with this name; 0 without any.
  double sum(const std::string& name) const;
  // The row's value where these labels have these values; 0 without one.
  double value(const std::string& name, const std::map<std::string, std::string>& labels) const;
  // The values that a label takes.
  std::vector<std::string> values_of(const std::string& name, const std::string& label) const;

 private:
  struct Row {
    std::string name;
    std::map<std::string, std::string> labels;
    double value;
  };
  std::vector<Row> rows_;
};

}  // namespace mynah::app
