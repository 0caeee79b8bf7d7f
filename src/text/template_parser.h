// The syntax tree of a template and the parser that makes it. Nesting and the depth of every expression are bounded, so
// that whatever walks a tree may recurse.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/template_value.h"

namespace mynah::jinja {

constexpr int kMaxNesting = 128;    // brackets, blocks and signs inside one another
constexpr int kMaxTreeDepth = 400;  // also of chains such as a + b + c
constexpr size_t kMaxSourceBytes = 1u << 20;

enum class ExprKind : uint8_t {
  constant,
  name,
  list,
  tuple,
  dict,
  attribute,
  subscript,
  slice,
  call,
  filter,
  test,
  negate,
  plus,
  logical_not,
  logical_and,
  logical_or,
  compare,
  binary,
  concat,
  condition
};
enum class Op : uint8_t { add, sub, mul, div, floor_div, mod, pow, eq, ne, lt, le, gt, ge, in, not_in };

struct Expr;
using ExprPtr = std::unique_ptr<Expr>;

struct CallArguments {
  std::vector<ExprPtr> positional;
  std::vector<std::pair<std::string, ExprPtr>> named;
  ExprPtr spread, spread_named;  // *args, **kwargs
};

// One node. `items` holds its operands in source order: for dict key, value, key, value ...; for subscript the object
// and the index; for slice start, stop and step (null: absent); for condition test, then, else (null: absent).
struct Expr {
  ExprKind kind = ExprKind::constant;
  Op op = Op::add;  // binary
  int line = 1;
  int depth = 1;
  int id = -1;  // name: number of the name
  Value constant;
  std::string text;            // attribute, filter, test, name
  std::vector<ExprPtr> items;  // a filter block's filter has null in place of its first operand
  std::vector<Op> ops;         // compare: one fewer than items
  std::unique_ptr<CallArguments> arguments;
};

enum class StatementKind : uint8_t {
  text,
  print,
  condition,
  loop,
  assign,
  assign_block,
  macro,
  call_block,
  filter_block,
  with,
  generation,
  break_loop,
  continue_loop
};

struct Statement;
using Body = std::vector<std::unique_ptr<Statement>>;

// What a set or for statement assigns to: a name, an attribute of a namespace or a tuple of such.
struct Target {
  int id = -1;
  std::string attribute;  // not empty: of the namespace `id`
  std::vector<Target> items;
  bool is_tuple = false;
  int line = 1;
};

struct Signature {
  std::string name;
  std::vector<std::pair<int, std::string>> parameters;
  std::vector<ExprPtr> defaults;  // of the last parameters
  bool uses_caller = false, uses_varargs = false, uses_kwargs = false;
};

struct Branch {
  ExprPtr test;  // null: else
  Body body;
};

struct Statement {
  StatementKind kind = StatementKind::text;
  int line = 1;
  std::string text;
  ExprPtr expr;                  // print; the iterable of loop; value of assign; call of call_block; filter of a block
  ExprPtr test;                  // loop: the filter
  std::vector<Target> targets;   // assign, loop (one); with (one for each value)
  std::vector<ExprPtr> values;   // with
  std::vector<Branch> branches;  // condition
  Body body, otherwise;
  std::unique_ptr<Signature> signature;  // macro, call_block
  int macro_id = -1;
};

struct Tree {
  Body body;
  std::vector<std::string> names;  // by id
};

// Throws SyntaxProblem.
Tree parse_template(std::string_view source);

}  // namespace mynah::jinja
