#include "formats/safetensors.h"

#include "helpers.h"

namespace mynah::formats {
namespace {

using Floats = std::vector<float>;

// A file of this header and so many zero bytes.
std::string made(const std::string& header, size_t data) {
  const uint64_t length = header.size();
  return std::string(reinterpret_cast<const char*>(&length), 8) + header + std::string(data, '\0');
}
std::string error_of_header(const std::string& header, size_t data = 4) {
  return error_of([&] { parse<SafetensorsFile>(made(header, data)); });
}
const std::string kOne = R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";

TEST(Safetensors, ReadsEveryElementType) {
  const auto file = SafetensorsFile::open(golden("all_types.safetensors"));
  for (const std::string type : {"f32", "bf16", "f16", "f64", "i64", "i32", "i16", "i8", "u8", "bool"}) {
    const Tensor t = file->tensor(type);
    EXPECT_EQ(t.shape(), (Shape{2, 3, 4})) << type;
    EXPECT_EQ(t.to_vector(), golden_values(type)) << type;
  }
  EXPECT_EQ(file->tensor("bool").dtype(), DType::boolean);
  EXPECT_EQ(file->tensor("f64").dtype(), DType::f32);
  EXPECT_EQ(file->tensor("scalar").to_vector(), Floats{2.5});
  EXPECT_EQ(file->tensor("scalar").rank(), 0);
  EXPECT_EQ(file->tensor("empty").shape(), (Shape{0, 3}));
  EXPECT_EQ(file->metadata().at("note"), "a \"b\"\n");
  EXPECT_EQ(file->metadata().at("format"), "pt");
}

TEST(Safetensors, WritesTheReferencesBytes) {
  Scratch scratch;
  const auto reference = SafetensorsFile::open(golden("ordered.safetensors"));
  std::vector<OutputTensor> tensors;
  for (const TensorInfo& info : reference->tensors()) tensors.emplace_back(info.name, reference->tensor(info.name));
  write_safetensors(scratch / "a.safetensors", tensors, reference->metadata());
  EXPECT_EQ(read_text_file(scratch / "a.safetensors"), read_text_file(golden("ordered.safetensors")));
}

TEST(Safetensors, RoundTripOfEveryDtypeWithOddSizesAndNames) {
  Scratch scratch;
  std::vector<OutputTensor> tensors;
  const std::vector<DType> dtypes = {DType::u8,      DType::f32,  DType::i8,  DType::i64,
                                     DType::boolean, DType::bf16, DType::i32, DType::f16};
  for (const DType dtype : dtypes) {
    Tensor t = Tensor::empty({3, 5}, dtype);
    for (size_t i = 0; i < t.nbytes(); ++i)
      static_cast<uint8_t*>(t.raw())[i] = static_cast<uint8_t>(dtype == DType::boolean ? i % 2 : i * 7);
    tensors.emplace_back("quote\" \xc3\xa9\\ " + std::string(name(dtype)), t);
  }
  const Tensor base = Tensor::from(Floats{0, 1, 2, 3, 4, 5}, {2, 3});
  tensors.emplace_back("transposed", base.as_strided({3, 2}, {1, 3}));
  tensors.emplace_back("none", Tensor::zeros({0}));
  write_safetensors(scratch / "a", tensors);
  const auto file = SafetensorsFile::open(scratch / "a");
  ASSERT_EQ(file->tensors().size(), tensors.size());
  for (size_t i = 0; i < dtypes.size(); ++i) {
    const Tensor got = file->tensor(tensors[i].name), expected = tensors[i].data();
    EXPECT_EQ(got.dtype(), dtypes[i]);
    EXPECT_EQ(got.shape(), expected.shape());
    EXPECT_EQ(std::memcmp(got.raw(), expected.raw(), got.nbytes()), 0) << name(dtypes[i]);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(got.raw()) % block_bytes(dtypes[i]), 0u);
    EXPECT_EQ(file->tensor(tensors[i].name).data<std::byte>(), got.data<std::byte>()) << "borrowed, not copied";
  }
  EXPECT_EQ(file->tensor("transposed").to_vector(), (Floats{0, 3, 1, 4, 2, 5}));
  EXPECT_TRUE(file->metadata().empty());
}

TEST(Safetensors, TensorsThatLieUnalignedAreCopied) {
  const std::string header =
      R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"F32","shape":[2],"data_offsets":[1,9]}})";
  std::string text = made(header, 9);
  const float values[2] = {1.5, -2};
  std::memcpy(text.data() + text.size() - 8, values, 8);
  const Tensor b = parse<SafetensorsFile>(text)->tensor("b");
  EXPECT_EQ(reinterpret_cast<uintptr_t>(b.raw()) % 4, 0u);
  EXPECT_EQ(b.to_vector(), (Floats{1.5, -2}));
}

