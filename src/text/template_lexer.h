// Template source to tokens, with the whitespace rules of trim_blocks and lstrip_blocks applied.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "text/template_value.h"

namespace mynah::jinja {

enum class TokenType : uint8_t { text, block_begin, block_end, print_begin, print_end, name, string, number, op, end };

struct TemplateToken {
  TokenType type = TokenType::end;
  int line = 1;
  std::string text;  // text, name, string (unescaped) or operator
  Value number;

  bool is_op(std::string_view op) const { return type == TokenType::op && text == op; }
  bool is_name(std::string_view name) const { return type == TokenType::name && text == name; }
};

// Thrown by lexer and parser.
struct SyntaxProblem {
  std::string reason;
  int line;
};

// Throws SyntaxProblem. The last token is `end`.
std::vector<TemplateToken> tokenize(std::string_view source);

}  // namespace mynah::jinja
