#include "text/template.h"


#include "base/require.h"
#include "mynah/json.h"
#include "text/template_interpreter.h"
#include "text/template_lexer.h"

namespace mynah {

struct ChatTemplate::Parsed {
  std::string name;
  jinja::Tree tree;
};

namespace {

std::string one_line(std::string text) {
  constexpr size_t kMaxReason = 1000;
  if (text.size() > kMaxReason) text = text.substr(0, kMaxReason) + "...";
  for (char& c : text)
    if (static_cast<unsigned char>(c) < 0x20) c = ' ';
  return text;
}

}  // namespace

ChatTemplate::ChatTemplate(std::unique_ptr<const Parsed> parsed) : parsed_(std::move(parsed)) {}
ChatTemplate::~ChatTemplate() = default;

std::shared_ptr<const ChatTemplate> ChatTemplate::parse(std::string_view source, std::string_view name) {
  try {
    auto parsed = std::make_unique<Parsed>();
    parsed->name = one_line(std::string(name));
    parsed->tree = jinja::parse_template(source);
    return std::shared_ptr<const ChatTemplate>(new ChatTemplate(std::move(parsed)));
  } catch (const jinja::SyntaxProblem& problem) {
    fail(ErrorCode::integrity, "chat template {}: line {}: {}", name, problem.line, one_line(problem.reason));
  }
}

std::string ChatTemplate::render(const Json& variables, const std::optional<std::tm>& now,
                                 std::vector<std::pair<size_t, size_t>>* generated) const {
  require(variables.is_object(), "chat template {}: got variables of type {}, expected an object", parsed_->name,
          variables.type_name());
  try {
    return jinja::run_template(parsed_->tree, variables, now, generated);
  } catch (const jinja::RunProblem& problem) {
    fail(ErrorCode::failure, "chat template {}: line {}: {}", parsed_->name, problem.line, one_line(problem.reason));
  }
}

}  // namespace mynah
