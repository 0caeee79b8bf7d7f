#include "text/template_interpreter.h"

#include <algorithm>

#include "mynah/json.h"
#include "text/template_builtins.h"
#include "text/template_operators.h"

namespace mynah::jinja {
namespace {

constexpr int kMaxMacroDepth = 64;
constexpr int kMaxRunDepth = 1000;  // nodes inside nodes, over all macros that run; bounds the stack

enum class Flow : uint8_t { next, break_loop, continue_loop };

// The variables that one block, loop turn or macro call has set. A macro keeps the scope it was made in.
struct Scope {
  Scope* parent = nullptr;
  std::vector<std::pair<int, Value>> variables;
  bool kept = false;
};

class Interpreter {
 public:
  Interpreter(const Tree& tree, const Json& variables, const std::optional<std::tm>& now);
  ~Interpreter();
  std::string run(GeneratedSpans* generated);
  int line() const { return line_; }

 private:
  class ScopeGuard;
  class Deeper;
  class Capture;
  struct Macro;
  friend struct Macro;

  void write(std::string_view text);
  Flow run_body(const Body& body);
  Flow run_statement(const Statement& s);
  Flow run_condition(const Statement& s);
  Flow run_loop(const Statement& s);
  void run_assign(const Statement& s);
  Flow run_assign_block(const Statement& s);
  void run_call_block(const Statement& s);
  Flow run_filter_block(const Statement& s);
  Flow run_with(const Statement& s);
  Value make_macro(const Signature& signature, const Body& body);
  Value call_macro(const Macro& macro, Args& args);
  void bind_parameters(const Macro& macro, Args& args);
  void assign(const Target& target, const Value& value);
  std::vector<Value> loop_items(const Statement& s);

  Value eval(const Expr& e);
  Value eval_name(const Expr& e) const;
  Value eval_dict(const Expr& e);
  Value eval_subscript(const Expr& e);
  Value eval_compare(const Expr& e);
  Value eval_concat(const Expr& e);
  Value eval_condition(const Expr& e);
  Value eval_call(const Expr& e, const Value* caller);
  Value eval_filter(const Expr& e);
  std::vector<Value> eval_items(const Expr& e);
  Args eval_arguments(const CallArguments& arguments);

  void set(int id, Value value);
  const Value* find(int id) const;
  int id_of(std::string_view name) const;

  const Tree& tree_;
  GlobalState globals_;
  std::vector<std::optional<Value>> context_;  // variables and globals, by number of the name
  Scope root_;
  Scope* scope_ = &root_;
  std::vector<std::unique_ptr<Scope>> kept_scopes_;
  std::string *out_ = nullptr, *root_out_ = nullptr;
  GeneratedSpans* generated_ = nullptr;
  const Value* block_input_ = nullptr;  // what the filter of a block gets
  int loop_id_, caller_id_, varargs_id_, kwargs_id_;
  int line_ = 1, depth_ = 0, macro_depth_ = 0;
};

// A scope that lives as long as the guard, or to the end of the run if a macro keeps it.
class Interpreter::ScopeGuard {
 public:
  ScopeGuard(Interpreter& owner, Scope* parent)
      : owner_(owner), before_(owner.scope_), scope_(std::make_unique<Scope>()) {
    scope_->parent = parent;
    owner_.scope_ = scope_.get();
  }
  explicit ScopeGuard(Interpreter& owner) : ScopeGuard(owner, owner.scope_) {}
  ~ScopeGuard() {
    owner_.scope_ = before_;
    if (scope_->kept) owner_.kept_scopes_.push_back(std::move(scope_));
  }
  ScopeGuard(const ScopeGuard&) = delete;

 private:
  Interpreter& owner_;
  Scope* before_;
  std::unique_ptr<Scope> scope_;
};

class Interpreter::Deeper {
 public:
  explicit Deeper(Interpreter& owner) : depth_(owner.depth_) {
    if (depth_ >= kMaxRunDepth) raise("blocks, expressions and macros nested more than {} deep", kMaxRunDepth);
    ++depth_;
  }
  ~Deeper() { --depth_; }
  Deeper(const Deeper&) = delete;

 private:
  int& depth_;
};

// Collects what is written while it lives.
class Interpreter::Capture {
 public:
  explicit Capture(Interpreter& owner) : owner_(owner), before_(owner.out_) { owner_.out_ = &text; }
  ~Capture() { owner_.out_ = before_; }
  Capture(const Capture&) = delete;
  std::string text;

