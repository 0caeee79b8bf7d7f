#include "tasks/candidate_labels.h"

#include "base/require.h"
#include "tasks/options.h"

namespace mynah::tasks {

std::string hypothesis(const OpenTask& task, const std::string& pattern, const std::string& label) {
  std::string out;
  for (size_t i = 0; i < pattern.size(); ++i) {
    const std::string_view rest = std::string_view(pattern).substr(i);
    if (rest.starts_with("{{") || rest.starts_with("}}")) {
      out += rest[0];
      ++i;
    } else if (rest.starts_with("{}")) {
      out += label;
      i += 1;
    } else if (rest.starts_with("{0}")) {
      out += label;
      i += 2;
    } else if (rest[0] == '{' || rest[0] == '}') {
      fail(ErrorCode::usage, "{}: hypothesis_template \"{}\" has a brace without meaning; write {{}} where the label goes", task.entry->name, pattern);
    } else {
      out += rest[0];
    }
  }
  return out;
}

std::vector<std::string> candidate_labels(const OpenTask& task, const Json& options) {
  std::vector<std::string> labels = texts(options, "candidate_labels");
  // One text may list them with commas.
  if (const auto it = options.find("candidate_labels"); it != options.end() && it->is_string()) {
    std::vector<std::string> parts;
    std::string text = labels[0] + ",";
    for (size_t begin = 0, comma; (comma = text.find(',', begin)) != std::string::npos; begin = comma + 1) {
      const size_t from = text.find_first_not_of(" \t\n", begin), to = text.find_last_not_of(" \t\n", comma - 1);
      if (from < comma && comma > 0) parts.push_back(text.substr(from, to - from + 1));
    }
    labels = std::move(parts);
  }
  if (labels.empty()) fail(ErrorCode::usage, "{}: candidate_labels is needed: the labels to choose from", task.entry->name);
  return labels;
}

}  // namespace mynah::tasks
