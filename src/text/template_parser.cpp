#include "text/template_parser.h"

#include <algorithm>
#include <initializer_list>
#include <unordered_map>

#include "text/template_lexer.h"
#include "text/template_string.h"

namespace mynah::jinja {
namespace {

std::string describe(const TemplateToken& token) {
  switch (token.type) {
    case TokenType::block_begin:
      return "begin of statement block";
    case TokenType::block_end:
      return "end of statement block";
    case TokenType::print_begin:
      return "begin of print statement";
    case TokenType::print_end:
      return "end of print statement";
    case TokenType::text:
      return "template data";
    case TokenType::end:
      return "end of template";
    case TokenType::number:
      return "number";
    case TokenType::string:
      return "string";
    default:
      return "'" + token.text.substr(0, 40) + "'";
  }
}

class Parser {
 public:
  explicit Parser(std::vector<TemplateToken> tokens) : tokens_(std::move(tokens)) {}

  Tree run() {
    Tree tree;
    tree.body = parse_body({});
    tree.names = std::move(names_);
    return tree;
  }

 private:
  using Words = std::initializer_list<std::string_view>;

  // Counts nesting while it lives.
  struct Nested {
    explicit Nested(Parser& owner) : parser(owner) {
      if (++parser.nesting_ > kMaxNesting) parser.fail(fmt::format("nested more than {} deep", kMaxNesting));
    }
    ~Nested() { --parser.nesting_; }
    Parser& parser;
  };

  [[noreturn]] void fail(std::string reason, int line = 0) const {
    throw SyntaxProblem{std::move(reason), line ? line : now().line};
  }
  const TemplateToken& now() const { return tokens_[at_]; }
  const TemplateToken& ahead() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  TemplateToken take() { return at_ + 1 < tokens_.size() ? tokens_[at_++] : tokens_[at_]; }
  bool take_op(std::string_view op) { return now().is_op(op) && (take(), true); }
  bool take_word(std::string_view word) { return now().is_name(word) && (take(), true); }
  void expect_op(std::string_view op) {
    if (!take_op(op)) fail(fmt::format("expected '{}', got {}", op, describe(now())));
  }
  void expect_word(std::string_view word) {
    if (!take_word(word)) fail(fmt::format("expected '{}', got {}", word, describe(now())));
  }
  void expect(TokenType type, std::string_view what) {
    if (now().type != type) fail(fmt::format("expected {}, got {}", what, describe(now())));
    take();
  }
  std::string expect_name() {
    if (now().type != TokenType::name) fail(fmt::format("expected a name, got {}", describe(now())));
    return take().text;
  }

  int name_id(const std::string& name) {
    const auto [entry, fresh] = ids_.emplace(name, static_cast<int>(names_.size()));
    if (fresh) names_.push_back(name);
    return entry->second;
  }

  // ---- expressions ----

  ExprPtr make(ExprKind kind, int line) const {
    auto e = std::make_unique<Expr>();
    e->kind = kind;
    e->line = line;
    return e;
  }
  ExprPtr finish(ExprPtr e) const {
    const auto count = [&](const ExprPtr& child) {
      if (child) e->depth = std::max(e->depth, child->depth + 1);
    };
    for (const ExprPtr& item : e->items) count(item);
    if (e->arguments) {
      for (const ExprPtr& item : e->arguments->positional) count(item);
      for (const auto& item : e->arguments->named) count(item.second);
      count(e->arguments->spread);
      count(e->arguments->spread_named);
    }
    if (e->depth > kMaxTreeDepth) fail(fmt::format("an expression more than {} deep", kMaxTreeDepth), e->line);
    return e;
  }
  template <class... Items>
  ExprPtr make_with(ExprKind kind, int line, Items... items) const {
    ExprPtr e = make(kind, line);
    (e->items.push_back(std::move(items)), ...);
    return finish(std::move(e));
  }
  ExprPtr make_binary(Op op, int line, ExprPtr left, ExprPtr right) const {
    ExprPtr e = make_with(ExprKind::binary, line, std::move(left), std::move(right));
    e->op = op;
    return e;
  }

  ExprPtr parse_expression(bool with_condition = true) {
    const Nested nested(*this);
    ExprPtr e = parse_or();
    while (with_condition && now().is_name("if")) {
      const int line = take().line;
      ExprPtr test = parse_or(), otherwise;
      if (take_word("else")) otherwise = parse_expression();
      e = make_with(ExprKind::condition, line, std::move(test), std::move(e), std::move(otherwise));
    }
    return e;
  }

