// The objects of a template that are not plain data: things to call, namespaces and the state of a loop.
#pragma once
#include <functional>
#include <optional>

#include "text/template_value.h"

namespace mynah::jinja {

struct Args {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

struct Callable : Object {
  std::string_view type_name() const override { return "function"; }
  virtual Value call(Args& args) = 0;
};

// A function made of a C++ one; `owner` is what it is bound to, kept alive with it.
struct Function : Callable {
  Function(std::function<Value(Args&)> function_body, Value bound = Value())
      : body(std::move(function_body)), owner(std::move(bound)) {
    depth = owner.depth() + 1;
    if (depth > kMaxValueDepth) raise("objects nested more than {} deep", kMaxValueDepth);
  }
  Value call(Args& args) override { return body(args); }
  std::function<Value(Args&)> body;
  Value owner;
};

inline Value make_function(std::function<Value(Args&)> body, Value bound = Value()) {
  return Value(std::shared_ptr<Object>(std::make_shared<Function>(std::move(body), std::move(bound))));
}

// An object with attributes of its own. `self` is the value that holds it.
struct WithAttributes : Callable {
  virtual std::optional<Value> attribute(std::string_view name, const Value& self) = 0;
  Value call(Args&) override { raise("'{}' object is not callable", type_name()); }
};

struct NamespaceObject : WithAttributes {
  std::string_view type_name() const override { return "Namespace"; }
  std::optional<Value> attribute(std::string_view name, const Value&) override {
    const Value* found = attributes.find(name);
    return found ? std::optional<Value>(*found) : std::nullopt;
  }
  DictObject attributes;
};

// `loop` inside a for statement.
struct LoopObject : WithAttributes {
  explicit LoopObject(std::vector<Value> loop_items);
  std::string_view type_name() const override { return "LoopContext"; }
  std::optional<Value> attribute(std::string_view name, const Value& self) override;
  std::vector<Value> items;
  int64_t index0 = 0;
};

// Positional and named arguments by parameter name, as Python binds them.
class Bound {
 public:
  // Throws when there are too many arguments, an unknown name or one given twice, or fewer than `needed`.
  Bound(std::string_view function, Args& args, std::initializer_list<std::string_view> parameters, size_t needed);
  bool given(size_t i) const { return values_[i].has_value(); }
  // Also false for an argument that is none.
  bool has(size_t i) const { return given(i) && !values_[i]->is(Kind::none); }
  const Value& operator[](size_t i) const { return *values_[i]; }
  Value value_or(size_t i, Value other) const { return given(i) ? *values_[i] : std::move(other); }
  bool flag(size_t i, bool other) const { return given(i) ? truth(*values_[i]) : other; }
  int64_t integer(size_t i, int64_t other) const;
  std::string text(size_t i) const;  // must be a str

 private:
  std::string_view function_;
  std::vector<std::string_view> names_;
  std::vector<std::optional<Value>> values_;
};

}  // namespace mynah::jinja
