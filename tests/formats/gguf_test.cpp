#include "formats/gguf.h"

#include "helpers.h"

namespace mynah::formats {
namespace {

using Strings = std::vector<std::string_view>;

TEST(Gguf, ReadsEveryKindOfMetadata) {
  const auto file = GgufFile::open(golden("all_types.gguf"));
  EXPECT_EQ(file->version(), 3u);
  EXPECT_EQ(file->get<std::string>("general.architecture"), "test");
  EXPECT_EQ(file->get<int>("v.u8"), 200);
  EXPECT_EQ(file->get<int>("v.i8"), -100);
  EXPECT_EQ(file->get<int>("v.u16"), 60000);
  EXPECT_EQ(file->get<int16_t>("v.i16"), -30000);
  EXPECT_EQ(file->get<uint32_t>("v.u32"), 4000000000u);
  EXPECT_EQ(file->get<int>("v.i32"), -2000000000);
  EXPECT_EQ(file->get<int64_t>("v.i64"), -(int64_t{1} << 62));
  EXPECT_EQ(file->get<float>("v.f32"), 0.1f);
  EXPECT_EQ(file->get<double>("v.f64"), 0.1);
  EXPECT_EQ(file->get<double>("v.i8"), -100.0);
  EXPECT_TRUE(file->get<bool>("v.bool"));
  EXPECT_EQ(file->get<std::string_view>("v.string"), "na\xc3\xafve\nline");
  EXPECT_EQ(file->get<std::string>("last"), "end");
  EXPECT_EQ(file->at("v.u64").text(), "9223372036854775813");
}

TEST(Gguf, ArraysAreReadInPlace) {
  const auto file = GgufFile::open(golden("all_types.gguf"));
  std::string repeated;
  for (int i = 0; i < 20; ++i) repeated += "long ";
  EXPECT_EQ(file->at("a.string").strings().to_vector(), (Strings{"", "a", repeated, "\xc3\xa9"}));
  EXPECT_EQ(file->at("a.i32").ints().to_vector(), (std::vector<int64_t>{1, -2, 3}));
  EXPECT_EQ(file->at("a.f32").floats().to_vector(), (std::vector<double>{0.5, -0.25}));
  EXPECT_EQ(file->at("a.i32").floats()[1], -2.0);
  EXPECT_EQ(file->at("a.bool").ints().to_vector(), (std::vector<int64_t>{1, 0, 1}));
  const std::byte* begin = file->mapping()->bytes().data();
  const auto* text = reinterpret_cast<const std::byte*>(file->at("a.string").strings().to_vector()[2].data());
  EXPECT_TRUE(text > begin && text < begin + file->mapping()->bytes().size());
}

TEST(Gguf, TextForPeople) {
  const auto file = GgufFile::open(golden("all_types.gguf"));
  EXPECT_EQ(file->at("a.string").text(), "[4 strings]");
  EXPECT_EQ(file->at("a.i32").text(), "[1, -2, 3]");
  EXPECT_EQ(file->at("a.bool").text(), "[true, false, true]");
  EXPECT_EQ(file->at("v.f32").text(), "0.1");
  EXPECT_EQ(file->at("general.architecture").text(2), "te...");
  EXPECT_EQ(file->metadata()[0].key(), "general.architecture");
  EXPECT_EQ(file->metadata()[1].key(), "v.u8");
}

TEST(Gguf, MetadataOfAnotherKindIsAnErrorThatNamesTheKey) {
  const auto file = GgufFile::open(golden("all_types.gguf"));
  const auto expect = [](const std::string& error, std::string_view part) {
    EXPECT_TRUE(error.starts_with("5: ") && has(error, "all_types.gguf: metadata ") && has(error, part)) << error;
  };
  expect(error_of([&] { file->get<int>("v.string"); }), "'v.string': got string");
  expect(error_of([&] { file->get<int>("v.f32"); }), "'v.f32': got f32 '0.1', expected an integer");
  expect(error_of([&] { file->get<std::string>("v.u8"); }), "expected a string");
  expect(error_of([&] { file->get<bool>("v.u8"); }), "expected a bool");
  expect(error_of([&] { file->get<float>("a.f32"); }), "got an array of f32");
  expect(error_of([&] { file->at("a.string").ints(); }), "expected an array of integers");
  expect(error_of([&] { file->at("v.string").strings(); }), "expected an array of strings");
  expect(error_of([&] { file->get<int>("absent"); }), "'absent' is missing");
  expect(error_of([&] { file->get<int8_t>("v.u8"); }), "got 200, expected -128 to 127");
  expect(error_of([&] { file->get<uint32_t>("v.i8"); }), "got -100, expected 0 to 4294967295");
  expect(error_of([&] { file->get<int64_t>("v.u64"); }), "below 2^63");
  expect(error_of([&] { file->get_int("v.u8", 1, 199); }), "got 200, expected 1 to 199");
}

TEST(Gguf, FallbacksStandInForMissingKeysOnly) {
  const auto file = GgufFile::open(golden("all_types.gguf"));
  EXPECT_EQ(file->get<int>("absent", 7), 7);
  EXPECT_EQ(file->get<std::string>("absent", "x"), "x");
  EXPECT_EQ(file->get_int("absent", 1, 2, 1), 1);
  EXPECT_EQ(file->get_int("v.u8", 200, 200), 200);
  EXPECT_EQ(file->find("absent"), nullptr);
  EXPECT_NE(error_of([&] { file->get<int>("v.string", 7); }), "");
}

TEST(Gguf, ReadsEveryElementTypeInRowMajorOrder) {
  for (const char* name : {"all_types.gguf", "aligned_64.gguf"}) {
    const auto file = GgufFile::open(golden(name));
    for (const std::string type : {"f32", "bf16", "f16", "f64", "i64", "i32", "i16", "i8"}) {
      const Tensor t = file->tensor(type);
      EXPECT_EQ(t.shape(), (Shape{2, 3, 4})) << type;
      EXPECT_EQ(t.to_vector(), golden_values(type)) << type;
    }
    EXPECT_EQ(file->tensor("f32").dtype(), DType::f32);
    EXPECT_EQ(file->tensor("bf16").dtype(), DType::bf16);
    EXPECT_EQ(file->tensor("f64").dtype(), DType::f32);
    EXPECT_EQ(file->tensor("i16").dtype(), DType::i32);
    EXPECT_EQ(file->tensor("one_row").to_vector(), (std::vector<float>{0, 1, 2, 3, 4}));
  }
}

TEST(Gguf, BlockQuantisedTensorsAreBorrowed) {
  const auto file = GgufFile::open(golden("all_types.gguf"));
  for (const auto dtype : {DType::q4_0, DType::q4_1, DType::q5_0, DType::q5_1, DType::q8_0, DType::q2_k, DType::q3_k,
                           DType::q4_k, DType::q5_k, DType::q6_k, DType::iq4_nl}) {
    const std::string tensor_name(name(dtype));
    const Tensor t = file->tensor(tensor_name);
    EXPECT_EQ(t.dtype(), dtype);
    EXPECT_EQ(t.shape(), (Shape{2, 256}));
    EXPECT_EQ(static_cast<const void*>(t.raw()), file->tensor_bytes(tensor_name).data());
    EXPECT_EQ(t.nbytes(), file->tensor_bytes(tensor_name).size());
  }
}

TEST(Gguf, ABorrowedTensorKeepsTheFileOpen) {
  Tensor t;
  {
    const auto file = GgufFile::open(golden("all_types.gguf"));
    t = file->tensor("f32");
  }
  EXPECT_EQ(t.to_vector(), golden_values("f32"));
}

TEST(Gguf, TypesThatCannotBeReadAreRefusedOnlyWhenAskedFor) {
  const auto file = GgufFile::open(golden("all_types.gguf"));
  ASSERT_TRUE(file->contains("iq4_xs"));
  EXPECT_EQ(file->find_tensor("iq4_xs")->type, "IQ4_XS");
  EXPECT_FALSE(file->find_tensor("iq4_xs")->dtype.has_value());
  EXPECT_EQ(file->tensor_bytes("iq4_xs").size(), 2u * 136u);
  const std::string error = error_of([&] { file->tensor("iq4_xs"); });
  EXPECT_TRUE(has(error, "tensor 'iq4_xs': element type IQ4_XS is not supported")) << error;
}

TEST(Gguf, AMissingTensorIsNotFound) {
  const auto file = GgufFile::open(golden("all_types.gguf"));
  EXPECT_TRUE(error_of([&] { file->tensor("nope"); }).starts_with("3: "));
  EXPECT_TRUE(error_of([&] { GgufFile::open("/absent.gguf"); }).starts_with("3: "));
}

TEST(Gguf, OtherFilesAreNamedAsSuch) {
  EXPECT_TRUE(has(error_of([] { parse<GgufFile>(""); }), "not a GGUF file"));
  EXPECT_TRUE(has(error_of([] { parse<GgufFile>("PK\x03\x04 and twenty more bytes"); }), "not a GGUF file"));
  EXPECT_TRUE(
      has(error_of([] { parse<GgufFile>(std::string("GGUF\0\0\0\3", 8) + std::string(16, '\0')); }), "big-endian"));
  EXPECT_TRUE(
      has(error_of([] { parse<GgufFile>(std::string("GGUF\1\0\0\0", 8) + std::string(16, '\0')); }), "version 1"));
  EXPECT_TRUE(
      has(error_of([] { parse<GgufFile>(std::string("GGUF\4\0\0\0", 8) + std::string(16, '\0')); }), "version 4"));
  EXPECT_EQ(parse<GgufFile>(std::string("GGUF\2\0\0\0", 8) + std::string(16, '\0'))->version(), 2u);
}

}  // namespace
}  // namespace mynah::formats
