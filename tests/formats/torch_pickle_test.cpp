#include "formats/torch_pickle.h"

#include "formats/pickle.h"
#include "helpers.h"
#include "make_zip.h"

namespace mynah::formats {
namespace {

using Floats = std::vector<float>;
using namespace std::string_literals;

Floats iota(int n, float first = 0, float step = 1) {
  Floats values;
  for (int i = 0; i < n; ++i) values.push_back(first + step * static_cast<float>(i));
  return values;
}

class TorchFiles : public ::testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Layouts, TorchFiles, ::testing::Values("zip.bin", "legacy.bin", "protocol4.bin"));

TEST_P(TorchFiles, EveryElementType) {
  const auto file = TorchFile::open(golden(GetParam()));
  for (const std::string type : {"f32", "bf16", "f16", "f64", "i64", "i32", "i16", "i8", "u8", "bool"}) {
    const Tensor t = file->tensor(type);
    EXPECT_EQ(t.shape(), (Shape{2, 3, 4})) << type;
    EXPECT_EQ(t.to_vector(), golden_values(type)) << type;
    EXPECT_TRUE(t.is_contiguous());
  }
  EXPECT_EQ(file->find_tensor("bf16")->type, "BFloat16Storage");
  EXPECT_EQ(file->tensor("f64").dtype(), DType::f32);
  EXPECT_EQ(file->tensors()[0].name, "f32") << "in the order of the dictionary";
}

TEST_P(TorchFiles, ViewsOfOneStorageKeepTheirStrides) {
  const auto file = TorchFile::open(golden(GetParam()));
  EXPECT_EQ(file->tensor("base").to_vector(), iota(24));
  EXPECT_EQ(file->tensor("middle").to_vector(), iota(6, 6));
  EXPECT_EQ(file->tensor("middle").shape(), (Shape{2, 3}));
  EXPECT_EQ(file->tensor("every_second").to_vector(), iota(12, 0, 2));
  EXPECT_EQ(file->tensor("expanded").to_vector(), Floats(6, 3.0f));
  const Floats transposed = file->tensor("transposed").to_vector();
  EXPECT_EQ(file->tensor("transposed").shape(), (Shape{6, 4}));
  for (int i = 0; i < 6; ++i)
    for (int j = 0; j < 4; ++j) EXPECT_EQ(transposed[static_cast<size_t>(i * 4 + j)], static_cast<float>(j * 6 + i));
  EXPECT_EQ(file->tensor("transposed_f64").to_vector(),
            (Floats{-6, -4, -2, -5.5, -3.5, -1.5, -5, -3, -1, -4.5, -2.5, -0.5}));
  EXPECT_EQ(file->tensor("scalar").item(), 2.5f);
  EXPECT_EQ(file->tensor("empty").shape(), (Shape{0, 3}));
  EXPECT_EQ(file->tensor("parameter").to_vector(), iota(2));
}

TEST(TorchFile, ContiguousTensorsOfAZipAreBorrowed) {
  const auto file = TorchFile::open(golden("zip.bin"));
  EXPECT_EQ(file->tensor("middle").data<float>(), file->tensor("base").data<float>() + 6);
}

TEST(TorchFile, NestedContainersBecomeDottedNames) {
  const auto file = TorchFile::open(golden("training.pt"));
  EXPECT_TRUE(file->contains("model.weight"));
  EXPECT_EQ(file->tensor("optimizer.state.0.exp_avg").shape(), (Shape{2, 3}));
  EXPECT_EQ(file->tensor("list.0").to_vector(), (Floats{1, 1}));
  EXPECT_FALSE(file->contains("step"));
  EXPECT_EQ(file->tensor("odd.u16").to_vector(), iota(3));
  EXPECT_EQ(file->tensor("odd.u32").to_vector(), iota(3));
  EXPECT_EQ(file->tensor("odd.u64").dtype(), DType::i64);
  EXPECT_TRUE(has(error_of([&] { file->tensor("odd.fp8"); }), "float8_e4m3fn is not supported"));
  EXPECT_TRUE(has(error_of([&] { file->tensor("odd.complex"); }), "ComplexFloatStorage is not supported"));
}

TEST(TorchFile, RefusesToRunCode) {
  const std::string error = error_of([] { TorchFile::open(golden("evil.bin")); });
  EXPECT_TRUE(error.starts_with("1: ") && has(error, "refuses to run code: the name 'posix.system'")) << error;
}

// A zip file around this pickle, with 16 floats 0, 1, ... under the key "0".
std::string wrap(const std::string& pickle, const ZipOptions& options = {}, const std::string& byteorder = "little") {
  std::string floats;
  for (int i = 0; i < 16; ++i) put(floats, static_cast<float>(i));
  return make_zip({{"m/data.pkl", pickle}, {"m/byteorder", byteorder}, {"m/data/0", floats}}, options);
}
std::string text(const std::string& s) { return "\x8c" + std::string(1, static_cast<char>(s.size())) + s; }
std::string number(int64_t n) {
  std::string out = "\x8a\x08";
  put(out, n);
  return out;
}
std::string tuple(const std::vector<int64_t>& values) {
  std::string out = "(";
  for (const int64_t v : values) out += number(v);
  return out + "t";
}
std::string storage(int64_t numel = 16, const std::string& key = "0", const std::string& type = "FloatStorage") {
  return "(" + text("storage") + "ctorch\n" + type + "\n" + text(key) + text("cpu") + number(numel) + "tQ";
}
std::string tensor(int64_t offset, const std::vector<int64_t>& shape, const std::vector<int64_t>& strides,
                   const std::string& from = storage()) {
  return "ctorch._utils\n_rebuild_tensor_v2\n(" + from + number(offset) + tuple(shape) + tuple(strides) + "\x89)tR";
}
std::string pickled(const std::string& body) { return "\x80\x02" + body + "."; }
std::string state(const std::string& value) { return pickled("}" + text("w") + value + "s"); }
std::string load_error(const std::string& file) {
  return error_of([&] {
    const auto opened = parse<TorchFile>(file);
    for (const TensorInfo& info : opened->tensors()) opened->tensor(info.name);
  });
}

TEST(TorchFile, HandMadeFilesOfBothKindsOfZip) {
  for (const bool zip64 : {false, true}) {
    const auto file = parse<TorchFile>(wrap(state(tensor(1, {2, 3}, {1, 4})), {.zip64 = zip64}));
    EXPECT_EQ(file->tensor("w").to_vector(), (Floats{1, 5, 9, 2, 6, 10}));
  }
}

TEST(TorchFile, TensorsThatReachOutsideTheirStorageAreRefused) {
  const auto damaged = [](const std::string& value, std::string_view part) {
    const std::string error = load_error(wrap(state(value)));
    EXPECT_TRUE(error.starts_with("5: ") && has(error, part)) << error << " lacks " << part;
  };
  EXPECT_EQ(load_error(wrap(state(tensor(0, {4, 4}, {4, 1})))), "");
  EXPECT_EQ(load_error(wrap(state(tensor(15, {1, 1}, {INT64_MAX, INT64_MAX})))), "") << "never stepped over";
  EXPECT_EQ(load_error(wrap(state(tensor(99, {0, 4}, {4, 1})))), "") << "no elements";
  damaged(tensor(1, {4, 4}, {4, 1}), "element 16 of a storage of 16");
  damaged(tensor(16, {}, {}), "element 16 of a storage of 16");
  damaged(tensor(-1, {2}, {1}), "no natural number");
  damaged(tensor(0, {-2}, {1}), "no natural number");
  damaged(tensor(0, {2}, {-1}), "no natural number");
  damaged(tensor(0, {2}, {INT64_MAX}), "a storage of 16");
  damaged(tensor(0, {3, 3, 3, 3}, {INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX}), "overflows");
  damaged(tensor(INT64_MAX, {2}, {INT64_MAX}), "a storage of 16");
  damaged(tensor(0, {int64_t{1} << 40, int64_t{1} << 40}, {0, 0}), "overflow");
  damaged(tensor(0, {int64_t{1} << 30}, {0}), "1073741824 elements out of 16");
  damaged(tensor(0, {2, 2}, {1}), "2 dimensions with 1 strides");
  damaged(tensor(0, {2}, {1}, storage(17)), "64 bytes, 68 expected");
  damaged(tensor(0, {2}, {1}, storage(INT64_MAX)), "overflows");
  damaged(tensor(0, {2}, {1}, storage(16, "1")), "storage '1' is missing");
  EXPECT_TRUE(has(load_error(wrap(state(tensor(0, {1, 1, 1, 1, 1, 1, 1}, {1, 1, 1, 1, 1, 1, 1})))), "7 dimensions"));
}

TEST(TorchFile, NothingButKnownNamesAndOperations) {
  const auto refused = [](const std::string& body, std::string_view part) {
    const std::string error = load_error(wrap(pickled(body)));
    EXPECT_TRUE(error.starts_with("1: ") && has(error, "refuses to run code: ") && has(error, part))
        << error << " lacks " << part;
  };
  refused("cos\nsystem\n(" + text("true") + "tR", "'os.system'");
  refused(text("builtins") + text("eval") + "\x93", "'builtins.eval'");
  refused("c__builtin__\ngetattr\n", "'__builtin__.getattr'");
  refused("ctorch.serialization\nload\n", "'torch.serialization.load'");
  refused("ctorch\nFloatStorage\n)R", "a call of 'torch.FloatStorage'");
  refused(
      "]N"
      "b",
      "setting the state");
  refused(")ios\nsystem\n", "operation 0x69");  // INST
  refused("(o", "operation 0x6f");              // OBJ
  refused(")\x81", "operation 0x81");           // NEWOBJ
  refused("\x82\x01", "operation 0x82");        // EXT1
  refused("P1\n", "operation 0x50");            // PERSID
  refused("ca\x1b[31m\nb\nR", "\\x1b[31m");
}

TEST(TorchFile, DamagedPicklesAreRefused) {
  const auto damaged = [](const std::string& body, std::string_view part) {
    const std::string error = load_error(wrap("\x80\x02" + body));
    EXPECT_TRUE(error.starts_with("5: ") && has(error, part)) << error << " lacks " << part;
  };
  damaged(".", "empty stack");
  damaged("}", "bytes wanted");
  damaged("h\x05.", "memo 5 was never stored");
  damaged("q\x01.", "empty stack");
  damaged("t.", "a mark is missing");
  damaged(
      "}("
      "s.",
      "takes 2 values");
  damaged(
      "}(NNN"
      "u.",
      "no value");
  damaged(
      "N(NN"
      "u.",
      "something else than a dictionary");
  damaged(
      "}N"
      "a.",
      "something else than a list");
  damaged("NR.", "empty stack");
  damaged("NNR.", "something that is no name");
  damaged("NQ.", "no tuple");
  damaged(")Q.", "not ('storage'");
  damaged("X\xff\xff\xff\xff.", "bytes wanted");
  damaged("\x8d\xff\xff\xff\xff\xff\xff\xff\xff.", "bytes wanted");
  damaged("cos", "bytes wanted");
  damaged("ctorch._utils\n_rebuild_tensor_v2\n)R.", "unexpected arguments");
  damaged("}" + text("\xff") + "Ns.", "is not UTF-8");
  damaged("}(NNu.", "neither text nor a whole number");
}

TEST(TorchFile, ContainersWithinThemselvesEnd) {
  EXPECT_TRUE(has(load_error(wrap(pickled("]q\1h\1"
                                          "a"))),
                  "nested too deep"));
  EXPECT_TRUE(has(load_error(wrap(pickled("}q\1" + text("a") + "h\1s"))), "nested too deep"));
  // Each list holds the one before it twice: 2^40 paths from few bytes.
  std::string body =
      "]N"
      "aq\1";
  for (int i = 1; i < 28; ++i)
    body += "](h" + std::string(1, static_cast<char>(i)) + "h" + std::string(1, static_cast<char>(i)) + "eq" +
            std::string(1, static_cast<char>(i + 1));
  EXPECT_TRUE(has(load_error(wrap(pickled(body))), "too many values"));
}

TEST(TorchFile, MemoryStaysBoundedWhenContainersAreCopied) {
  // OrderedDict(list) of one large list, again and again: each is a copy.
  std::string pairs = "](";
  for (int i = 0; i < 10000; ++i) pairs += "KaN\x86"s;
  std::string body = pairs + "eq\1";
  for (int i = 0; i < 2000; ++i) body += "ccollections\nOrderedDict\nh\1\x85R"s;
  EXPECT_TRUE(has(load_error(wrap(pickled(body))), "operations"));
}

TEST(TorchFile, ArchivesThatLieAreRefused) {
  const std::string good = state(tensor(0, {4}, {1}));
  const auto damaged = [](const std::string& file, std::string_view part) {
    const std::string error = load_error(file);
    EXPECT_TRUE(error.starts_with("5: ") && has(error, part)) << error << " lacks " << part;
  };
  EXPECT_EQ(load_error(wrap(good)), "");
  damaged(wrap(good, {.method = 8}), "is compressed (method 8)");
  damaged(wrap(good, {.flags = 1}), "is encrypted");
  damaged(wrap(good, {.local_name = "m/other"}), "another name in its own header");
  damaged(make_zip({{"a", ""}, {"a", ""}}), "'a' occurs twice");
  damaged(make_zip({{"a", ""}}), "no data.pkl");
  damaged(make_zip({{"a/data.pkl", good}, {"b/data.pkl", good}}), "has 'a/data.pkl' and 'b/data.pkl'");
  EXPECT_TRUE(has(load_error(wrap(good, {}, "big")), "big-endian"));
  std::string wrong = wrap(good);
  wrong[wrong.size() - 12] = 99;  // entries
  damaged(wrong, "99 entries");
  wrong = wrap(good);
  wrong.replace(wrong.size() - 6, 4, "\xfe\xff\xff\xff");  // place of the directory
  damaged(wrong, "its directory lies at 4294967294");
  wrong = wrap(good, {.zip64 = true});
  wrong.replace(wrong.size() - 22 - 12, 8, 8, '\xff');  // place of the zip64 end
  damaged(wrong, "lies past the end");
  damaged("PK\3\4", "too few");
  damaged("PK\3\4" + std::string(100000, 'x'), "no end record");
  damaged("hello", "not a PyTorch file");
  EXPECT_TRUE(has(load_error(pickled("N")), "PyTorch did not write"));
}

TEST(Pickle, ReadsPlainValues) {
  const std::string body = "\x80\x04\x95" + std::string(8, '\0') +
                           "(NJ\xff\xff\xff\xffK\xffM\xff\xff\x8a\x01\x80\x8a\x00\x88\x89"s + "G\x3f\xf8\0\0\0\0\0\0"s +
                           text("hi") + "\x8a\x09" + std::string(9, '\x01') + "t.";
  const Bytes bytes(body);
  const Pickle pickle = read_pickle(bytes.span(), "test");
  EXPECT_EQ(pickle.bytes, body.size());
  const auto& items = pickle.items(pickle.result);
  ASSERT_EQ(items.size(), 11u);
  EXPECT_EQ(items[0].kind, PickleValue::Kind::none);
  EXPECT_EQ(items[1].integer, -1);
  EXPECT_EQ(items[2].integer, 255);
  EXPECT_EQ(items[3].integer, 65535);
  EXPECT_EQ(items[4].integer, -128);
  EXPECT_EQ(items[5].integer, 0);
  EXPECT_EQ(items[6].integer, 1);
  EXPECT_EQ(items[8].real, 1.5);
  EXPECT_EQ(items[9].text, "hi");
  EXPECT_EQ(items[10].kind, PickleValue::Kind::big_integer);
}

}  // namespace
}  // namespace mynah::formats