TEST(Safetensors, AcceptsWhatTheReferenceAccepts) {
  EXPECT_EQ(error_of_header(kOne), "");
  EXPECT_EQ(error_of_header(kOne + "   "), "");
  EXPECT_EQ(error_of_header("{}", 0), "");
  EXPECT_EQ(
      error_of_header(
          R"({"a":{"x":[1,{"y":"z"}],"dtype":"F32","shape":[1],"data_offsets":[0,4],"w":null},"__metadata__":{}})"),
      "");
  EXPECT_EQ(error_of_header(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"__metadata__":null})"), "");
  EXPECT_EQ(
      error_of_header(
          R"({"b":{"dtype":"I32","shape":[],"data_offsets":[0,4]},"e":{"dtype":"I64","shape":[0],"data_offsets":[0,0]}})"),
      "");
  EXPECT_EQ(error_of_header(R"({"a":{"dtype":"F4","shape":[8],"data_offsets":[0,4]}})"), "");
}

TEST(Safetensors, TypesThatCannotBeReadAreRefusedOnlyWhenAskedFor) {
  const auto file = parse<SafetensorsFile>(made(R"({"a":{"dtype":"F8_E4M3","shape":[4],"data_offsets":[0,4]}})", 4));
  EXPECT_TRUE(has(error_of([&] { file->tensor("a"); }), "element type F8_E4M3 is not supported"));
}

TEST(Safetensors, BooleansAreZeroOrOne) {
  const auto file = parse<SafetensorsFile>(made(R"({"a":{"dtype":"BOOL","shape":[3],"data_offsets":[0,3]}})", 0) +
                                           std::string("\0\2\xff", 3));
  EXPECT_EQ(file->tensor("a").to_vector(), (Floats{0, 1, 1}));
}

TEST(Safetensors, UnsignedIntegersBecomeWiderSignedOnes) {
  const auto u16 =
      parse<SafetensorsFile>(made(R"({"a":{"dtype":"U16","shape":[1],"data_offsets":[0,2]}})", 0) + "\xff\xff");
  EXPECT_EQ(u16->tensor("a").dtype(), DType::i32);
  EXPECT_EQ(u16->tensor("a").item(), 65535);
  const auto u64 = parse<SafetensorsFile>(made(R"({"a":{"dtype":"U64","shape":[1],"data_offsets":[0,8]}})", 0) +
                                          std::string(8, '\xff'));
  EXPECT_TRUE(has(error_of([&] { u64->tensor("a"); }), "does not fit"));
}

