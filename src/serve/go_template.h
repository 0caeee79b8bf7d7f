// Prompt templates in Go's text/template language, as Modelfiles of Ollama carry them: {{ .System }}, if, range, with,
// variables, pipelines and the functions that such templates use. Source: pkg.go.dev/text/template.
#pragma once
#include <memory>
#include <string>
#include <string_view>

#include "base/json.h"

namespace mynah::serve {

struct GoNode;

// Whether a template is Jinja's rather than Go's: only the former has {% %}.
inline bool is_jinja(std::string_view text) { return text.find("{%") != std::string_view::npos; }

class GoTemplate {
 public:
  // Throws failure naming `where` and the line for what is no template.
  static std::shared_ptr<const GoTemplate> parse(std::string_view text, const std::string& where);
  ~GoTemplate();

  // The prompt that messages [{role, content, thinking?, tool_calls?, tool_name?}] make. A template that ranges over
  // .Messages is given all of them; an older one is run once for each turn, and its last run ends where .Response
  // stands. `think`: null, a boolean or a level. Throws failure when a template runs too long or compares what cannot
  // be compared.
  std::string prompt(const Json& messages, const Json& tools, const Json& think) const;
  // With a suffix: what stands between {{ .Prompt }} and {{ .Suffix }} is asked for.
  std::string fill_in(const std::string& prompt, const std::string& suffix) const;

  bool uses(std::string_view field) const;  // whether the template names the field: "Tools"

 private:
  GoTemplate() = default;
  std::string render(const Json& data, bool cut_at_response) const;
  std::unique_ptr<GoNode> root_;
};

}  // namespace mynah::serve
