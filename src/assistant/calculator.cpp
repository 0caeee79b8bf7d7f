#include "assistant/calculator.h"

#include <cmath>
#include <initializer_list>
#include <numbers>

#include "assistant/spoken.h"
#include "base/require.h"

namespace mynah::assistant {
namespace {

struct NotArithmetic {};

// sum := product (plus product)*; product := signed (times signed)*; signed := minus signed | power;
// power := postfix (^ signed)?; postfix := primary (squared | percent ...)*
class Parser {
 public:
  explicit Parser(const std::vector<std::string>& words) : words_(words) {}

  double all() {
    const double value = sum();
    if (at_ < words_.size() && words_[at_] == "=") ++at_;
    if (at_ < words_.size() || operations_ == 0) throw NotArithmetic{};
    return value;
  }

 private:
  static constexpr int kDeepest = 50;

  // Whether these words come next; they are taken then.
  bool take(std::initializer_list<std::string_view> expected) {
    if (at_ + expected.size() > words_.size()) return false;
    size_t i = at_;
    for (const std::string_view word : expected)
      if (words_[i++] != word) return false;
    at_ = i;
    return true;
  }

  double sum() {
    if (++depth_ > kDeepest) throw NotArithmetic{};
    double value = product();
    for (;;) {
      if (take({"plus"}) || take({"+"}))
        value += product();
      else if (take({"minus"}) || take({"-"}) || take({"less"}))
        value -= product();
      else
        break;
      ++operations_;
    }
    --depth_;
    return value;
  }

  double product() {
    double value = with_sign();
    for (;;) {
      if (take({"times"}) || take({"*"}) || take({"x"}) || take({"multiplied", "by"})) {
        value *= with_sign();
      } else if (take({"divided", "by"}) || take({"/"}) || take({"over"})) {
        const double by = with_sign();
        require(by != 0, "nothing can be divided by zero");
        value /= by;
      } else {
        return value;
      }
      ++operations_;
    }
  }

  double with_sign() {
    if (++depth_ > kDeepest) throw NotArithmetic{};
    const bool negative = take({"minus"}) || take({"-"}) || take({"negative"});
    const double value = negative ? -with_sign() : power();
    --depth_;
    return value;
  }

  double power() {
    const double base = postfix();
    if (!take({"^"}) && !take({"to", "the", "power", "of"}) && !take({"to", "the", "power"}) && !take({"raised", "to"})) return base;
    ++operations_;
    return std::pow(base, with_sign());
  }

  double postfix() {
    double value = primary();
    for (;;) {
      if (take({"squared"}))
        value *= value;
      else if (take({"cubed"}))
        value *= value * value;
      else if (take({"percent", "of"}))
        value = value / 100 * with_sign();
      else if (take({"percent"}))
        value /= 100;
      else
        return value;
      ++operations_;
    }
  }

  double primary() {
    if (take({"("})) {
      const double value = sum();
      if (!take({")"})) throw NotArithmetic{};
      return value;
    }
    take({"the"});
    if (take({"square", "root", "of"})) {
      ++operations_;
      const double of = with_sign();
      require(of >= 0, "a negative number has no square root");
      return std::sqrt(of);
    }
    if (take({"pi"})) return std::numbers::pi;
    take({"a"});
    for (const auto& [name, part] : {std::pair{"half", 2.0}, {"third", 3.0}, {"quarter", 4.0}})
      if (take({name, "of"})) {
        ++operations_;
        return with_sign() / part;
      }
    const auto number = read_number(words_, &at_);
    if (!number) throw NotArithmetic{};
    return *number;
  }

  const std::vector<std::string>& words_;
  size_t at_ = 0;
  int operations_ = 0, depth_ = 0;
};

}  // namespace

std::optional<double> calculate(std::string_view text) {
  const std::vector<std::string> words = spoken_words(text);
  double value = 0;
  try {
    value = Parser(words).all();
  } catch (const NotArithmetic&) {
    return std::nullopt;
  }
  require(std::isfinite(value), "the result is too large");
  return value;
}

}  // namespace mynah::assistant
