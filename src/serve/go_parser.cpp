#include "serve/go_parser.h"

#include <algorithm>

#include "base/require.h"

namespace mynah::serve {
namespace {

constexpr int kDepth = 100;

bool is_word(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

// One action's words: operands, '|', '(', ')', ',', ":=", "=". A field chain is one word.
struct Word {
  enum class Kind { word, text, number, mark, end } kind = Kind::end;
  std::string text;
  bool close_before = false;  // no blank before it: ").Field"
};

class Parser {
 public:
  Parser(std::string_view text, const std::string& where, std::vector<std::string>* fields)
      : text_(text), where_(where), fields_(fields) {}

  std::unique_ptr<GoNode> all() {
    auto root = std::make_unique<GoNode>();
    const std::string end = list(&root->body, 0);
    if (!end.empty()) wrong("{{ " + end + " }} without a beginning");
    return root;
  }

 private:
  [[noreturn]] void wrong(const std::string& what) const {
    fail(ErrorCode::failure, "{}: line {} of the template: {}", where_,
         1 + std::count(text_.begin(), text_.begin() + static_cast<long>(std::min(at_, text_.size())), '\n'), what);
  }

  // Reads up to "end" or "else" (whose action is left in words_), or the end of the text.
  std::string list(std::vector<std::unique_ptr<GoNode>>* out, int depth) {
    if (depth > kDepth) wrong("nested too deeply");
    for (;;) {
      const size_t open = text_.find("{{", at_);
      std::string piece(text_.substr(at_, open == std::string_view::npos ? open : open - at_));
      if (trim_next_) piece.erase(0, std::min(piece.size(), piece.find_first_not_of(" \t\r\n")));
      const bool trims = open != std::string_view::npos && text_.substr(open).starts_with("{{-") &&
                         open + 3 < text_.size() && is_blank(text_[open + 3]);
      if (trims) piece.erase(piece.find_last_not_of(" \t\r\n") + 1);
      if (!piece.empty()) {
        auto node = std::make_unique<GoNode>();
        node->kind = GoNode::Kind::text;
        node->past_response = past_response_;
        node->text = std::move(piece);
        out->push_back(std::move(node));
      }
      if (open == std::string_view::npos) {
        at_ = text_.size();
        if (depth > 0) wrong("an {{ if }}, {{ range }} or {{ with }} without {{ end }}");
        return "";
      }
      at_ = open + (trims ? 3 : 2);
      if (!read_action()) continue;
      const std::string word = peek().kind == Word::Kind::word ? peek().text : "";
      if (word == "end" || word == "else") return word;
      statement(word, out, depth);
    }
  }

  void statement(const std::string& word, std::vector<std::unique_ptr<GoNode>>* out, int depth) {
    auto node = std::make_unique<GoNode>();
    if (word == "if" || word == "range" || word == "with") {
      node->kind = word == "if" ? GoNode::Kind::branch : word == "range" ? GoNode::Kind::range : GoNode::Kind::with;
      ++next_;
      branch(node.get(), depth);
    } else if (word == "break" || word == "continue") {
      node->kind = word == "break" ? GoNode::Kind::leave : GoNode::Kind::next;
      ++next_;
      finish();
    } else if (word == "define" || word == "block" || word == "template") {
      wrong("{{ " + word + " }} is not supported");
    } else {
      node->kind = GoNode::Kind::print;
      setting(node.get());
      if (!node->first.empty()) node->kind = GoNode::Kind::assign;
      node->pipeline = pipeline(0);
      finish();
      node->past_response = past_response_;
    }
    out->push_back(std::move(node));
  }

  // The words behind if, range or with, then the bodies.
  void branch(GoNode* node, int depth) {
    setting(node);
    node->pipeline = pipeline(0);
    finish();
    node->past_response = past_response_;
    std::string end = list(&node->body, depth + 1);
    if (end == "else") {
      ++next_;
      const std::string word = peek().kind == Word::Kind::word ? peek().text : "";
      if (word == "if" || word == "with") {  // else if: a branch of its own that ends where this one does
        auto inner = std::make_unique<GoNode>();
        inner->kind = word == "if" ? GoNode::Kind::branch : GoNode::Kind::with;
        ++next_;
        branch(inner.get(), depth + 1);
        node->otherwise.push_back(std::move(inner));
        return;
      }
      finish();
      end = list(&node->otherwise, depth + 1);
    }
    if (end != "end") wrong("{{ " + end + " }}, expected {{ end }}");
    ++next_;
    finish();
  }

  // "$x :=", "$x =" or "$i, $e :=" in front of a pipeline.
  void setting(GoNode* node) {
    size_t n = 0;
    const auto word = [&](size_t i) { return next_ + i < words_.size() ? words_[next_ + i] : Word{}; };
    if (!(word(0).kind == Word::Kind::word && word(0).text.starts_with('$'))) return;
    std::string second;
    n = 1;
    if (word(1).text == "," && word(1).kind == Word::Kind::mark && word(2).text.starts_with('$')) {
      second = word(2).text;
      n = 3;
    }
    if (word(n).kind != Word::Kind::mark || (word(n).text != ":=" && word(n).text != "=")) return;
    node->first = word(0).text;
    node->second = second;
    node->declares = word(n).text == ":=";
    next_ += n + 1;
  }

  GoPipeline pipeline(int depth) {
    if (depth > kDepth) wrong("nested too deeply");
    GoPipeline out;
    for (;;) {
      std::vector<GoOperand> command;
      while (peek().kind != Word::Kind::end &&
             !(peek().kind == Word::Kind::mark && (peek().text == "|" || peek().text == ")")))
        command.push_back(operand(depth));
      if (command.empty()) wrong("a value is missing");
      out.commands.push_back(std::move(command));
      if (peek().kind == Word::Kind::mark && peek().text == "|") {
        ++next_;
        continue;
      }
      return out;
    }
  }

  GoOperand operand(int depth) {
    GoOperand o;
    const Word w = peek();
    ++next_;
    if (w.kind == Word::Kind::mark) {
      if (w.text != "(") wrong("\"" + w.text + "\" is not expected here");
      o.kind = GoOperand::Kind::pipeline;
      o.inner = std::make_unique<GoPipeline>(pipeline(depth + 1));
      if (peek().text != ")") wrong("a ( without )");
      ++next_;
      if (peek().kind == Word::Kind::word && peek().close_before && peek().text.starts_with('.')) {
        chain(peek().text, &o);
        ++next_;
      }
      return o;
    }
    if (w.kind == Word::Kind::text) {
      o.kind = GoOperand::Kind::constant;
      o.value = w.text;
      return o;
    }
    if (w.kind == Word::Kind::number) {
      o.kind = GoOperand::Kind::constant;
      o.value = Json::parse(w.text, nullptr, false);
      if (o.value.is_discarded()) wrong("\"" + w.text + "\" is no number");
      return o;
    }
    if (w.text == "true" || w.text == "false" || w.text == "nil") {
      o.kind = GoOperand::Kind::constant;
      if (w.text != "nil") o.value = w.text == "true";
      return o;
    }
    if (w.text.starts_with('.')) {
      chain(w.text, &o);
      return o;
    }
    if (w.text.starts_with('$')) {
      const size_t dot = std::min(w.text.find('.'), w.text.size());
      o.kind = GoOperand::Kind::variable;
      o.name = w.text.substr(0, dot);
      chain(w.text.substr(dot), &o);
      return o;
    }
    o.kind = GoOperand::Kind::function;
    o.name = w.text;
    return o;
  }

  void chain(const std::string& text, GoOperand* o) {
    for (size_t at = 0; at < text.size();) {
      const size_t end = std::min(text.find('.', at + 1), text.size());
      if (end > at + 1) o->fields.push_back(text.substr(at + 1, end - at - 1));
      at = end;
    }
    for (const auto& field : o->fields) {
      fields_->push_back(field);
      if (field == "Response") past_response_ = true;
    }
  }

  void finish() const {
    if (next_ < words_.size()) wrong("\"" + words_[next_].text + "\" is not expected here");
  }

  const Word& peek() const {
    static const Word none;
    return next_ < words_.size() ? words_[next_] : none;
  }

  // Splits the action at at_ into words and goes behind its end; false for a comment.
  bool read_action() {
    words_.clear();
    next_ = 0;
    trim_next_ = false;
    bool blank = true;
    for (;;) {
      if (at_ >= text_.size()) wrong("a {{ without }}");
      const std::string_view rest = text_.substr(at_);
      if (rest.starts_with("/*")) {
        const size_t end = text_.find("*/", at_ + 2);
        if (end == std::string_view::npos) wrong("a comment that does not end");
        at_ = end + 2;
      } else if (rest.starts_with("}}") || (blank && rest.starts_with("-}}"))) {
        trim_next_ = rest[0] == '-';
        at_ += trim_next_ ? 3 : 2;
        return !words_.empty();
      } else if (is_blank(rest[0])) {
        ++at_;
        blank = true;
        continue;
      } else {
        Word w = word(rest);
        w.close_before = !blank;
        words_.push_back(std::move(w));
      }
      blank = false;
    }
  }

  Word word(std::string_view rest) {
    if (rest.starts_with(":=")) {
      at_ += 2;
      return {Word::Kind::mark, ":="};
    }
    if (std::string_view("|(),=").find(rest[0]) != std::string_view::npos) {
      ++at_;
      return {Word::Kind::mark, std::string(1, rest[0])};
    }
    if (rest[0] == '`') {
      const size_t end = rest.find('`', 1);
      if (end == std::string_view::npos) wrong("a text that does not end");
      at_ += end + 1;
      return {Word::Kind::text, std::string(rest.substr(1, end - 1))};
    }
    if (rest[0] == '"') {
      size_t end = 1;
      while (end < rest.size() && rest[end] != '"') end += rest[end] == '\\' ? 2 : 1;
      if (end >= rest.size()) wrong("a text that does not end");
      const Json value = Json::parse(rest.substr(0, end + 1), nullptr, false);
      if (!value.is_string()) wrong("a text with an unknown escape");
      at_ += end + 1;
      return {Word::Kind::text, value.get<std::string>()};
    }
    size_t n = rest[0] == '-' || rest[0] == '+' ? 1 : 0;
    const bool number = n < rest.size() && rest[n] >= '0' && rest[n] <= '9';
    if (!number) n = 0;
    while (n < rest.size() && (is_word(rest[n]) || rest[n] == '.' || rest[n] == '$')) ++n;
    if (n == 0) wrong(std::string("the character \"") + rest[0] + "\" is not expected here");
    at_ += n;
    return {number ? Word::Kind::number : Word::Kind::word, std::string(rest.substr(0, n))};
  }

  std::string_view text_;
  const std::string& where_;
  std::vector<std::string>* fields_;
  size_t at_ = 0, next_ = 0;
  std::vector<Word> words_;
  bool trim_next_ = false, past_response_ = false;
};

}  // namespace

std::unique_ptr<GoNode> parse_go_template(std::string_view text, const std::string& where,
                                          std::vector<std::string>* fields) {
  return Parser(text, where, fields).all();
}

}  // namespace mynah::serve
