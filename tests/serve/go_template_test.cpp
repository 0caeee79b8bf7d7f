// Prompt templates in Go's language: what Ollama's make of a conversation.
#include "serve/go_template.h"

#include <gtest/gtest.h>


#include "mynah/error.h"
#include "mynah/json.h"

namespace mynah::test {
namespace {

using serve::GoTemplate;

std::string prompt(const std::string& text, const Json& messages, const Json& tools = nullptr,
                   const Json& think = nullptr) {
  return GoTemplate::parse(text, "test")->prompt(messages, tools, think);
}
Json user(const std::string& text) { return {{"role", "user"}, {"content", text}}; }
Json assistant(const std::string& text) { return {{"role", "assistant"}, {"content", text}}; }
Json system_of(const std::string& text) { return {{"role", "system"}, {"content", text}}; }

TEST(GoTemplates, OldOnesAreRunForEachTurn) {
  const std::string text =
      "{{ if .System }}<s>{{ .System }}</s>\n{{ end }}{{ if .Prompt }}<u>{{ .Prompt }}</u>\n{{ end }}<a>{{ .Response "
      "}}</a>\n";
  EXPECT_EQ(prompt(text, Json::array({user("Hi")})), "<u>Hi</u>\n<a>");
  EXPECT_EQ(prompt(text, Json::array({system_of("Be kind"), user("Hi"), assistant("Ho"), user("Bye")})),
            "<s>Be kind</s>\n<u>Hi</u>\n<a>Ho</a>\n<u>Bye</u>\n<a>");
  EXPECT_EQ(prompt(text, Json::array({user("Hi"), user("there")})), "<u>Hi\n\nthere</u>\n<a>");
  EXPECT_EQ(prompt("{{ .Prompt }}", Json::array({user("Hi"), assistant("Ho"), user("Bye")})), "HiHoBye");
  EXPECT_EQ(prompt("[INST] {{ if .System }}<<SYS>>{{ .System }}<</SYS>>\n\n{{ end }}{{ .Prompt }} [/INST]\n",
                   Json::array({system_of("S"), user("U")})),
            "[INST] <<SYS>>S<</SYS>>\n\nU [/INST]\n");
}

TEST(GoTemplates, NewOnesSeeAllMessages) {
  const std::string text =
      "{{- range $i, $_ := .Messages }}\n{{- $last := eq (len (slice $.Messages $i)) 1 }}\n{{- if eq .Role \"user\" "
      "}}<u>{{ .Content }}</u>\n{{ else if eq .Role \"assistant\" }}<a>{{ .Content }}"
      "{{ if .ToolCalls }}{{ range .ToolCalls }}{\"name\": \"{{ .Function.Name }}\", \"arguments\": {{ "
      ".Function.Arguments }}}{{ end }}{{ end }}{{ if not $last }}</a>\n{{ end }}\n"
      "{{- end }}{{ if and $last (ne .Role \"assistant\") }}<a>{{ end }}\n{{- end }}";
  EXPECT_EQ(prompt(text, Json::array({user("Hi")})), "<u>Hi</u>\n<a>");
  const Json call = {
      {"role", "assistant"},
      {"content", ""},
      {"tool_calls", Json::array({Json{{"function", {{"name", "f"}, {"arguments", {{"b", 1}, {"a", "x"}}}}}}})}};
  EXPECT_EQ(prompt(text, Json::array({user("Hi"), call, user("So?")})),
            "<u>Hi</u>\n<a>{\"name\": \"f\", \"arguments\": {\"b\":1,\"a\":\"x\"}}</a>\n<u>So?</u>\n<a>");
  EXPECT_TRUE(GoTemplate::parse("{{ if .Tools }}{{ end }}", "test")->uses("Tools"));
  EXPECT_FALSE(GoTemplate::parse(text, "test")->uses("Tools"));
}

TEST(GoTemplates, ToolsAndThinking) {
  const Json tools =
      Json::array({Json{{"type", "function"}, {"function", {{"name", "f"}, {"parameters", {{"type", "object"}}}}}}});
  const std::string text =
      "{{ if .Tools }}{{ range .Tools }}{{ . }}|{{ .Function.Name }}|{{ json .Function }}{{ end }}{{ end }}{{ range "
      ".Messages }}{{ .Content }}{{ end }}{{ if and .IsThinkSet (not .Think) }}<no>{{ end }}";
  EXPECT_EQ(prompt(text, Json::array({user("Hi")}), tools),
            "{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{\"type\":\"object\"}}}|f|{\"name\":"
            "\"f\",\"parameters\":{\"type\":\"object\"}}Hi");
  EXPECT_EQ(prompt(text, Json::array({user("Hi")}), nullptr, false), "Hi<no>");
  EXPECT_EQ(prompt(text, Json::array({user("Hi")}), nullptr, true), "Hi");
}

TEST(GoTemplates, TheLanguage) {
  const auto says = [](const std::string& text) {
    return prompt(text + "{{ range .Messages }}{{ end }}", Json::array({user("Hi")}));
  };
  EXPECT_EQ(says("a {{- /* nothing */ -}} b"), "ab");
  EXPECT_EQ(says("{{ \"x\" | printf \"%s-%q\" \"y\" }}"), "y-\"x\"");
  EXPECT_EQ(says("{{ $x := 1 }}{{ if true }}{{ $x = 2 }}{{ end }}{{ $x }}"), "2");
  EXPECT_EQ(says("{{ with $y := \"w\" }}{{ . }}{{ $y }}{{ else }}no{{ end }}"), "ww");
  EXPECT_EQ(says("{{ range .Nothing }}x{{ else }}none{{ end }}"), "none");
  EXPECT_EQ(says("{{ index .Messages 0 }}"), "{\"role\":\"user\",\"content\":\"Hi\"}");
  EXPECT_EQ(says("{{ (index .Messages 0).Content }}"), "Hi");
  EXPECT_EQ(says("{{ range $i, $m := .Messages }}{{ $i }}{{ $m.Content }}{{ break }}{{ end }}"), "0Hi");
  EXPECT_EQ(says("{{ or .None \"b\" }}{{ and 1 0 }}{{ eq 1 2 1 }}{{ le 1 1 }}{{ gt 2 1 }}{{ len \"abc\" }}{{ slice "
                 "\"abcd\" 1 3 }}"),
            "b0truetruetrue3bc");
  EXPECT_EQ(says("{{ `raw {{` }}"), "raw {{");
}

TEST(GoTemplates, WhatIsWrongIsNamed) {
  for (const char* text : {"{{ if .A }}", "{{ end }}", "{{ .A", "{{ \"x }}", "{{ template \"x\" }}", "{{ | }}",
                           "{{ (1 }}", "{{ if }}{{ end }}", "{{ %% }}"})
    EXPECT_THROW(GoTemplate::parse(text, "test"), Error) << text;
  for (const char* text : {"{{ nosuch 1 }}", "{{ $x }}", "{{ slice .Messages 7 }}", "{{ index .Messages 9 }}",
                           "{{ eq \"a\" 1 }}", "{{ range \"text\" }}{{ end }}", "{{ len }}"})
    EXPECT_THROW(prompt(std::string(text) + "{{ range .Messages }}{{ end }}", Json::array({user("Hi")})), Error)
        << text;
  std::string deep;
  for (int i = 0; i < 300; ++i) deep += "{{ if .A }}";
  EXPECT_THROW(GoTemplate::parse(deep, "test"), Error);
  EXPECT_THROW(GoTemplate::parse("{{ " + std::string(300, '(') + "1 }}", "test"), Error);
  EXPECT_THROW(prompt("{{ range .Messages }}{{ range 2000000 }}{{ end }}{{ end }}", Json::array({user("Hi")})), Error);
}

TEST(GoTemplates, FillingIn) {
  const auto parsed = GoTemplate::parse("<pre>{{ .Prompt }}<suf>{{ .Suffix }}<mid>{{ .Response }}", "test");
  EXPECT_TRUE(parsed->uses("Suffix"));
  EXPECT_EQ(parsed->fill_in("a", "b"), "<pre>a<suf>b<mid>");
}

}  // namespace
}  // namespace mynah::test
