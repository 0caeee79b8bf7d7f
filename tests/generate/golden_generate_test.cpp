// Every generate.json among the golden checkpoints: ids exactly as the reference's generate() returned them, in a batch and alone.
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>

#include "base/json.h"
#include "generate/config.h"
#include "mynah/generate.h"
#include "mynah/ops.h"

namespace mynah {
namespace {

namespace fs = std::filesystem;
using Rows = std::vector<std::vector<int32_t>>;

std::vector<fs::path> generation_cases() {
  std::vector<fs::path> all;
  for (const auto& e : fs::directory_iterator(fs::path(MYNAH_TEST_DATA) / "golden" / "models"))
    if (fs::exists(e.path() / "generate.json")) all.push_back(e.path());
  std::sort(all.begin(), all.end());
  return all;
}

class GoldenGenerate : public testing::TestWithParam<fs::path> {};

// Nested lists: whole numbers are i64, others f32.
void flatten(const Json& list, size_t depth, std::vector<int64_t>* shape, std::vector<double>* values, bool* whole) {
  if (!list.is_array()) {
    values->push_back(list.get<double>());
    *whole = *whole && list.is_number_integer();
    return;
  }
  if (shape->size() == depth) shape->push_back(static_cast<int64_t>(list.size()));
  for (const Json& entry : list) flatten(entry, depth + 1, shape, values, whole);
}

Tensor tensor_of(const Json& list) {
  std::vector<int64_t> shape;
  std::vector<double> values;
  bool whole = true;
  flatten(list, 0, &shape, &values, &whole);
  const Shape dims{std::span<const int64_t>(shape)};
  const std::vector<int64_t> integers(values.begin(), values.end());
  const std::vector<float> numbers(values.begin(), values.end());
  return whole ? Tensor::from(std::span<const int64_t>(integers), dims) : Tensor::from(std::span<const float>(numbers), dims);
}

GenerateInputs inputs_of(const Json& entry) {
  const auto rows = [&](const char* name) { return entry.value(name, Rows()); };
  GenerateInputs in{rows("input_ids"), {}, rows("decoder_input_ids"), rows("negative_prompt_ids"), {}};
  for (const auto& [name, value] : entry.items())
    if (name == "pixel_values" || name == "image_attention_mask" || name == "image_grid_thw" || name == "pixel_values_videos" || name == "video_grid_thw" || name == "pixel_attention_mask" || name == "input_features")
      in.media[name] = tensor_of(value);
  if (entry.contains("input_features") && entry.contains("attention_mask")) in.media["attention_mask"] = tensor_of(entry["attention_mask"]);
  else in.attention_mask = rows("attention_mask");
  return in;
}

// So many rows have inputs of their own; 0 where media belong to rows that only the tokens tell.
size_t separable(const GenerateInputs& in) {
  const size_t count = in.input_ids.empty() && !in.media.empty() ? static_cast<size_t>(in.media.begin()->second.size(0)) : in.input_ids.size();
  for (const auto& [name, tensor] : in.media)
    if (static_cast<size_t>(tensor.size(0)) != count) return 0;
  return count;
}

GenerateInputs only(const GenerateInputs& all, size_t row) {
  const auto one = [&](const Rows& rows) { return rows.empty() ? rows : Rows{rows[row]}; };
  GenerateInputs in{one(all.input_ids), one(all.attention_mask), one(all.decoder_input_ids), one(all.negative_prompt_ids), {}};
  for (const auto& [name, tensor] : all.media) in.media[name] = narrow(tensor, 0, static_cast<int64_t>(row), 1);
  return in;
}

TEST_P(GoldenGenerate, IdsOfTheReference) {
  const Model model = Model::open(GetParam().string());
  const Json entries = read_json_file(GetParam() / "generate.json");
  ASSERT_FALSE(entries.empty());
  for (const Json& entry : entries) {
    SCOPED_TRACE(entry["args"].dump());
    GenerationConfig config = generation_defaults(model);
    Json args = entry["args"];
    args.erase("output_router_logits");  // the reference cannot generate while it gives them; no setting of generation
    generation::apply(args, &config, true);
    const GenerateInputs inputs = inputs_of(entry);
    const GenerateOutputs all = generate(model, inputs, config);
    EXPECT_EQ(all.sequences, entry["sequences"].get<Rows>());
    if (entry.contains("sequences_scores")) {
      const auto scores = entry["sequences_scores"].get<std::vector<float>>();
      ASSERT_EQ(all.sequences_scores.size(), scores.size());
      for (size_t i = 0; i < scores.size(); ++i) EXPECT_NEAR(all.sequences_scores[i], scores[i], 1e-4f * std::max(1.0f, std::abs(scores[i]))) << "row " << i;
    }
    // A row alone gives what it gave in company, but for the padding to the longest. (Whether a start token goes before decoders'
    // prompts is decided for all of them together.)
    if (args.contains("language") && args["language"].is_array()) continue;  // one for each sound
    // The length of a sound that stands alone is its features', that of one in company its mask's.
    if (entry.contains("decoder_input_ids") || (entry.contains("input_features") && entry.contains("attention_mask"))) continue;
    for (size_t row = 0; row < separable(inputs); ++row) {
      const GenerateOutputs alone = generate(model, only(inputs, row), config);
      for (size_t i = 0; i < alone.sequences.size(); ++i) {
        const auto& in_company = all.sequences[row * alone.sequences.size() + i];
        ASSERT_LE(alone.sequences[i].size(), in_company.size());
        EXPECT_TRUE(std::equal(alone.sequences[i].begin(), alone.sequences[i].end(), in_company.begin())) << "row " << row;
        if (alone.sequences_scores.empty()) continue;
        EXPECT_EQ(alone.sequences_scores[i], all.sequences_scores[row * alone.sequences.size() + i]);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Checkpoints, GoldenGenerate, testing::ValuesIn(generation_cases()), [](const testing::TestParamInfo<fs::path>& one) {
  std::string name = one.param.filename().string();
  for (char& c : name)
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  return name;
});

}  // namespace
}  // namespace mynah