  ExprPtr parse_or() {
    ExprPtr left = parse_and();
    while (now().is_name("or")) {
      const int line = take().line;
      left = make_with(ExprKind::logical_or, line, std::move(left), parse_and());
    }
    return left;
  }

  ExprPtr parse_and() {
    ExprPtr left = parse_not();
    while (now().is_name("and")) {
      const int line = take().line;
      left = make_with(ExprKind::logical_and, line, std::move(left), parse_not());
    }
    return left;
  }

  ExprPtr parse_not() {
    if (!now().is_name("not")) return parse_compare();
    const Nested nested(*this);
    const int line = take().line;
    return make_with(ExprKind::logical_not, line, parse_not());
  }

  std::optional<Op> take_comparison() {
    static constexpr std::pair<std::string_view, Op> kComparisons[] = {{"==", Op::eq}, {"!=", Op::ne}, {"<", Op::lt},
                                                                       {"<=", Op::le}, {">", Op::gt},  {">=", Op::ge}};
    for (const auto& [text, op] : kComparisons)
      if (take_op(text)) return op;
    if (take_word("in")) return Op::in;
    if (now().is_name("not") && ahead().is_name("in")) {
      take();
      take();
      return Op::not_in;
    }
    return std::nullopt;
  }

  ExprPtr parse_compare() {
    const int line = now().line;
    ExprPtr first = parse_sum();
    ExprPtr e;
    while (const auto op = take_comparison()) {
      if (!e) e = make_with(ExprKind::compare, line, std::move(first));
      e->ops.push_back(*op);
      e->items.push_back(parse_sum());
    }
    return e ? finish(std::move(e)) : std::move(first);
  }

  ExprPtr parse_sum() {
    ExprPtr left = parse_concat();
    while (now().is_op("+") || now().is_op("-")) {
      const TemplateToken op = take();
      left = make_binary(op.text == "+" ? Op::add : Op::sub, op.line, std::move(left), parse_concat());
    }
    return left;
  }

  ExprPtr parse_concat() {
    const int line = now().line;
    ExprPtr first = parse_product();
    if (!now().is_op("~")) return first;
    ExprPtr e = make_with(ExprKind::concat, line, std::move(first));
    while (take_op("~")) e->items.push_back(parse_product());
    return finish(std::move(e));
  }

  ExprPtr parse_product() {
    static constexpr std::pair<std::string_view, Op> kProducts[] = {
        {"*", Op::mul}, {"/", Op::div}, {"//", Op::floor_div}, {"%", Op::mod}};
    ExprPtr left = parse_power();
    for (;;) {
      const auto hit = std::find_if(std::begin(kProducts), std::end(kProducts),
                                    [this](const auto& product) { return now().is_op(product.first); });
      if (hit == std::end(kProducts)) return left;
      const int line = take().line;
      left = make_binary(hit->second, line, std::move(left), parse_power());
    }
  }

  // Unlike Python's, Jinja2's power binds to the left.
  ExprPtr parse_power() {
    ExprPtr left = parse_unary(true);
    while (now().is_op("**")) {
      const int line = take().line;
      left = make_binary(Op::pow, line, std::move(left), parse_unary(true));
    }
    return left;
  }

  ExprPtr parse_unary(bool with_filters) {
    const Nested nested(*this);
    ExprPtr e;
    if (now().is_op("-") || now().is_op("+")) {
      const TemplateToken op = take();
      e = make_with(op.text == "-" ? ExprKind::negate : ExprKind::plus, op.line, parse_unary(false));
    } else {
      e = parse_primary();
    }
    e = parse_postfix(std::move(e));
    return with_filters ? parse_filters_and_tests(std::move(e)) : std::move(e);
  }

  ExprPtr make_constant(int line, Value value) const {
    ExprPtr e = make(ExprKind::constant, line);
    e->constant = std::move(value);
    return e;
  }

  ExprPtr parse_name() {
    const TemplateToken token = take();
    const std::string& name = token.text;
    if (name == "true" || name == "True" || name == "false" || name == "False")
      return make_constant(token.line, Value(name == "true" || name == "True"));
    if (name == "none" || name == "None") return make_constant(token.line, Value());
    ExprPtr e = make(ExprKind::name, token.line);
    e->id = name_id(name);
    e->text = name;
    for (Signature* macro : macros_) {
      macro->uses_caller |= name == "caller";
      macro->uses_varargs |= name == "varargs";
      macro->uses_kwargs |= name == "kwargs";
    }
    return e;
  }