 private:
  Interpreter& owner_;
  std::string* before_;
};

struct Interpreter::Macro : Callable {
  std::string_view type_name() const override { return "Macro"; }
  Value call(Args& args) override { return owner->call_macro(*this, args); }
  Interpreter* owner = nullptr;
  const Signature* signature = nullptr;
  const Body* body = nullptr;
  Scope* scope = nullptr;
};

Interpreter::Interpreter(const Tree& tree, const Json& variables, const std::optional<std::tm>& now) : tree_(tree) {
  globals_.now = now;
  context_.resize(tree.names.size());
  for (size_t i = 0; i < tree.names.size(); ++i) {
    const std::string& name = tree.names[i];
    if (const auto given = variables.find(name); given != variables.end())
      context_[i] = from_json(*given);
    else if (name == "tools" || name == "documents")
      context_[i] = Value();
    else if (name == "add_generation_prompt")
      context_[i] = Value(false);
    else
      context_[i] = find_global(name, globals_);
  }
  loop_id_ = id_of("loop");
  caller_id_ = id_of("caller");
  varargs_id_ = id_of("varargs");
  kwargs_id_ = id_of("kwargs");
}

// Macros point at scopes and namespaces may hold each other, so both are emptied before they go.
Interpreter::~Interpreter() {
  for (const auto& space : globals_.namespaces) space->attributes.items.clear();
  for (const auto& scope : kept_scopes_) scope->variables.clear();
}

std::string Interpreter::run(GeneratedSpans* generated) {
  std::string out;
  out_ = root_out_ = &out;
  generated_ = generated;
  run_body(tree_.body);
  return out;
}

int Interpreter::id_of(std::string_view name) const {
  const auto at = std::find(tree_.names.begin(), tree_.names.end(), name);
  return at == tree_.names.end() ? -1 : static_cast<int>(at - tree_.names.begin());
}

void Interpreter::set(int id, Value value) {
  for (auto& [known, old] : scope_->variables)
    if (known == id) {
      old = std::move(value);
      return;
    }
  scope_->variables.emplace_back(id, std::move(value));
}

const Value* Interpreter::find(int id) const {
  for (const Scope* scope = scope_; scope; scope = scope->parent)
    for (const auto& [known, value] : scope->variables)
      if (known == id) return &value;
  const auto& value = context_[static_cast<size_t>(id)];
  return value ? &*value : nullptr;
}

void Interpreter::write(std::string_view text) {
  if (out_->size() + text.size() > kMaxValueBytes) raise("an output of more than {} bytes", kMaxValueBytes);
  charge(text.size());
  *out_ += text;
}

// ---- statements ----

Flow Interpreter::run_body(const Body& body) {
  for (const auto& s : body)
    if (const Flow flow = run_statement(*s); flow != Flow::next) return flow;
  return Flow::next;
}

Flow Interpreter::run_statement(const Statement& s) {
  const Deeper deeper(*this);
  charge_step();
  line_ = s.line;
  switch (s.kind) {
    case StatementKind::text:
      write(s.text);
      break;
    case StatementKind::print:
      write(to_text(eval(*s.expr)));
      break;
    case StatementKind::condition:
      return run_condition(s);
    case StatementKind::loop:
      return run_loop(s);
    case StatementKind::assign:
      run_assign(s);
      break;
    case StatementKind::assign_block:
      return run_assign_block(s);
    case StatementKind::macro:
      set(s.macro_id, make_macro(*s.signature, s.body));
      break;
    case StatementKind::call_block:
      run_call_block(s);
      break;
    case StatementKind::filter_block:
      return run_filter_block(s);
    case StatementKind::with:
      return run_with(s);
    case StatementKind::generation: {
      const ScopeGuard scope(*this);
      const size_t begin = out_->size();
      const Flow flow = run_body(s.body);
      if (generated_ && out_ == root_out_) generated_->emplace_back(begin, out_->size());
      return flow;
    }
    case StatementKind::break_loop:
      return Flow::break_loop;
    case StatementKind::continue_loop:
      return Flow::continue_loop;
  }
  return Flow::next;
}

Flow Interpreter::run_condition(const Statement& s) {
  for (const Branch& branch : s.branches)
    if (!branch.test || truth(eval(*branch.test))) return run_body(branch.body);
  return Flow::next;
}

std::vector<Value> Interpreter::loop_items(const Statement& s) {
  std::vector<Value> items = iterate(eval(*s.expr));
  if (!s.test) return items;
  std::vector<Value> chosen;
  for (const Value& item : items) {
    charge_step();
    const ScopeGuard scope(*this);
    assign(s.targets[0], item);
    if (truth(eval(*s.test))) chosen.push_back(item);
  }
  return chosen;
}

Flow Interpreter::run_loop(const Statement& s) {
  auto loop = std::make_shared<LoopObject>(loop_items(s));
  const Value loop_value{std::shared_ptr<Object>(loop)};
  bool finished = false;  // one turn at least came to its end: as Jinja2 has it, else also follows a first break
  for (size_t i = 0; i < loop->items.size(); ++i) {
    charge_step();
    loop->index0 = static_cast<int64_t>(i);
    const ScopeGuard scope(*this);
    if (loop_id_ >= 0) set(loop_id_, loop_value);
    assign(s.targets[0], loop->items[i]);
    const Flow flow = run_body(s.body);
    if (flow == Flow::break_loop) break;
    finished |= flow == Flow::next;
  }
  if (finished) return Flow::next;
  const ScopeGuard scope(*this);
  return run_body(s.otherwise);
}

void Interpreter::assign(const Target& target, const Value& value) {
  line_ = target.line;
  if (target.is_tuple) {
    const std::vector<Value> items = iterate(value);
    if (items.size() != target.items.size())
      raise("cannot unpack {} values into {} names", items.size(), target.items.size());
    for (size_t i = 0; i < items.size(); ++i) assign(target.items[i], items[i]);
  } else if (target.attribute.empty()) {
    set(target.id, value);
  } else {
    const Value* space = find(target.id);
    auto* object = space ? space->as<NamespaceObject>() : nullptr;
    if (!object) raise("cannot assign attribute on non-namespace object");
    object->attributes.set(Value(target.attribute), value);
  }
}

void Interpreter::run_assign(const Statement& s) {
  const Value value = eval(*s.expr);
  assign(s.targets[0], value);
}

// A break or continue inside leaves the block without its result.
Flow Interpreter::run_assign_block(const Statement& s) {
  Value value;
  {
    Capture capture(*this);
    const ScopeGuard scope(*this);
    if (const Flow flow = run_body(s.body); flow != Flow::next) return flow;
    value = Value(std::move(capture.text));
  }
  if (s.expr) {
    const Value* before = std::exchange(block_input_, &value);
    Value filtered = eval(*s.expr);
    block_input_ = before;
    value = std::move(filtered);
  }
  assign(s.targets[0], value);
  return Flow::next;
}

Flow Interpreter::run_filter_block(const Statement& s) {
  Value value;
  const ScopeGuard scope(*this);
  {
    Capture capture(*this);
    if (const Flow flow = run_body(s.body); flow != Flow::next) return flow;
    value = Value(std::move(capture.text));
  }
  const Value* before = std::exchange(block_input_, &value);
  const Value filtered = eval(*s.expr);
  block_input_ = before;
  if (!filtered.is(Kind::string)) raise("the filter of a block gave a {}, not a string", type_name(filtered));
  write(filtered.text());
  return Flow::next;
}

Flow Interpreter::run_with(const Statement& s) {
  std::vector<Value> values;
  for (const ExprPtr& value : s.values) values.push_back(eval(*value));
  const ScopeGuard scope(*this);
  for (size_t i = 0; i < values.size(); ++i) assign(s.targets[i], values[i]);
  return run_body(s.body);
}

// ---- macros ----

Value Interpreter::make_macro(const Signature& signature, const Body& body) {
  for (Scope* scope = scope_; scope && !scope->kept; scope = scope->parent) scope->kept = true;
  auto macro = std::make_shared<Macro>();
  macro->owner = this;
  macro->signature = &signature;
  macro->body = &body;
  macro->scope = scope_;
  return Value(std::shared_ptr<Object>(std::move(macro)));
}

void Interpreter::run_call_block(const Statement& s) {
  const Value caller = make_macro(*s.signature, s.body);
  write(to_text(eval_call(*s.expr, &caller)));
}

Value Interpreter::call_macro(const Macro& macro, Args& args) {
  if (macro_depth_ >= kMaxMacroDepth) raise("macros call each other more than {} deep", kMaxMacroDepth);
  ++macro_depth_;
  const int line = line_;
  std::string text;
  {
    const ScopeGuard scope(*this, macro.scope);
    Capture capture(*this);
    bind_parameters(macro, args);
    run_body(*macro.body);
    text = std::move(capture.text);
  }
  --macro_depth_;
  line_ = line;
  return Value(std::move(text));
}

void Interpreter::bind_parameters(const Macro& macro, Args& args) {
  const Signature& signature = *macro.signature;
  const size_t count = signature.parameters.size(), given = std::min(count, args.positional.size());
  const auto take = [&](std::string_view name) -> std::optional<Value> {
    const auto hit = std::find_if(args.named.begin(), args.named.end(), [&](const auto& a) { return a.first == name; });
    if (hit == args.named.end()) return std::nullopt;
    Value value = hit->second;
    args.named.erase(hit);
    return value;
  };
  std::vector<std::optional<Value>> values(count);
  for (size_t i = 0; i < given; ++i) values[i] = args.positional[i];
  for (size_t i = given; i < count; ++i) values[i] = take(signature.parameters[i].second);
  if (signature.uses_caller) set(caller_id_, take("caller").value_or(Value::undefined("No caller defined")));
  if (signature.uses_kwargs) {
    auto rest = std::make_shared<DictObject>();
    for (const auto& [name, value] : args.named) rest->set(Value(name), value);
    set(kwargs_id_, Value(std::move(rest)));
  } else if (!args.named.empty()) {
    raise("macro '{}' takes no keyword argument '{}'", signature.name, args.named[0].first);
  }
  if (signature.uses_varargs) {
    set(varargs_id_,
        Value(ListType::tuple, {args.positional.begin() + static_cast<std::ptrdiff_t>(given), args.positional.end()}));
  } else if (args.positional.size() > count) {
    raise("macro '{}' takes not more than {} argument(s)", signature.name, count);
  }
  const size_t first_default = count - signature.defaults.size();
  for (size_t i = 0; i < count; ++i) {
    const auto& [id, name] = signature.parameters[i];
    if (values[i])
      set(id, *values[i]);
    else if (i >= first_default)
      set(id, eval(*signature.defaults[i - first_default]));
    else
      set(id, Value::undefined(fmt::format("parameter '{}' was not provided", name)));
  }
}

// ---- expressions ----

std::vector<Value> Interpreter::eval_items(const Expr& e) {
  std::vector<Value> items;
  items.reserve(e.items.size());
  for (const ExprPtr& item : e.items) items.push_back(eval(*item));
  return items;
}

Value Interpreter::eval(const Expr& e) {
  const Deeper deeper(*this);
  charge_step();
  line_ = e.line;
  switch (e.kind) {
    case ExprKind::constant:
      return e.constant;
    case ExprKind::name:
      return eval_name(e);
    case ExprKind::list:
      return Value(ListType::list, eval_items(e));
    case ExprKind::tuple:
      return Value(ListType::tuple, eval_items(e));
    case ExprKind::dict:
      return eval_dict(e);
    case ExprKind::attribute:
      return get_attribute(eval(*e.items[0]), e.text);
    case ExprKind::subscript:
      return eval_subscript(e);
    case ExprKind::slice:
      raise("a slice outside a subscript");
    case ExprKind::call:
      return eval_call(e, nullptr);
    case ExprKind::filter:
      return eval_filter(e);
    case ExprKind::test: {
      const Value value = eval(*e.items[0]);
      Args args = eval_arguments(*e.arguments);
      return Value(apply_test(e.text, value, args));
    }
    case ExprKind::negate:
      return negate(eval(*e.items[0]));
    case ExprKind::plus:
      return plus(eval(*e.items[0]));
    case ExprKind::logical_not:
      return Value(!truth(eval(*e.items[0])));
    case ExprKind::logical_and: {
      Value left = eval(*e.items[0]);
      return truth(left) ? eval(*e.items[1]) : left;
    }
    case ExprKind::logical_or: {
      Value left = eval(*e.items[0]);
      return truth(left) ? left : eval(*e.items[1]);
    }
    case ExprKind::compare:
      return eval_compare(e);
    case ExprKind::binary: {
      const Value left = eval(*e.items[0]), right = eval(*e.items[1]);
      line_ = e.line;
      return binary(e.op, left, right);
    }
    case ExprKind::concat:
      return eval_concat(e);
    case ExprKind::condition:
      return eval_condition(e);
  }
  return Value();
}

Value Interpreter::eval_name(const Expr& e) const {
  const Value* value = find(e.id);
  return value ? *value : Value::undefined(fmt::format("'{}' is undefined", e.text));
}

Value Interpreter::eval_dict(const Expr& e) {
  auto dict = std::make_shared<DictObject>();
  for (size_t i = 0; i + 1 < e.items.size(); i += 2) {
    const Value key = eval(*e.items[i]);
    dict->set(key, eval(*e.items[i + 1]));
  }
  return Value(std::move(dict));
}

Value Interpreter::eval_subscript(const Expr& e) {
  const Value object = eval(*e.items[0]);
  const Expr& index = *e.items[1];
  if (index.kind != ExprKind::slice) return get_item(object, eval(index));
  const auto part = [&](size_t i) { return index.items[i] ? eval(*index.items[i]) : Value(); };
  const Value start = part(0), stop = part(1), step = part(2);
  return get_slice(object, start, stop, step);
}

Value Interpreter::eval_compare(const Expr& e) {
  Value left = eval(*e.items[0]);
  for (size_t i = 0; i < e.ops.size(); ++i) {
    Value right = eval(*e.items[i + 1]);
    if (!compare(e.ops[i], left, right)) return Value(false);
    left = std::move(right);
  }
  return Value(true);
}

Value Interpreter::eval_concat(const Expr& e) {
  std::string text;
  for (const ExprPtr& item : e.items) {
    text += to_text(eval(*item));
    if (text.size() > kMaxValueBytes) raise("a text of more than {} bytes", kMaxValueBytes);
  }
  return Value(std::move(text));
}

Value Interpreter::eval_condition(const Expr& e) {
  if (truth(eval(*e.items[0]))) return eval(*e.items[1]);
  if (e.items[2]) return eval(*e.items[2]);
  return Value::undefined("the inline if-expression evaluated to false and no else section was defined.");
}

Args Interpreter::eval_arguments(const CallArguments& arguments) {
  Args args;
  for (const ExprPtr& item : arguments.positional) args.positional.push_back(eval(*item));
  for (const auto& [name, item] : arguments.named) {
    if (std::any_of(args.named.begin(), args.named.end(), [&](const auto& a) { return a.first == name; }))
      raise("the argument '{}' is given twice", name);
    args.named.emplace_back(name, eval(*item));
  }
  if (arguments.spread)
    for (Value& item : iterate(eval(*arguments.spread))) args.positional.push_back(std::move(item));
  if (arguments.spread_named) {
    const Value rest = eval(*arguments.spread_named);
    require_defined(rest);
    if (!rest.is(Kind::dict)) raise("argument after ** must be a mapping, not {}", type_name(rest));
    for (const auto& [key, value] : rest.dict().items) {
      if (!key.is(Kind::string)) raise("keywords must be strings");
      args.named.emplace_back(key.text(), value);
    }
  }
  return args;
}

Value Interpreter::eval_call(const Expr& e, const Value* caller) {
  const Value callee = eval(*e.items[0]);
  Args args = eval_arguments(*e.arguments);
  if (caller) args.named.emplace_back("caller", *caller);
  line_ = e.line;
  require_defined(callee);
  auto* callable = callee.as<Callable>();
  if (!callable) raise("'{}' object is not callable", type_name(callee));
  return callable->call(args);
}

Value Interpreter::eval_filter(const Expr& e) {
  const Value value = e.items[0] ? eval(*e.items[0]) : *block_input_;
  Args args = eval_arguments(*e.arguments);
  line_ = e.line;
  return apply_filter(e.text, value, args);
}

}  // namespace

std::string run_template(const Tree& tree, const Json& variables, const std::optional<std::tm>& now,
                         GeneratedSpans* generated) {
  Budget budget;
  struct Use {
    explicit Use(Budget* b) { current_budget() = b; }
    ~Use() { current_budget() = nullptr; }
  } use(&budget);
  std::optional<Interpreter> interpreter;
  try {
    interpreter.emplace(tree, variables, now);
    return interpreter->run(generated);
  } catch (const Problem& problem) {
    throw RunProblem{problem.reason, interpreter ? interpreter->line() : 1};
  }
}

}  // namespace mynah::jinja
