// Results for people: bars, coloured spans, aligned columns.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "tasks/task_entry.h"

namespace mynah::tasks {

// "0.9731 #################### label", one line per row; the bar stands for scores in 0..1.
struct ScoreRow {
  double score;
  std::string label;
};
std::string score_table(const std::vector<ScoreRow>& rows, const Style& style);
// The same of a JSON list of {"label", "score"}.
std::string score_table(const Json& rows, const Style& style);

// Part [begin, end) in characters of `text`, with a name.
struct Span {
  int64_t begin, end;
  std::string name;
};
// The text with its spans marked: "[Paris|LOC] ..." or in colours. Spans that overlap an earlier one are left out.
std::string marked_text(const std::string& text, std::vector<Span> spans, const Style& style);

// Bold where there are colours.
std::string emphasised(std::string_view text, const Style& style);
std::string dimmed(std::string_view text, const Style& style);

}  // namespace mynah::tasks
