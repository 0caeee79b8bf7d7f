#include "formats/gguf.h"
#include "helpers.h"

namespace mynah::formats {
namespace {

// Everything of `source` written again, with our writer.
void rewrite(const GgufFile& source, const std::filesystem::path& path, uint32_t alignment) {
  GgufWriter writer(path, alignment);
  for (const GgufValue& value : source.metadata()) writer.copy(value);
  for (const TensorInfo& info : source.tensors())
    if (info.dtype && info.type != "F64" && info.type != "I16") writer.add({info.name, source.tensor(info.name)});
  writer.finish();
}

TEST(GgufWriter, WritesWhatTheReferenceWrites) {
  // The golden file has types that mynah converts or cannot write; a first copy without them is then the fixed point,
  // and its metadata is byte for byte the reference's.
  Scratch scratch;
  const auto reference = GgufFile::open(golden("all_types.gguf"));
  rewrite(*reference, scratch / "a.gguf", 32);
  const std::string ours = read_text_file(scratch / "a.gguf"), theirs = read_text_file(golden("all_types.gguf"));
  const size_t metadata_end = theirs.find("last") + 4 + 4 + 8 + 3;
  ASSERT_EQ(theirs.substr(metadata_end - 3, 3), "end");
  EXPECT_EQ(ours.substr(16, metadata_end - 16), theirs.substr(16, metadata_end - 16));
  const auto copy = GgufFile::open(scratch / "a.gguf");
  for (const TensorInfo& info : copy->tensors()) {
    const auto got = copy->tensor_bytes(info.name), expected = reference->tensor_bytes(info.name);
    EXPECT_TRUE(std::equal(got.begin(), got.end(), expected.begin(), expected.end())) << info.name;
    EXPECT_EQ(info.shape, reference->find_tensor(info.name)->shape) << info.name;
    EXPECT_EQ(info.type, reference->find_tensor(info.name)->type) << info.name;
  }
  EXPECT_EQ(copy->tensors().size(), reference->tensors().size() - 3);
  rewrite(*copy, scratch / "b.gguf", 32);
  EXPECT_EQ(read_text_file(scratch / "b.gguf"), ours);
  EXPECT_EQ(ours.size() % 32, 0u) << "the last tensor is padded, as the format's readers expect";
}

TEST(GgufWriter, KeepsItsOwnAlignmentWhenMetadataIsCopied) {
  Scratch scratch;
  const auto reference = GgufFile::open(golden("aligned_64.gguf"));
  rewrite(*reference, scratch / "a.gguf", 128);
  rewrite(*reference, scratch / "b.gguf", 32);
  EXPECT_EQ(GgufFile::open(scratch / "a.gguf")->get<int>("general.alignment"), 128);
  EXPECT_EQ(GgufFile::open(scratch / "b.gguf")->find("general.alignment"), nullptr);
  EXPECT_EQ(GgufFile::open(scratch / "b.gguf")->tensor("f16").to_vector(), golden_values("f16"));
}

TEST(GgufWriter, RoundTripOfEveryKindOfMetadata) {
  Scratch scratch;
  GgufWriter writer(scratch / "a.gguf");
  writer.set("bool", true);
  writer.set("u8", uint8_t{255});
  writer.set("i8", int8_t{-128});
  writer.set("u16", uint16_t{65535});
  writer.set("i16", int16_t{-32768});
  writer.set("u32", 4294967295u);
  writer.set("i32", -5);
  writer.set("u64", uint64_t{1} << 62);
  writer.set("i64", int64_t{-1} << 62);
  writer.set("f32", 1.5f);
  writer.set("f64", 1e300);
  writer.set("text", "old");
  writer.set("text", std::string("new"));
  writer.set_array("strings", std::vector<std::string>{"a", "", "bc"});
  writer.set_array("none", std::vector<std::string>{});
  writer.set_array("floats", std::vector<float>{1, 2});
  writer.set_array("ints", std::vector<int32_t>{-1, 2});
  writer.finish();
  const auto file = GgufFile::open(scratch / "a.gguf");
  EXPECT_EQ(file->metadata().size(), 16u);
  EXPECT_EQ(file->get<bool>("bool"), true);
  EXPECT_EQ(file->get<uint8_t>("u8"), 255);
  EXPECT_EQ(file->get<int8_t>("i8"), -128);
  EXPECT_EQ(file->get<uint16_t>("u16"), 65535);
  EXPECT_EQ(file->get<int16_t>("i16"), -32768);
  EXPECT_EQ(file->get<uint32_t>("u32"), 4294967295u);
  EXPECT_EQ(file->get<int>("i32"), -5);
  EXPECT_EQ(file->get<uint64_t>("u64"), uint64_t{1} << 62);
  EXPECT_EQ(file->get<int64_t>("i64"), int64_t{-1} << 62);
  EXPECT_EQ(file->get<float>("f32"), 1.5f);
  EXPECT_EQ(file->get<double>("f64"), 1e300);
  EXPECT_EQ(file->get<std::string>("text"), "new");
  EXPECT_EQ(file->at("strings").strings().to_vector(), (std::vector<std::string_view>{"a", "", "bc"}));
  EXPECT_TRUE(file->at("none").strings().to_vector().empty());
  EXPECT_EQ(file->at("floats").floats().to_vector(), (std::vector<double>{1, 2}));
  EXPECT_EQ(file->at("ints").ints().to_vector(), (std::vector<int64_t>{-1, 2}));
}

TEST(GgufWriter, TensorsAreMadeOneAtATimeAndNonContiguousOnesGathered) {
  Scratch scratch;
  GgufWriter writer(scratch / "a.gguf");
  int made = 0;
  const Tensor base = Tensor::from(std::vector<float>{0, 1, 2, 3, 4, 5}, {2, 3});
  writer.add({"lazy", {3}, DType::f32, [&] {
                ++made;
                return Tensor::full({3}, 7);
              }});
  writer.add({"transposed", base.as_strided({3, 2}, {1, 3})});
  writer.add({"scalar", Tensor::scalar(4)});
  EXPECT_EQ(made, 0);
  writer.finish();
  EXPECT_EQ(made, 1);
  const auto file = GgufFile::open(scratch / "a.gguf");
  EXPECT_EQ(file->tensor("lazy").to_vector(), (std::vector<float>{7, 7, 7}));
  EXPECT_EQ(file->tensor("transposed").to_vector(), (std::vector<float>{0, 3, 1, 4, 2, 5}));
  EXPECT_EQ(file->tensor("scalar").rank(), 0);
}

TEST(GgufWriter, RefusesWhatOtherReadersWouldRefuse) {
  Scratch scratch;
  GgufWriter writer(scratch / "a.gguf");
  const Tensor t = Tensor::zeros({2});
  EXPECT_TRUE(has(error_of([&] { writer.add({std::string(64, 'x'), t}); }), "1 to 63 bytes"));
  EXPECT_TRUE(has(error_of([&] { writer.add({"x", Tensor::zeros({1, 1, 1, 1, 1})}); }), "at most 4"));
  EXPECT_TRUE(has(error_of([&] { writer.add({"x", Tensor::zeros({1}, DType::boolean)}); }), "no element type bool"));
  EXPECT_TRUE(error_of([&] { writer.set("", 1); }).starts_with("2: "));
  EXPECT_TRUE(error_of([&] { GgufWriter(scratch / "b", 24); }).starts_with("2: "));
  writer.add({"x", t});
  writer.add({"x", t});
  EXPECT_TRUE(has(error_of([&] { writer.finish(); }), "'x' was added twice"));
  EXPECT_TRUE(std::filesystem::is_empty(scratch.folder()));
}

TEST(GgufWriter, ATensorThatTurnsOutDifferentLeavesNoFile) {
  Scratch scratch;
  GgufWriter writer(scratch / "a.gguf");
  writer.add({"x", {3}, DType::f32, [] { return Tensor::zeros({4}); }});
  EXPECT_TRUE(has(error_of([&] { writer.finish(); }), "declared f32 [3]"));
  EXPECT_TRUE(std::filesystem::is_empty(scratch.folder()));
}

}  // namespace
}  // namespace mynah::formats