  ExprPtr parse_primary() {
    const TemplateToken& token = now();
    const int line = token.line;
    if (token.type == TokenType::name) return parse_name();
    if (token.type == TokenType::number) return make_constant(line, take().number);
    if (token.type == TokenType::string) {
      std::string text;
      while (now().type == TokenType::string) text += take().text;
      return make_constant(line, Value(std::move(text)));
    }
    if (take_op("(")) {
      ExprPtr e = parse_tuple(true, {}, true);
      expect_op(")");
      return e;
    }
    if (token.is_op("[")) return parse_list();
    if (token.is_op("{")) return parse_dict();
    fail(fmt::format("unexpected {}", describe(token)));
  }

  bool at_tuple_end(Words end_words) const {
    if (now().type == TokenType::print_end || now().type == TokenType::block_end || now().is_op(")")) return true;
    return std::any_of(end_words.begin(), end_words.end(), [this](std::string_view w) { return now().is_name(w); });
  }

  // One expression, or several with commas, which make a tuple.
  ExprPtr parse_tuple(bool with_condition, Words end_words = {}, bool may_be_empty = false) {
    const int line = now().line;
    std::vector<ExprPtr> items;
    bool is_tuple = false;
    while (!at_tuple_end(end_words)) {
      items.push_back(parse_expression(with_condition));
      if (!take_op(",")) break;
      is_tuple = true;
    }
    if (!is_tuple && !items.empty()) return std::move(items[0]);
    if (!is_tuple && !may_be_empty) fail(fmt::format("expected an expression, got {}", describe(now())));
    ExprPtr e = make(ExprKind::tuple, line);
    e->items = std::move(items);
    return finish(std::move(e));
  }

  ExprPtr parse_list() {
    ExprPtr e = make(ExprKind::list, take().line);
    while (!now().is_op("]")) {
      e->items.push_back(parse_expression());
      if (!take_op(",")) break;
    }
    expect_op("]");
    return finish(std::move(e));
  }

  ExprPtr parse_dict() {
    ExprPtr e = make(ExprKind::dict, take().line);
    while (!now().is_op("}")) {
      e->items.push_back(parse_expression());
      expect_op(":");
      e->items.push_back(parse_expression());
      if (!take_op(",")) break;
    }
    expect_op("}");
    return finish(std::move(e));
  }

  ExprPtr parse_postfix(ExprPtr e) {
    for (;;) {
      if (now().is_op(".") || now().is_op("["))
        e = parse_subscript(std::move(e));
      else if (now().is_op("("))
        e = parse_call(std::move(e));
      else
        return e;
    }
  }

  ExprPtr parse_filters_and_tests(ExprPtr e) {
    for (;;) {
      if (take_op("|"))
        e = parse_filter(std::move(e));
      else if (now().is_name("is"))
        e = parse_test(std::move(e));
      else if (now().is_op("("))
        e = parse_call(std::move(e));
      else
        return e;
    }
  }

  ExprPtr parse_subscript(ExprPtr object) {
    const TemplateToken open = take();
    if (open.text == ".") {
      const TemplateToken attribute = take();
      if (attribute.type == TokenType::name) {
        ExprPtr e = make_with(ExprKind::attribute, open.line, std::move(object));
        e->text = attribute.text;
        return e;
      }
      if (attribute.type != TokenType::number || !attribute.number.is(Kind::integer))
        fail("expected a name or number", attribute.line);
      return make_with(ExprKind::subscript, open.line, std::move(object), make_constant(open.line, attribute.number));
    }
    std::vector<ExprPtr> indices;
    while (!now().is_op("]")) {
      if (!indices.empty()) expect_op(",");
      indices.push_back(parse_index());
    }
    expect_op("]");
    if (indices.size() == 1) return make_with(ExprKind::subscript, open.line, std::move(object), std::move(indices[0]));
    ExprPtr tuple = make(ExprKind::tuple, open.line);
    for (const ExprPtr& index : indices)
      if (index->kind == ExprKind::slice) fail("several slices in one subscript", open.line);
    tuple->items = std::move(indices);
    return make_with(ExprKind::subscript, open.line, std::move(object), finish(std::move(tuple)));
  }

