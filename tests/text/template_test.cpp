#include "text/template.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "mynah/error.h"
#include "mynah/json.h"

namespace mynah {
namespace {

// The clock of the golden files.
std::tm golden_now() {
  std::tm now{};
  now.tm_year = 124;
  now.tm_mon = 6;
  now.tm_mday = 26;
  now.tm_hour = 14;
  now.tm_min = 5;
  now.tm_sec = 9;
  now.tm_wday = 5;
  now.tm_yday = 207;
  return now;
}

std::string render(std::string_view source, const Json& variables = Json::object()) {
  return ChatTemplate::parse(source, "test")->render(variables, golden_now());
}

// The message of the Error that rendering throws, "" if it throws none.
std::string error_of(std::string_view source, const Json& variables = Json::object()) {
  try {
    render(source, variables);
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

Json golden_json(const std::string& name) {
  return read_json_file(std::string(MYNAH_TEST_DATA) + "/golden/templates/" + name + ".json");
}

void expect_as_reference(const Json& golden_case, const std::string& source, const Json& variables) {
  const std::string shown = source.substr(0, 200);
  if (golden_case.contains("error")) {
    EXPECT_NE(error_of(source, variables), "") << shown << "\nreference: " << golden_case["error"];
    return;
  }
  try {
    EXPECT_EQ(render(source, variables), golden_case["output"].get<std::string>()) << shown;
  } catch (const Error& e) {
    ADD_FAILURE() << shown << "\n" << e.what();
  }
}

TEST(ChatTemplate, ExpressionsMatchJinja2) {
  const Json file = golden_json("expressions");
  ASSERT_GT(file["cases"].size(), 500u);
  for (const Json& c : file["cases"]) expect_as_reference(c, c["template"], file["variables"]);
}

TEST(ChatTemplate, FamiliesMatchTransformers) {
  const Json file = golden_json("families");
  ASSERT_GT(file["cases"].size(), 90u);
  for (const Json& c : file["cases"])
    expect_as_reference(c, file["templates"][c["template"].get<std::string>()], c["variables"]);
}

TEST(ChatTemplate, ErrorsNameTemplateLineAndReason) {
  EXPECT_EQ(error_of("a\n{{ b }}\n{{ c.d }}"), "chat template test: line 3: 'c' is undefined");
  EXPECT_EQ(error_of("{% if x %}\n\n{{ raise_exception('two\nlines') }}{% endif %}", {{"x", 1}}),
            "chat template test: line 3: two lines");
  EXPECT_EQ(error_of("\n{% nonsense %}"), "chat template test: line 2: unknown or misplaced tag 'nonsense'");
  EXPECT_EQ(error_of("{% for x in y %}"),
            "chat template test: line 1: unexpected end of template, 'endfor' is missing");
}

TEST(ChatTemplate, SyntaxIsIntegrityAndFailureIsFailure) {
  const auto code_of = [](std::string_view source) {
    try {
      render(source);
    } catch (const Error& e) {
      return e.code();
    }
    return ErrorCode::internal;
  };
  EXPECT_EQ(code_of("{{ 1 +"), ErrorCode::integrity);
  EXPECT_EQ(code_of("{{ 1 + 'a' }}"), ErrorCode::failure);
  EXPECT_EQ(code_of("\xff"), ErrorCode::integrity);
}

TEST(ChatTemplate, VariablesOfTransformersHaveTheirDefaults) {
  EXPECT_EQ(render("{{ tools is none }} {{ documents is none }} {{ add_generation_prompt }}"), "True True False");
  EXPECT_EQ(render("{{ tools | length }}", {{"tools", {1, 2}}}), "2");
  EXPECT_EQ(error_of("x", Json::array()), "chat template test: got variables of type array, expected an object");
}

TEST(ChatTemplate, KeepsTheOrderOfKeys) {
  const Json variables = Json::parse(R"({"tool": {"z": 1, "a": {"y": 2, "b": 3}}})");
  EXPECT_EQ(render("{{ tool | tojson }}", variables), R"({"z": 1, "a": {"y": 2, "b": 3}})");
}

TEST(ChatTemplate, LargeDictsFindTheirKeys) {
  Json big = Json::object();
  for (int i = 0; i < 100; ++i) big["k" + std::to_string(i)] = i;
  EXPECT_EQ(render("{{ d.k0 }} {{ d['k99'] }} {{ d.get('k100') }} {{ 'k50' in d }}", {{"d", big}}), "0 99 None True");
}

TEST(ChatTemplate, RefusesIntegersBeyond64Bits) {
  for (const char* source : {"{{ 9223372036854775807 + 1 }}", "{{ 2 ** 64 }}", "{{ 10 ** 30 }}", "{{ 1e30 | int }}",
                             "{{ -(-9223372036854775807 - 1) }}", "{{ '99999999999999999999' | int }}",
                             "{{ 99999999999999999999 }}", "{{ (-9223372036854775807 - 1) // -1 }}"})
    EXPECT_NE(error_of(source).find("64 bits"), std::string::npos) << source;
  EXPECT_NE(error_of("{{ x }}", {{"x", UINT64_MAX}}), "");
  EXPECT_EQ(render("{{ (-9223372036854775807 - 1) % -1 }} {{ -9223372036854775807 - 1 }}"), "0 -9223372036854775808");
}

TEST(ChatTemplate, LimitsStopEveryRunaway) {
  const std::pair<const char*, const char*> kCases[] = {
      {"{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", "steps"},
      {"{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "macros call each other"},
      {"{{ 'x' * 99999999 }}", "bytes"},
      {"{{ [0] * 99999999 }}", "items"},
      {"{% for a in range(90000) %}{{ 'x' * 100 }}{% endfor %}", "output of more than"},
      {"{% set ns = namespace(s='x') %}{% for a in range(90) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}", "bytes"},
      {"{% set ns = namespace(l=[]) %}{% for a in range(9999) %}{% set ns.l = [ns.l] %}{% endfor %}", "nested"},
      {"{% set ns = namespace(l=[1]) %}{% for a in range(99) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l }}",
       "more than"},
      {"{% set ns = namespace(l=[1], m=[1]) %}{% for a in range(99) %}{% set ns.l = [ns.l, ns.l] %}{% set ns.m = "
       "[ns.m, ns.m] %}"
       "{% endfor %}{{ ns.l == ns.m }}",
       "steps"},
      {"{% set ns = namespace() %}{% set ns.a = ns %}{{ ns }}", "holds itself"},
      {"{{ range(10000000) }}", "Range too big"},
      {"{{ '%999999999d' % 1 }}", "format width"},
      {"{{ '{:>999999999}'.format(1) }}", "format width"},
      {"{{ '%.999999f' % 1.5 }}", "precision"},
      {"{% for a in range(90000) %}{% set b = range(90000) %}{% endfor %}", "bytes of values"},
      {"{{ 'a' | replace('a', 'b' * 4000000) | replace('b', 'ccc') }}", "bytes"},
      {"{% set s = 'ab' * 1000000 %}{% for i in range(100000) %}{% if s.find('b' * 5000 ~ i) %}{% endif %}{% endfor %}",
       "bytes of values"},
      {"{{ x }}{% for i in range(90000) %}{% set y = x == z %}{% endfor %}", "bytes of values"},
  };
  const std::string long_text(3'000'000, 'a');
  const Json variables{{"x", long_text}, {"z", long_text}};
  for (const auto& [source, reason] : kCases)
    EXPECT_NE(error_of(source, variables).find(reason), std::string::npos) << source << "\n"
                                                                           << error_of(source, variables);
}

TEST(ChatTemplate, NestingIsBounded) {
  const auto repeat = [](std::string_view text, int n) {
    std::string out;
    for (int i = 0; i < n; ++i) out += text;
    return out;
  };
  for (const std::string& deep :
       {"{{ " + repeat("(", 100000), "{{ " + repeat("[", 100000), "{{ " + repeat("{1:", 100000),
        "{{ " + repeat("-", 100000) + "1 }}", "{{ " + repeat("not ", 100000) + "1 }}",
        "{{ 1" + repeat("+1", 100000) + " }}", "{{ a" + repeat(".b", 100000) + " }}",
        "{{ a" + repeat("|e", 100000) + " }}", "{{ a" + repeat("()", 100000) + " }}",
        "{{ 1" + repeat(" if 1 else 1", 60000) + " }}", repeat("{% if 1 %}", 100000), repeat("{% for x in y %}", 60000),
        "{% set " + repeat("(", 100000)})
    EXPECT_NE(error_of(deep).find("deep"), std::string::npos) << deep.substr(0, 40) << error_of(deep);
  EXPECT_EQ(render("{{ 1" + repeat("+1", 300) + " }}"), "301");
  EXPECT_EQ(render(repeat("{% if 1 %}", 100) + "x" + repeat("{% endif %}", 100)), "x");
  EXPECT_EQ(render("{% if 0 %}" + repeat("{% elif 0 %}", 3000) + "{% else %}x{% endif %}"), "x");
  // Macros that use all nesting there is must end in an error, not in a full stack.
  const std::string body = repeat("{% if 1 %}", 110) + "{{ " + repeat("(", 100) + "f()" + repeat(")", 100) + " }}" +
                           repeat("{% endif %}", 110);
  EXPECT_NE(error_of("{% macro f() %}" + body + "{% endmacro %}{{ f() }}").find("deep"), std::string::npos);
}

TEST(ChatTemplate, NothingOutsideTheVariablesCanBeReached) {
  EXPECT_EQ(render("{{ ''.__class__ }}{{ x.__init__ }}{{ [].append is defined }}", {{"x", Json::object()}}), "False");
  EXPECT_NE(error_of("{{ ''.__class__.__mro__ }}").find("unsafe"), std::string::npos);
  EXPECT_NE(error_of("{{ x.update({}) }}", {{"x", Json::object()}}).find("unsafe"), std::string::npos);
  EXPECT_NE(error_of("{{ '{0.__class__.__init__}'.format(1) }}"), "");
  EXPECT_NE(error_of("{% include '/etc/passwd' %}"), "");
  EXPECT_NE(error_of("{% extends 'x' %}"), "");
}

TEST(ChatTemplate, RingsOfMacrosAndNamespacesAreFreed) {
  EXPECT_EQ(render("{% set a = namespace() %}{% set b = namespace(a=a) %}{% set a.b = b %}{% set a.l = [a, b] %}"
                   "{% macro m() %}{{ a.b.a.l | length }}{% endmacro %}{% set a.m = m %}{{ a.m() }}"),
            "2");
}

TEST(ChatTemplate, InvalidBytesInVariablesPassThrough) {
  EXPECT_EQ(render("{{ x }}{{ x | length }}{{ x[1] }}", {{"x", "a\xff\xfe"}}),
            "a\xff\xfe"
            "3"
            "\xff");
  EXPECT_EQ(render("{{ x | upper | trim }}", {{"x", " \xc3 "}}), "\xc3");
}

TEST(ChatTemplate, OneTemplateServesManyThreads) {
  const auto shared =
      ChatTemplate::parse("{% for m in messages %}{{ m.role|upper ~ ':' ~ m.content|trim }}\n{% endfor %}", "t");
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      const std::string content = "text " + std::to_string(t);
      const Json variables{{"messages", Json::array({{{"role", "user"}, {"content", content}}})}};
      for (int i = 0; i < 200; ++i) wrong += shared->render(variables) != "USER:" + content + "\n";
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

TEST(ChatTemplate, LongConversationsFit) {
  Json messages = Json::array();
  for (int i = 0; i < 2000; ++i)
    messages.push_back({{"role", i % 2 ? "assistant" : "user"}, {"content", std::string(500, 'x')}});
  const Json file = golden_json("families");
  const auto smollm2 = ChatTemplate::parse(file["templates"]["smollm2"].get<std::string>(), "smollm2");
  EXPECT_GT(smollm2->render({{"messages", messages}}).size(), 1'000'000u);
}

}  // namespace
}  // namespace mynah
