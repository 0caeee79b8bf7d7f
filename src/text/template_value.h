// The values of a template: Python's None, bool, int, float, str, list, tuple, dict and the few objects of Jinja2, with
// Python's rules of truth, equality, order and printing. Values are immutable once made, except namespaces and
// iterators.
#pragma once
#include <fmt/core.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/json.h"
#include "mynah/error.h"

namespace mynah::jinja {

// Thrown inside the template engine; ChatTemplate turns it into an Error with the template's name and line.
struct Problem {
  std::string reason;
};

template <class... Args>
[[noreturn]] void raise(fmt::format_string<Args...> format, Args&&... args) {
  throw Problem{fmt::format(format, std::forward<Args>(args)...)};
}

constexpr size_t kMaxValueBytes = 4u << 20;   // one string, or the output
constexpr size_t kMaxItems = 200'000;         // one list or dict
constexpr int kMaxValueDepth = 200;           // lists in lists
constexpr int64_t kMaxSteps = 1'000'000;      // nodes evaluated, loop turns
constexpr int64_t kMaxWorkBytes = 256 << 20;  // bytes made or scanned

// What one rendering has used. The running one is found through the thread, because comparison and hashing need it too.
struct Budget {
  int64_t steps = 0;
  int64_t work = 0;
  int print_depth = 0;
};
class Value;
Budget*& current_budget();
void charge_step();
void charge(size_t bytes);
void charge_text(const Value& v);  // what reading it costs, if it is a string

enum class Kind : uint8_t { undefined, none, boolean, integer, real, string, list, dict, object };

struct Object {
  virtual ~Object() = default;
  // Python's name of the type, for messages.
  virtual std::string_view type_name() const = 0;
  int depth = 1;
};

struct StringObject;
struct ListObject;
struct DictObject;
enum class ListType : uint8_t { list, tuple, group, keys, values, items, range, iterator };

class Value {
 public:
  Value() : kind_(Kind::none), integer_(0) {}
  explicit Value(bool b) : kind_(Kind::boolean), integer_(b) {}
  explicit Value(int64_t i) : kind_(Kind::integer), integer_(i) {}
  explicit Value(double d) : kind_(Kind::real), real_(d) {}
  explicit Value(std::string text);
  explicit Value(std::string_view text) : Value(std::string(text)) {}
  explicit Value(const char* text) : Value(std::string(text)) {}
  // A list of one of the types; throws when it is too long or too deep.
  Value(ListType type, std::vector<Value> items);
  explicit Value(std::shared_ptr<DictObject> dict);
  explicit Value(std::shared_ptr<Object> object) : kind_(Kind::object), integer_(0), object_(std::move(object)) {}
  static Value undefined(std::string hint);

  Kind kind() const { return kind_; }
  bool is(Kind kind) const { return kind_ == kind; }
  bool is_list(ListType type) const;
  bool is_number() const { return kind_ == Kind::boolean || kind_ == Kind::integer || kind_ == Kind::real; }
  bool is_integral() const { return kind_ == Kind::boolean || kind_ == Kind::integer; }
  int64_t integer() const { return integer_; }  // boolean, integer
  double real() const { return kind_ == Kind::real ? real_ : static_cast<double>(integer_); }
  const std::string& text() const;  // string
  size_t length() const;            // string: code points
  ListObject& list() const;
  DictObject& dict() const;
  const std::string& hint() const;  // undefined: why
  template <class T>
  T* as() const {
    return kind_ == Kind::object ? dynamic_cast<T*>(object_.get()) : nullptr;
  }
  const Object* object() const { return object_.get(); }
  int depth() const { return object_ ? object_->depth : 0; }

 private:
  Kind kind_;
  union {
    int64_t integer_;
    double real_;
  };
  std::shared_ptr<Object> object_;
};

struct ValueHash {
  size_t operator()(const Value& v) const;
};
struct ValueEqual {
  bool operator()(const Value& a, const Value& b) const;
};

struct StringObject : Object {
  std::string_view type_name() const override { return "str"; }
  std::string text;
  size_t code_points = 0;
};

struct ListObject : Object {
  std::string_view type_name() const override;
  ListType type = ListType::list;
  std::vector<Value> items;
  size_t next = 0;                        // iterator: the first item not yet taken
  int64_t start = 0, stop = 0, step = 1;  // range
};

struct DictObject : Object {
  std::string_view type_name() const override { return "dict"; }
  const Value* find(const Value& key) const;
  const Value* find(std::string_view key) const;
  void set(const Value& key, Value value);
  std::vector<std::pair<Value, Value>> items;

 private:
  std::unordered_map<Value, size_t, ValueHash, ValueEqual> index_;  // only above a few items
};

struct UndefinedObject : Object {
  std::string_view type_name() const override { return "Undefined"; }
  std::string hint;
};

// Python's type name: "str", "NoneType" ...
std::string_view type_name(const Value& v);
bool truth(const Value& v);
bool equal(const Value& a, const Value& b);
// a < b; throws for types without an order between them.
bool less(const Value& a, const Value& b);
// str() and repr().
std::string to_text(const Value& v);
std::string repr(const Value& v);
// All items of an iterable (an iterator is used up); throws "'int' object is not iterable".
std::vector<Value> iterate(const Value& v);
// x in container.
bool contains(const Value& container, const Value& x);
// Throws the hint of an undefined value, else does nothing.
void require_defined(const Value& v);
// What keeps a value from being a key of a dict: itself or an item of the tuple, null for nothing.
const Value* unhashable_part(const Value& v);
void require_hashable(const Value& v);

Value from_json(const Json& json);
struct JsonStyle {
  bool ensure_ascii = false, sort_keys = false, indented = false;
  std::string indent, item_separator = ", ", key_separator = ": ";
};
// json.dumps(); throws for values that JSON has not.
std::string to_json(const Value& v, const JsonStyle& style);

}  // namespace mynah::jinja