TEST(Safetensors, HeadersThatLieAreRefused) {
  const auto expect = [](const std::string& error, std::string_view part) {
    EXPECT_TRUE(error.starts_with("5: test: ") && has(error, part)) << error << " lacks " << part;
  };
  const auto one = [](const std::string& dtype, const std::string& shape, const std::string& offsets) {
    return "{\"a\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape + ",\"data_offsets\":" + offsets + "}}";
  };
  expect(error_of_header(" " + kOne), "does not begin with '{'");
  expect(error_of_header(kOne, 5), "its data at 5");
  expect(error_of_header(kOne, 3), "its data at 3");
  expect(error_of_header(one("F32", "[1]", "[1,5]"), 5), "begins at byte 1");
  expect(error_of_header(one("F32", "[2]", "[0,4]")), "4 bytes for F32 [2]");
  expect(error_of_header(one("F4", "[3]", "[0,1]"), 1), "1 bytes for F4 [3]");
  expect(error_of_header(one("Q9", "[1]", "[0,4]")), "unknown dtype 'Q9'");
  expect(error_of_header(one("F32", "[1]", "[4,0]")), "no range");
  expect(error_of_header(one("F32", "[1]", "[0]")), "no range");
  expect(error_of_header(one("F32", "[1]", "[0,4,8]")), "no range");
  expect(error_of_header(one("F32", "[4611686018427387905]", "[0,4]")), "overflow");
  expect(error_of_header(one("F32", "[4294967296,4294967296,4294967296]", "[0,0]"), 0), "overflow");
  expect(error_of_header(one("F32", "[0,18446744073709551615,18446744073709551615]", "[0,0]"), 0), "overflow");
  expect(error_of_header(one("F32", "[-1]", "[0,4]")), "negative number");
  expect(error_of_header(one("F32", "[1.0]", "[0,4]")), "no integer");
  expect(error_of_header(one("F32", "[99999999999999999999]", "[0,4]")), "no integer");
  expect(error_of_header(one("F32", "[[1]]", "[0,4]")), "unexpected list");
  expect(error_of_header(one("F32", "1", "[0,4]")), "unexpected number");
  expect(error_of_header(R"({"a":{"dtype":"F32","shape":[1]}})"), "lacks dtype, shape or data_offsets");
  expect(error_of_header(R"({"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}})"), "'dtype' twice");
  expect(
      error_of_header(
          R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
          8),
      "'a' occurs twice");
  expect(
      error_of_header(
          R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}})",
          6),
      "'b' begins at byte 2, the one before it ends at 4");
  expect(error_of_header(R"({"__metadata__":{"a":1}})", 0), "unexpected number");
  expect(error_of_header(R"({"__metadata__":{"a":"1","a":"2"}})", 0), "'a' twice");
  expect(error_of_header(R"({"__metadata__":{},"__metadata__":{}})", 0), "__metadata__ twice");
  expect(error_of_header(R"({"a":[]})"), "unexpected list");
  expect(error_of_header(R"({"a":3})"), "unexpected number");
  expect(error_of_header("{\"a\xff\":3}"), "not valid JSON");
  expect(error_of_header(kOne + "x"), "not valid JSON");
  expect(error_of_header("{" + std::string(100000, '[')), "not valid JSON");
  expect(error_of_header("{\"a\":" + std::string(100000, '{')), "");
  expect(error_of([] { parse<SafetensorsFile>("1234567"); }), "at least 8 expected");
  expect(error_of([] { parse<SafetensorsFile>(std::string(8, '\xff') + "{}"); }), "at most 100000000 expected");
  expect(error_of([] { parse<SafetensorsFile>(std::string("\xff\0\0\0\0\0\0\0{}", 10)); }),
         "a header of 255 bytes in a file of 10");
}

TEST(Safetensors, RefusesToWriteWhatItCannotHold) {
  Scratch scratch;
  const Tensor t = Tensor::zeros({2});
  const std::vector<OutputTensor> twice = {{"a", t}, {"a", t}}, quantised = {{"a", Tensor::zeros({32}, DType::q8_0)}},
                                  reserved = {{"__metadata__", t}}, latin = {{"\xe9", t}};
  EXPECT_TRUE(has(error_of([&] { write_safetensors(scratch / "a", twice); }), "'a' is given twice"));
  EXPECT_TRUE(has(error_of([&] { write_safetensors(scratch / "a", quantised); }), "no element type q8_0"));
  EXPECT_TRUE(has(error_of([&] { write_safetensors(scratch / "a", reserved); }), "__metadata__"));
  EXPECT_TRUE(has(error_of([&] { write_safetensors(scratch / "a", latin); }), "not UTF-8"));
  EXPECT_TRUE(std::filesystem::is_empty(scratch.folder()));
}

}  // namespace
}  // namespace mynah::formats
