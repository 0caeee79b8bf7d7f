#include "tasks/show.h"

#include <algorithm>
#include <cmath>

#include "base/require.h"
#include "mynah/json.h"
#include "tasks/characters.h"

namespace mynah::tasks {
namespace {

constexpr int kColors[] = {32, 36, 33, 35, 34, 31};

std::string in_color(int color, std::string_view text, const Style& style) { return style.color ? fmt::format("\x1b[{}m{}\x1b[0m", color, text) : std::string(text); }

int color_of(std::string_view name) {
  size_t sum = 0;
  for (const char c : name) sum = sum * 31 + static_cast<unsigned char>(c);
  return kColors[sum % std::size(kColors)];
}

}  // namespace

std::string emphasised(std::string_view text, const Style& style) { return in_color(1, text, style); }
std::string dimmed(std::string_view text, const Style& style) { return in_color(2, text, style); }

std::string score_table(const std::vector<ScoreRow>& rows, const Style& style) {
  constexpr int kWidth = 24;
  std::string out;
  for (const ScoreRow& row : rows) {
    const int filled = static_cast<int>(std::lround(std::clamp(row.score, 0.0, 1.0) * kWidth));
    const std::string bar = in_color(36, std::string(static_cast<size_t>(filled), '#'), style) + dimmed(std::string(static_cast<size_t>(kWidth - filled), '.'), style);
    out += fmt::format("{:>9.4f}  {}  {}\n", row.score, bar, row.label);
  }
  return out;
}

std::string score_table(const Json& rows, const Style& style) {
  std::vector<ScoreRow> table;
  for (const Json& row : rows) table.push_back({row["score"].get<double>(), row["label"].get<std::string>()});
  return score_table(table, style);
}

std::string marked_text(const std::string& text, std::vector<Span> spans, const Style& style) {
  std::stable_sort(spans.begin(), spans.end(), [](const Span& a, const Span& b) { return a.begin < b.begin; });
  const Characters characters(text);
  std::string out;
  int64_t at = 0;
  for (const Span& span : spans) {
    if (span.begin < at || span.end <= span.begin || span.end > characters.size()) continue;
    out += characters.slice(at, span.begin);
    const std::string part = characters.slice(span.begin, span.end);
    const std::string name = span.name.empty() ? "" : "|" + span.name;
    out += style.color ? fmt::format("\x1b[1;{}m{}\x1b[0m\x1b[{}m{}\x1b[0m", color_of(span.name), part, color_of(span.name), name) : "[" + part + name + "]";
    at = span.end;
  }
  return out + characters.slice(at, characters.size());
}

}  // namespace mynah::tasks