  ExprPtr parse_index() {
    const int line = now().line;
    ExprPtr start;
    if (!now().is_op(":")) {
      start = parse_expression();
      if (!now().is_op(":")) return start;
    }
    take();
    ExprPtr stop, step;
    const auto ends = [this] { return now().is_op("]") || now().is_op(","); };
    if (!now().is_op(":") && !ends()) stop = parse_expression();
    if (take_op(":") && !ends()) step = parse_expression();
    return make_with(ExprKind::slice, line, std::move(start), std::move(stop), std::move(step));
  }

  std::unique_ptr<CallArguments> parse_arguments() {
    auto arguments = std::make_unique<CallArguments>();
    CallArguments& a = *arguments;
    const int line = now().line;
    const auto in_order = [&](bool ok) {
      if (!ok) fail("invalid syntax for function call expression", line);
    };
    expect_op("(");
    while (!now().is_op(")")) {
      if (take_op("*")) {
        in_order(!a.spread && !a.spread_named);
        a.spread = parse_expression();
      } else if (take_op("**")) {
        in_order(!a.spread_named);
        a.spread_named = parse_expression();
      } else if (now().type == TokenType::name && ahead().is_op("=")) {
        in_order(!a.spread_named);
        std::string name = take().text;
        take();
        a.named.emplace_back(std::move(name), parse_expression());
      } else {
        in_order(!a.spread && !a.spread_named && a.named.empty());
        a.positional.push_back(parse_expression());
      }
      if (!take_op(",")) break;
    }
    expect_op(")");
    return arguments;
  }

  ExprPtr parse_call(ExprPtr callee) {
    ExprPtr e = make(ExprKind::call, now().line);
    e->items.push_back(std::move(callee));
    e->arguments = parse_arguments();
    return finish(std::move(e));
  }

  std::string parse_dotted_name() {
    std::string name = expect_name();
    while (take_op(".")) name += "." + expect_name();
    return name;
  }

  // Behind the bar. Without an operand it is the filter of a block.
  ExprPtr parse_filter(ExprPtr operand) {
    ExprPtr e = make(ExprKind::filter, now().line);
    e->text = parse_dotted_name();
    e->items.push_back(std::move(operand));
    e->arguments = now().is_op("(") ? parse_arguments() : std::make_unique<CallArguments>();
    return finish(std::move(e));
  }

  bool at_test_argument() const {
    const TemplateToken& t = now();
    if (t.type == TokenType::string || t.type == TokenType::number || t.is_op("[") || t.is_op("{")) return true;
    return t.type == TokenType::name && !t.is_name("else") && !t.is_name("or") && !t.is_name("and");
  }

  ExprPtr parse_test(ExprPtr operand) {
    const int line = take().line;
    const bool negated = take_word("not");
    ExprPtr e = make(ExprKind::test, line);
    e->text = parse_dotted_name();
    e->items.push_back(std::move(operand));
    e->arguments = std::make_unique<CallArguments>();
    if (now().is_op("(")) {
      e->arguments = parse_arguments();
    } else if (at_test_argument()) {
      if (now().is_name("is")) fail("tests with 'is' cannot be chained");
      e->arguments->positional.push_back(parse_postfix(parse_primary()));
    }
    e = finish(std::move(e));
    return negated ? make_with(ExprKind::logical_not, line, std::move(e)) : std::move(e);
  }

  // ---- statements ----

  static bool is_end(const TemplateToken& token, Words words) {
    return std::any_of(words.begin(), words.end(), [&](std::string_view w) { return token.is_name(w); });
  }

  std::unique_ptr<Statement> start(StatementKind kind, int line) const {
    auto s = std::make_unique<Statement>();
    s->kind = kind;
    s->line = line;
    return s;
  }

  // Statements until a tag with one of the words, which stays the next token; until the end of the template without
  // any.
  Body parse_body(Words end_words) {
    const Nested nested(*this);
    Body body;
    while (now().type != TokenType::end) {
      const int line = now().line;
      if (now().type == TokenType::text) {
        body.push_back(start(StatementKind::text, line));
        body.back()->text = take().text;
      } else if (now().type == TokenType::print_begin) {
        take();
        body.push_back(start(StatementKind::print, line));
        body.back()->expr = parse_tuple(true);
        expect(TokenType::print_end, "'}}'");
      } else {
        expect(TokenType::block_begin, "a statement");
        if (is_end(now(), end_words)) return body;
        parse_statement(body);
        expect(TokenType::block_end, "'%}'");
      }
    }
    if (end_words.size() > 0) fail(fmt::format("unexpected end of template, '{}' is missing", *(end_words.end() - 1)));
    return body;
  }

