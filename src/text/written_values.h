// Numbers and dates that stand in a text, as TAPAS reads them out of tables and questions (arXiv:2004.02349; the reference is
// tokenization_tapas.py of transformers, which follows DynSP).
#pragma once
#include <array>
#include <map>
#include <optional>
#include <string_view>
#include <vector>

namespace mynah::text {

// A number; or a date of which year, month or day may be missing.
struct WrittenValue {
  bool is_date = false;
  double number = 0;
  std::array<std::optional<int>, 3> date = {};  // year, month, day
};

// The values of the longest spans of a text, in order: numbers with sign, commas and point, number words up to twelve, ordinals, months, years
// (1700 to 2016) and dates. One span may be both a number and a year.
std::vector<WrittenValue> written_values(std::string_view valid_text);

// By what values of a column are compared: numbers by themselves, dates by what all of them have. None if they are of both kinds or have nothing in common.
class ValueOrder {
 public:
  static std::optional<ValueOrder> of(const std::vector<const WrittenValue*>& values);
  std::vector<double> key(const WrittenValue& value) const;

 private:
  bool dates_ = false;
  std::array<bool, 3> parts_{};
};

// The kind of value that most cells of a column have, at least 70 % of them, by row; dates if as many are numbers. Empty if there is none.
std::map<size_t, WrittenValue> column_values(const std::vector<std::vector<WrittenValue>>& cells);

}  // namespace mynah::text
