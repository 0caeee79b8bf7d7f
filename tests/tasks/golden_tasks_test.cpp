// Every answer of tests/golden/tasks/*cases.json: strings, integers, keys and their order exactly, other numbers within 1e-4 of themselves.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <span>

#include "base/json.h"
#include "media/image.h"
#include "mynah/pipeline.h"
#include "text/base64.h"

namespace mynah {
namespace {

namespace fs = std::filesystem;

const fs::path kFolder = fs::path(MYNAH_TEST_DATA) / "golden/tasks";

const Json& cases() {
  static const Json all = [] {
    Json read = Json::array();
    for (const auto& entry : fs::directory_iterator(kFolder))
      if (entry.path().filename().string().ends_with("cases.json"))
        for (const Json& c : read_json_file(entry.path())) read.push_back(c);
    return read;
  }();
  return all;
}

// Inputs that name files do so from tests/golden on: "media/picture.png".
Json with_paths(const Json& inputs) {
  if (inputs.is_string() && inputs.get_ref<const std::string&>().starts_with("media/")) return (kFolder.parent_path() / inputs.get<std::string>()).string();
  Json out = inputs;
  if (inputs.is_structured())
    for (Json& part : out) part = with_paths(part);
  return out;
}

constexpr std::string_view kPngInBase64 = "iVBORw0KGgo";

media::Image picture_of(const Json& encoded) {
  const auto bytes = text::decode_base64(encoded.get_ref<const std::string&>());
  return media::decode_image(std::as_bytes(std::span(*bytes)), "a mask");
}

// Where the two differ first; empty if they do not.
std::string difference(const Json& got, const Json& expected, const std::string& at = "") {
  if (expected.is_number_float() && got.is_number()) {
    const double tolerance = 1e-6 + 1e-4 * std::abs(expected.get<double>());
    return std::abs(got.get<double>() - expected.get<double>()) <= tolerance ? "" : at + ": " + got.dump() + ", expected " + expected.dump();
  }
  if (got.type() != expected.type() && !(got.is_number_integer() && expected.is_number_integer())) return at + ": " + got.dump() + ", expected " + expected.dump();
  // PNG writers differ in bytes, not in pixels.
  if (expected.is_string() && expected.get_ref<const std::string&>().starts_with(kPngInBase64)) {
    const media::Image a = picture_of(got), b = picture_of(expected);
    // A grey may fall to the next level where a number is cut.
    const auto near = [](uint8_t x, uint8_t y) { return std::abs(x - y) <= 1; };
    return a.width == b.width && a.height == b.height && std::equal(a.rgb.begin(), a.rgb.end(), b.rgb.begin(), near) ? "" : at + ": another picture";
  }
  if (!expected.is_structured()) return got == expected ? "" : at + ": " + got.dump() + ", expected " + expected.dump();
  if (got.size() != expected.size()) return at + ": " + got.dump() + ", expected " + expected.dump();
  if (expected.is_array()) {
    for (size_t i = 0; i < expected.size(); ++i)
      if (const std::string d = difference(got[i], expected[i], at + "[" + std::to_string(i) + "]"); !d.empty()) return d;
    return "";
  }
  for (auto g = got.begin(), e = expected.begin(); e != expected.end(); ++g, ++e) {
    if (g.key() != e.key()) return at + ": key " + g.key() + ", expected " + e.key();
    if (const std::string d = difference(*g, *e, at + "." + e.key()); !d.empty()) return d;
  }
  return "";
}

// The case's model, with the members that the case gives its files.
Pipeline open_case(const Json& c) {
  fs::path folder = kFolder / c["model"].get<std::string>();
  if (!c.contains("config") && !c.contains("tokenizer_config") && !c.contains("processor")) return pipeline(c["task"], folder.string());
  const fs::path copy = fs::path(testing::TempDir()) / ("mynah_task_" + std::to_string(getpid()));
  fs::remove_all(copy);
  fs::copy(folder, copy);
  for (const auto& [member, file] : {std::pair{"config", "config.json"}, {"tokenizer_config", "tokenizer_config.json"}, {"processor", "preprocessor_config.json"}}) {
    if (!c.contains(member)) continue;
    Json value = read_json_file(copy / file);
    for (const auto& [key, change] : c[member].items())
      if (change.is_null()) value.erase(key);
      else value[key] = change;
    std::ofstream(copy / file) << value.dump();
  }
  Pipeline opened = pipeline(c["task"], copy.string());
  fs::remove_all(copy);
  return opened;
}

class GoldenTasks : public testing::TestWithParam<std::string> {};

TEST_P(GoldenTasks, AnswersAsTheReference) {
  size_t count = 0;
  for (const Json& c : cases()) {
    if (c["task"] != GetParam()) continue;
    ++count;
    const std::string what = c["model"].get<std::string>() + " " + c["inputs"].dump() + " " + c["options"].dump();
    try {
      EXPECT_EQ(difference(open_case(c)(with_paths(c["inputs"]), with_paths(c["options"])), with_paths(c["output"])), "") << what;
    } catch (const std::exception& error) {
      ADD_FAILURE() << what << ": " << error.what();
    }
  }
  EXPECT_GT(count, 0u);
}

std::vector<std::string> tasks_with_cases() {
  std::map<std::string, bool> names;
  for (const Json& c : cases()) names[c["task"]] = true;
  std::vector<std::string> out;
  for (const auto& [name, there] : names) out.push_back(name);
  return out;
}

std::string test_name(const testing::TestParamInfo<std::string>& info) {
  std::string name = info.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(All, GoldenTasks, testing::ValuesIn(tasks_with_cases()), test_name);

// A text's answer does not depend on its company.
TEST(Tasks, BatchesChangeNothing) {
  const Pipeline tags = pipeline("ner", (kFolder / "bert_tags").string());
  const std::vector<std::string> texts = {"Anna", "Peter Smithson lives in Newville and works in Berlin today", "a bird", "London and Paris"};
  const Json together = tags(texts, {{"ignore_labels", Json::array()}});
  for (size_t i = 0; i < texts.size(); ++i) EXPECT_EQ(tags(texts[i], {{"ignore_labels", Json::array()}}), together[i]);
}

}  // namespace
}  // namespace mynah