  // A body behind the rest of its opening tag. The closing word is left for the caller.
  Body parse_block(Words end_words) {
    take_op(":");
    expect(TokenType::block_end, "'%}'");
    return parse_body(end_words);
  }
  Body parse_whole_block(std::string_view end_word) {
    Body body = parse_block({end_word});
    take();
    return body;
  }

  void parse_statement(Body& body) {
    if (now().type != TokenType::name) fail(fmt::format("tag name expected, got {}", describe(now())));
    const TemplateToken tag = take();
    const std::string& name = tag.text;
    if (name == "if")
      body.push_back(parse_if(tag.line));
    else if (name == "for")
      body.push_back(parse_for(tag.line));
    else if (name == "set")
      body.push_back(parse_set(tag.line));
    else if (name == "macro")
      body.push_back(parse_macro(tag.line));
    else if (name == "call")
      body.push_back(parse_call_block(tag.line));
    else if (name == "filter")
      body.push_back(parse_filter_block(tag.line));
    else if (name == "with")
      body.push_back(parse_with(tag.line));
    else if (name == "print")
      parse_print(body, tag.line);
    else if (name == "generation")
      body.push_back(parse_generation(tag.line));
    else if (name == "break" || name == "continue")
      body.push_back(parse_jump(tag));
    else
      fail(fmt::format("unknown or misplaced tag '{}'", name.substr(0, 40)), tag.line);
  }

  std::unique_ptr<Statement> parse_if(int line) {
    auto s = start(StatementKind::condition, line);
    for (;;) {
      ExprPtr test = parse_tuple(false);
      Body body = parse_block({"elif", "else", "endif"});
      s->branches.push_back({std::move(test), std::move(body)});
      if (take_word("elif")) continue;
      if (take_word("else"))
        s->branches.push_back({nullptr, parse_whole_block("endif")});
      else
        take();
      return s;
    }
  }

  std::unique_ptr<Statement> parse_for(int line) {
    auto s = start(StatementKind::loop, line);
    s->targets.push_back(parse_target({"in"}, false));
    if (assigns(s->targets[0], "loop")) fail("can't assign to the special variable 'loop'", line);
    expect_word("in");
    s->expr = parse_tuple(false, {"recursive"});
    if (take_word("if")) s->test = parse_expression();
    if (now().is_name("recursive")) fail("recursive loops are not supported");
    ++loops_;
    s->body = parse_block({"else", "endfor"});
    --loops_;
    if (take_word("else"))
      s->otherwise = parse_whole_block("endfor");
    else
      take();
    return s;
  }

  bool assigns(const Target& target, std::string_view name) const {
    if (target.is_tuple)
      return std::any_of(target.items.begin(), target.items.end(), [&](const Target& t) { return assigns(t, name); });
    return target.attribute.empty() && names_[static_cast<size_t>(target.id)] == name;
  }

  Target parse_one_target(bool with_attribute) {
    const Nested nested(*this);
    Target target;
    target.line = now().line;
    if (take_op("(")) {
      target = parse_target({}, with_attribute);
      expect_op(")");
      return target;
    }
    const std::string name = expect_name();
    static constexpr std::string_view kConstants[] = {"true", "false", "none", "True", "False", "None"};
    if (std::find(std::begin(kConstants), std::end(kConstants), name) != std::end(kConstants))
      fail(fmt::format("can't assign to '{}'", name), target.line);
    target.id = name_id(name);
    if (with_attribute && take_op(".")) target.attribute = expect_name();
    return target;
  }

  Target parse_target(Words end_words, bool with_attribute) {
    Target first = parse_one_target(with_attribute);
    if (!now().is_op(",")) return first;
    Target tuple;
    tuple.is_tuple = true;
    tuple.line = first.line;
    tuple.items.push_back(std::move(first));
    while (take_op(",") && !at_tuple_end(end_words) && !now().is_op("="))
      tuple.items.push_back(parse_one_target(with_attribute));
    return tuple;
  }

  std::unique_ptr<Statement> parse_set(int line) {
    auto s = start(StatementKind::assign, line);
    s->targets.push_back(parse_target({}, true));
    if (loops_ > 0 && assigns(s->targets[0], "loop")) fail("can't assign to the special variable 'loop'", line);
    if (take_op("=")) {
      s->expr = parse_tuple(true);
      return s;
    }
    s->kind = StatementKind::assign_block;
    while (take_op("|")) s->expr = parse_filter(std::move(s->expr));
    s->body = parse_whole_block("endset");
    return s;
  }

