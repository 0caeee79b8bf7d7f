// The tree that a template in Go's language is parsed into.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace mynah::serve {

// An operand and the fields that are read of it: .A.B, $x.A, (pipeline).A, "text", 3, true, or the name of a function.
struct GoOperand {
  enum class Kind { dot, variable, constant, pipeline, function } kind = Kind::dot;
  std::string name;  // of a variable ("$" for the root) or a function
  Json value;        // of a constant
  std::unique_ptr<struct GoPipeline> inner;
  std::vector<std::string> fields;
};

// Commands divided by '|'; each one an operand with its arguments.
struct GoPipeline {
  std::vector<std::vector<GoOperand>> commands;
};

struct GoNode {
  enum class Kind { list, text, print, assign, branch, range, with, leave, next } kind = Kind::list;
  std::string text;            // of a text
  GoPipeline pipeline;         // of all but lists and texts
  std::string first, second;   // variables that are set: $i, $e
  bool declares = false;       // := rather than =
  bool past_response = false;  // stands at or behind the first use of .Response
  std::vector<std::unique_ptr<GoNode>> body, otherwise;
};

// Throws failure naming `where` and the line. `fields` collects the names of all fields.
std::unique_ptr<GoNode> parse_go_template(std::string_view text, const std::string& where,
                                          std::vector<std::string>* fields);

}  // namespace mynah::serve
