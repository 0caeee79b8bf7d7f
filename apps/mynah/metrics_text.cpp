#include "metrics_text.h"

#include <algorithm>
#include <cstdlib>
#include <sstream>

namespace mynah::app {
namespace {

// What stands between { and }, from `at` behind the {; npos for a list that does not end.
size_t read_labels(const std::string& line, size_t at, std::map<std::string, std::string>* labels) {
  while (at < line.size() && line[at] != '}') {
    const size_t equals = line.find("=\"", at);
    if (equals == std::string::npos) return std::string::npos;
    std::string& value = (*labels)[line.substr(at, equals - at)];
    for (at = equals + 2; at < line.size() && line[at] != '"'; ++at) {
      if (line[at] == '\\' && at + 1 < line.size()) ++at;
      value += line[at];
    }
    ++at;
    if (at < line.size() && line[at] == ',') ++at;
  }
  return at < line.size() ? at + 1 : std::string::npos;
}

}  // namespace

MetricsText::MetricsText(const std::string& text) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.empty() || line[0] == '#') continue;
    Row row;
    size_t at = line.find_first_of("{ ");
    if (at == std::string::npos) continue;
    row.name = line.substr(0, at);
    if (line[at] == '{') at = read_labels(line, at + 1, &row.labels);
    if (at == std::string::npos) continue;
    char* end = nullptr;
    row.value = std::strtod(line.c_str() + at, &end);
    if (end != line.c_str() + at) rows_.push_back(std::move(row));
  }
}

double MetricsText::sum(const std::string& name) const {
  double total = 0;
  for (const Row& row : rows_)
    if (row.name == name) total += row.value;
  return total;
}

double MetricsText::value(const std::string& name, const std::map<std::string, std::string>& labels) const {
  for (const Row& row : rows_)
    if (row.name == name && std::all_of(labels.begin(), labels.end(), [&](const auto& wanted) {
          const auto it = row.labels.find(wanted.first);
          return it != row.labels.end() && it->second == wanted.second;
        }))
      return row.value;
  return 0;
}

std::vector<std::string> MetricsText::values_of(const std::string& name, const std::string& label) const {
  std::vector<std::string> all;
  for (const Row& row : rows_)
    if (const auto it = row.labels.find(label); row.name == name && it != row.labels.end() && std::find(all.begin(), all.end(), it->second) == all.end())
      all.push_back(it->second);
  return all;
}

}  // namespace mynah::app
