// Processors that put texts and pictures together give what the reference's give.
#include <gtest/gtest.h>

#include <filesystem>

#include "base/json.h"
#include "bundle/processor.h"
#include "formats/safetensors.h"
#include "mynah/error.h"

namespace mynah {
namespace {

namespace fs = std::filesystem;

const fs::path kImageTextGolden = fs::path(MYNAH_TEST_DATA) / "golden";

TEST(TextImageProcessor, AsTheReference) {
  const Json cases = read_json_file(kImageTextGolden / "tasks/processed_multimodal.json");
  const auto file = formats::SafetensorsFile::open(kImageTextGolden / "tasks/processed_multimodal.safetensors");
  ASSERT_GT(cases.size(), 5u);
  for (size_t i = 0; i < cases.size(); ++i) {
    bundle::RawInputs raw;
    for (const Json& image : cases[i][1]) raw.images.push_back((kImageTextGolden / image.get<std::string>()).string());
    for (const Json& text : cases[i][2]) raw.texts.push_back(text);
    const auto got = bundle::process(kImageTextGolden / "tasks" / cases[i][0].get<std::string>(), raw);
    const std::string prefix = std::to_string(i) + ".";
    size_t count = 0;
    for (const auto& info : file->tensors()) {
      if (!info.name.starts_with(prefix)) continue;
      ++count;
      const std::string name = info.name.substr(prefix.size());
      ASSERT_TRUE(got.count(name)) << info.name;
      const Tensor expected = file->tensor(info.name);
      ASSERT_EQ(got.at(name).shape().str(), expected.shape().str()) << info.name;
      const auto a = got.at(name).to_vector(), b = expected.to_vector();
      for (size_t at = 0; at < b.size(); ++at) ASSERT_NEAR(a[at], b[at], 2e-5) << info.name << ", element " << at;
    }
    EXPECT_EQ(got.size(), count) << cases[i].dump();
  }
}

TEST(TextImageProcessor, RefusesPicturesWithoutPlaces) {
  const auto process = [&](const char* model, size_t images, std::vector<std::string> texts) {
    bundle::RawInputs raw;
    raw.images.assign(images, (kImageTextGolden / "media/picture.png").string());
    raw.texts = std::move(texts);
    return bundle::process(kImageTextGolden / "tasks" / model, raw);
  };
  EXPECT_THROW(process("idefics", 2, {"the bird"}), Error);
  EXPECT_THROW(process("idefics", 1, {"<image> and <image>"}), Error);
}

}  // namespace
}  // namespace mynah
