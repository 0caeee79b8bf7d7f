// Folders without tokenizer.json: the files of each tokenizer class give what the reference's AutoTokenizer gives.
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <sstream>

#include "base/json.h"
#include "mynah/tokenizer.h"

using namespace mynah;
using json = mynah::Json;

namespace {

std::string hashed(const std::string& text) {
  uint32_t h = 0x811C9DC5;
  for (const char c : text) h = (h ^ static_cast<unsigned char>(c)) * 0x01000193;
  char buffer[9];
  std::snprintf(buffer, sizeof buffer, "%08x", h);
  return buffer;
}

template <class List, class F>
std::string joined(const List& list, const char* separator, F&& spell) {
  std::string text;
  for (size_t i = 0; i < list.size(); ++i) text += (i > 0 ? separator : "") + spell(list[i]);
  return text;
}

std::string numbers(const std::vector<int32_t>& list) {
  return joined(list, ",", [](int32_t n) { return std::to_string(n); });
}

std::string line(const Encoding& e, bool fast) {
  std::string text = numbers(e.ids) + "\x1e" + joined(e.tokens, "\x1f", [](const std::string& t) { return t; });
  if (!fast) return text;
  text += "\x1e" + joined(e.offsets, ",",
                          [](const auto& o) { return std::to_string(o.first) + "-" + std::to_string(o.second); });
  return text + "\x1e" + numbers(e.type_ids);
}

std::vector<std::string> words(const std::string& text) {
  std::istringstream in(text);
  return {std::istream_iterator<std::string>(in), {}};
}

const json& folder_cases() {
  static const json file = read_json_file(std::string(MYNAH_TEST_DATA) + "/golden/tokenizers/folders.json");
  return file;
}

class TokenizerFolder : public testing::TestWithParam<std::string> {};

TEST_P(TokenizerFolder, MatchesTheReference) {
  const auto t = Tokenizer::from_folder(std::string(MYNAH_TEST_DATA) + "/golden/tokenizers/folders/" + GetParam());
  const json& want = folder_cases().at("classes").at(GetParam());
  const bool fast = want.at("fast");
  const auto texts = words(want.at("texts")), decoded = words(want.at("decoded")), pairs = words(want.at("pairs"));
  std::vector<std::vector<int32_t>> lists;
  for (size_t i = 0; i < texts.size(); ++i) {
    const std::string text = folder_cases().at("strings")[i];
    const Encoding e = t->encode(text);
    const std::string got = line(e, fast);
    EXPECT_EQ(hashed(got + "\x1d" + numbers(t->encode_ids(text, false))), texts[i])
        << "string " << i << ": " << json(text).dump() << " gives " << json(e.tokens).dump();
    lists.push_back(e.ids);
  }
  for (const json& ids : want.at("ids")) lists.push_back(ids.get<std::vector<int32_t>>());
  ASSERT_EQ(lists.size(), decoded.size());
  for (size_t i = 0; i < lists.size(); ++i) {
    const std::string all = t->decode(lists[i], false), skipped = t->decode(lists[i], true);
    EXPECT_EQ(hashed(all + "\x1e" + skipped), decoded[i]) << "list " << i << " gives " << all << "\n and " << skipped;
  }
  for (size_t i = 0; i < pairs.size(); ++i) {
    const json& two = folder_cases().at("pairs")[i];
    const Encoding e = t->encode_pair(two[0].get<std::string>(), two[1].get<std::string>());
    EXPECT_EQ(hashed(line(e, fast)), pairs[i]) << two.dump() << " gives " << json(e.tokens).dump();
  }
}

std::vector<std::string> names() {
  std::vector<std::string> all;
  for (const auto& [name, row] : folder_cases().at("classes").items()) all.push_back(name);
  return all;
}

INSTANTIATE_TEST_SUITE_P(Golden, TokenizerFolder, testing::ValuesIn(names()),
                         [](const auto& test) { return test.param; });

}  // namespace