  void parse_signature(Signature& signature) {
    expect_op("(");
    while (!now().is_op(")")) {
      if (!signature.parameters.empty()) expect_op(",");
      const std::string name = expect_name();
      if (take_op("="))
        signature.defaults.push_back(parse_expression());
      else if (!signature.defaults.empty())
        fail("a parameter without a default follows one with a default");
      signature.parameters.emplace_back(name_id(name), name);
    }
    expect_op(")");
  }

  // The body of a macro or call block: a function of its own, so that no loop around it can be left from inside.
  Body parse_function_body(Signature& signature, std::string_view end_word) {
    macros_.push_back(&signature);
    const int outer_loops = std::exchange(loops_, 0);
    Body body = parse_whole_block(end_word);
    loops_ = outer_loops;
    macros_.pop_back();
    for (const auto& parameter : signature.parameters) {
      if (parameter.second == "varargs") signature.uses_varargs = false;
      if (parameter.second == "kwargs") signature.uses_kwargs = false;
      if (parameter.second == "caller") signature.uses_caller = false;
    }
    // The names must have numbers even if only the call sets them.
    name_id("caller");
    name_id("varargs");
    name_id("kwargs");
    return body;
  }

  std::unique_ptr<Statement> parse_macro(int line) {
    auto s = start(StatementKind::macro, line);
    s->signature = std::make_unique<Signature>();
    s->signature->name = expect_name();
    s->macro_id = name_id(s->signature->name);
    parse_signature(*s->signature);
    s->body = parse_function_body(*s->signature, "endmacro");
    return s;
  }

  std::unique_ptr<Statement> parse_call_block(int line) {
    auto s = start(StatementKind::call_block, line);
    s->signature = std::make_unique<Signature>();
    s->signature->name = "caller";
    if (now().is_op("(")) parse_signature(*s->signature);
    s->expr = parse_expression();
    if (s->expr->kind != ExprKind::call) fail("expected a call", line);
    s->body = parse_function_body(*s->signature, "endcall");
    return s;
  }

  std::unique_ptr<Statement> parse_filter_block(int line) {
    auto s = start(StatementKind::filter_block, line);
    s->expr = parse_filter(nullptr);
    while (take_op("|")) s->expr = parse_filter(std::move(s->expr));
    s->body = parse_whole_block("endfilter");
    return s;
  }

  std::unique_ptr<Statement> parse_with(int line) {
    auto s = start(StatementKind::with, line);
    while (now().type != TokenType::block_end) {
      if (!s->targets.empty()) expect_op(",");
      s->targets.push_back(parse_one_target(false));
      expect_op("=");
      s->values.push_back(parse_expression());
    }
    s->body = parse_whole_block("endwith");
    return s;
  }

  void parse_print(Body& body, int line) {
    bool first = true;
    while (now().type != TokenType::block_end) {
      if (!first) expect_op(",");
      first = false;
      body.push_back(start(StatementKind::print, line));
      body.back()->expr = parse_expression();
    }
  }

  // transformers' mark for the text that the model wrote: rendered as it is, in a scope of its own.
  std::unique_ptr<Statement> parse_generation(int line) {
    auto s = start(StatementKind::generation, line);
    const int outer_loops = std::exchange(loops_, 0);
    s->body = parse_whole_block("endgeneration");
    loops_ = outer_loops;
    return s;
  }

  std::unique_ptr<Statement> parse_jump(const TemplateToken& tag) {
    if (loops_ == 0) fail(fmt::format("'{}' outside a loop", tag.text), tag.line);
    return start(tag.text == "break" ? StatementKind::break_loop : StatementKind::continue_loop, tag.line);
  }

  std::vector<TemplateToken> tokens_;
  size_t at_ = 0;
  int nesting_ = 0, loops_ = 0;
  std::vector<Signature*> macros_;
  std::vector<std::string> names_;
  std::unordered_map<std::string, int> ids_;
};

}  // namespace

Tree parse_template(std::string_view source) {
  if (source.size() > kMaxSourceBytes) throw SyntaxProblem{fmt::format("more than {} bytes", kMaxSourceBytes), 1};
  if (!is_valid_utf8(source)) throw SyntaxProblem{"the text is not UTF-8", 1};
  try {
    return Parser(tokenize(source)).run();
  } catch (const Problem& problem) {
    throw SyntaxProblem{problem.reason, 1};
  }
}

}  // namespace mynah::jinja
