// The store itself: names, listing, copies, removal, models made here, caches of other tools.
#include "store/folder.h"
#include "store/names.h"
#include "store/selection.h"
#include "store/store_fixture.h"

namespace mynah::test {
namespace {

using store::parse_name;
using Kind = store::Name::Kind;

TEST(Digest, HoldsOnlyDigests) {
  const std::string hex(64, 'a');
  EXPECT_TRUE(store::Digest::try_parse("sha256:" + hex));
  EXPECT_TRUE(store::Digest::try_parse("sha256-" + hex));
  EXPECT_EQ(store::Digest::try_parse(std::string(64, 'A'))->hex(), hex);
  for (const std::string& bad :
       {std::string(), hex.substr(1), hex + "a", "sha256:" + hex.substr(1) + "/", std::string(64, 'g'), "sha1:" + hex})
    EXPECT_FALSE(store::Digest::try_parse(bad)) << bad;
  EXPECT_EQ(store::digest_of_text("abc").hex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  const TemporaryFolder folder;
  EXPECT_EQ(store::digest_of_file(folder.write("x", "abc")), store::digest_of_text("abc"));
  EXPECT_EQ(store::git_object_name(folder.write("x", "hello\n")), "ce013625030ba8dba906f756967f9e9ca394464a");
  EXPECT_EQ(store::git_object_name(folder.write("y", "")), "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
}

TEST(Names, TakeTheirForms) {
  EXPECT_EQ(parse_name("SmolLM2:latest")->kind, Kind::catalogue);
  const auto hub = parse_name("org/name@v1.0:Q4_K_M");
  ASSERT_TRUE(hub);
  EXPECT_EQ(hub->repository, "org/name");
  EXPECT_EQ(hub->revision, "v1.0");
  EXPECT_EQ(hub->quantisation, "Q4_K_M");
  EXPECT_EQ(parse_name("gpt2")->repository, "gpt2");
  EXPECT_EQ(parse_name("org/name@main")->text, "org/name");
  EXPECT_EQ(parse_name("hf.co/org/name")->text, "org/name");
  EXPECT_EQ(parse_name("org/name@refs/pr/1")->revision, "refs/pr/1");
  const auto plain = parse_name("ollama:llama2");
  EXPECT_EQ(plain->host + "/" + plain->name_space + "/" + plain->model + ":" + plain->tag,
            "registry.ollama.ai/library/llama2:latest");
  const auto full = parse_name("ollama:http://h:80/n/m:t");
  EXPECT_EQ(full->scheme + " " + full->host + " " + full->name_space + " " + full->model + " " + full->tag,
            "http h:80 n m t");
  EXPECT_EQ(full->text, "ollama:http://h:80/n/m:t");
  EXPECT_EQ(parse_name("pypi:a-b==1.0")->version, "1.0");
  for (const char* bad : {"", "a b", "a/b/c", "../x", "a/../b", "-x", "org/", "/x", "org/name@", "org/name:", "a\nb",
                          "ollama:", "ollama:a/b/c/d", "ollama:../b", "llama2:7b"})
    EXPECT_FALSE(parse_name(bad)) << bad;
}

TEST(Names, FileNamesStayInTheFolder) {
  for (const char* good : {"config.json", "a/b.json", "1_Pooling/config.json"})
    EXPECT_TRUE(store::valid_file_name(good)) << good;
  for (const char* bad : {"", "/a", "a/", "..", "a/../b", "./a", "a//b", "a\\b", "a\nb"})
    EXPECT_FALSE(store::valid_file_name(bad)) << bad;
}

std::vector<std::string> chosen(const std::vector<std::string>& names, const std::string& quantisation = {}) {
  std::vector<store::Candidate> files;
  for (const auto& name : names) files.push_back({name, 1});
  std::vector<std::string> out;
  for (const size_t i : store::choose_files(files, quantisation)) out.push_back(names[i]);
  return out;
}

TEST(Selection, WeightsOfOneFormat) {
  using V = std::vector<std::string>;
  EXPECT_EQ(
      chosen({"model.safetensors", "model.fp16.safetensors", "flax_model.msgpack", "vocab.txt", ".gitattributes"}),
      (V{"model.safetensors", "vocab.txt"}));
  EXPECT_EQ(
      chosen({"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json",
              "consolidated.safetensors", "pytorch_model.bin.index.json"}),
      (V{"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json"}));
  EXPECT_EQ(chosen({"pytorch_model.bin", "training_args.bin", "config.json", "tf_model.h5", "trainer_state.json"}),
            (V{"pytorch_model.bin", "config.json"}));
  EXPECT_EQ(chosen({"adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"}),
            (V{"adapter_config.json", "adapter_model.safetensors"}));
  EXPECT_EQ(
      chosen({"a-Q8_0-00001-of-00002.gguf", "a-Q8_0-00002-of-00002.gguf", "a-Q4_K_S.gguf", "a-Q4_K_M.gguf"}, "q8_0"),
      (V{"a-Q8_0-00001-of-00002.gguf", "a-Q8_0-00002-of-00002.gguf"}));
  EXPECT_EQ(chosen({"tokenizer.json", "model.safetensors", "2_Dense/model.safetensors", "2_Dense/pytorch_model.bin",
                    "2_Dense/config.json", "openvino/config.json"}),
            (V{"tokenizer.json", "model.safetensors", "2_Dense/model.safetensors", "2_Dense/config.json"}));
}

store::NewFile text_file(const std::string& name, const std::string& text, const std::string& role = {}) {
  return {name, role, {}, std::nullopt, text};
}

TEST_F(StoreTest, ModelsMadeHereAreListedCopiedAndRemoved) {
  store::Store s(settings());
  EXPECT_TRUE(s.list().empty());
  EXPECT_EQ(error_of([&] { s.show("mine"); }), "not_found");
  const auto weights = folder_.write("w.gguf", some_bytes(5000, 4));
  const auto model =
      s.create("mine", "here", "MIT",
               {{"w.gguf", "model", weights, std::nullopt, std::nullopt}, text_file("template", "T", "template")});
  EXPECT_EQ(model.size_bytes(), 5001u);
  EXPECT_EQ(s.show("MINE:latest").name, "mine");
  EXPECT_EQ(read_text_file(s.resolve("mine")->path), some_bytes(5000, 4));
  s.copy("mine", "yours:v1");
  EXPECT_EQ(s.list().size(), 2u);
  EXPECT_EQ(s.remove("mine"), 0u);  // the copy still uses everything
  EXPECT_EQ(read_text_file(s.resolve("yours:v1")->path), some_bytes(5000, 4));
  EXPECT_EQ(s.remove("yours:v1"), 5001u);
  EXPECT_TRUE(s.list().empty());
  EXPECT_EQ(error_of([&] { s.remove("mine"); }), "not_found");
  EXPECT_TRUE(fs::exists(weights));
  EXPECT_TRUE(fs::is_empty(folder_.path() / "home/snapshots"));
}

TEST_F(StoreTest, ANameTakenAgainFreesWhatItHeld) {
  store::Store s(settings());
  s.create("mine", "here", "", {text_file("a.gguf", "old bytes")});
  s.create("Mine", "here", "", {text_file("a.gguf", "new")});
  ASSERT_EQ(s.list().size(), 1u);
  EXPECT_FALSE(s.has_blob(store::digest_of_text("old bytes")));
  EXPECT_EQ(read_text_file(s.resolve("mine")->path), "new");
}

TEST_F(StoreTest, WhatKilledProcessesLeaveIsCollected) {
  store::Store s(settings());
  EXPECT_EQ(s.collect(std::chrono::seconds(0)), 0u);  // there is no store yet
  s.create("mine", "here", "", {text_file("a.gguf", "kept bytes")});
  const fs::path home = folder_.path() / "home";
  const auto left = [&](const std::string& name) { return folder_.write("home/" + name, "left"); };
  const std::string hex(64, 'a');
  const std::vector<fs::path> useless = {left("blobs/sha256-" + hex), left("blobs/partial/import-" + hex), left("blobs/partial/upload-" + hex),
                                         left("blobs/partial/quantize-x.gguf"), left("manifests/b.json.tmp-1-0"),
                                         left("snapshots/" + hex + "/a.gguf").parent_path(), left("snapshots/" + hex + ".tmp-1-0/a").parent_path()};
  const std::vector<fs::path> useful = {left("blobs/partial/" + hex), left("snapshots/ollama-" + hex + "/a.gguf").parent_path()};
  EXPECT_EQ(s.collect(), 0u);  // it may be needed in a moment
  for (const auto& path : useless) EXPECT_TRUE(fs::exists(path)) << path;
  {
    const store::FolderUse somebody{store::Folder(home)};
    EXPECT_EQ(s.collect(std::chrono::seconds(0)), 0u);
    EXPECT_TRUE(fs::exists(useless[0]));
  }
  folder_.write("home/manifests/damaged.json", "{");
  EXPECT_EQ(s.collect(std::chrono::seconds(0)), 0u);  // what it uses is not known
  EXPECT_TRUE(fs::exists(useless[0]));
  fs::remove(home / "manifests/damaged.json");
  EXPECT_EQ(s.collect(std::chrono::seconds(0)), 5 * 4u);
  for (const auto& path : useless) EXPECT_FALSE(fs::exists(path)) << path;
  for (const auto& path : useful) EXPECT_TRUE(fs::exists(path)) << path;
  EXPECT_EQ(read_text_file(s.resolve("mine")->path), "kept bytes");
}

TEST_F(StoreTest, BadNamesAndFilesAreRefused) {
  store::Store s(settings());
  for (const char* name : {"", "../x", "a b", "a\n", "-x", "a/"})
    EXPECT_EQ(error_of([&] { s.create(name, "", "", {text_file("a", "b")}); }), "usage") << name;
  EXPECT_EQ(error_of([&] { s.create("x", "", "", {text_file("../a", "b")}); }), "usage");
  EXPECT_EQ(error_of([&] { s.create("x", "", "", {{"a", "", folder_.path() / "none", std::nullopt, std::nullopt}}); }),
            "not_found");
  EXPECT_EQ(error_of([&] { s.create("x", "", "", {{"a", "", {}, store::digest_of_text("none"), std::nullopt}}); }),
            "not_found");
  EXPECT_EQ(error_of([&] { s.copy("none", "x"); }), "not_found");
  EXPECT_TRUE(s.list().empty());
}

TEST_F(StoreTest, UploadsAreVerified) {
  store::Store s(settings());
  const std::string bytes = some_bytes(700000, 8);
  const auto upload = [&](const store::Digest& digest) {
    size_t at = 0;
    s.put_blob(digest, [&](char* buffer, size_t size) {
      const size_t n = std::min(size, bytes.size() - at);
      bytes.copy(buffer, n, at);
      at += n;
      return n;
    });
  };
  EXPECT_EQ(error_of([&] { upload(store::digest_of_text("other")); }), "integrity");
  EXPECT_EQ(partial_files(), 0u);
  upload(store::digest_of_text(bytes));
  EXPECT_TRUE(s.has_blob(store::digest_of_text(bytes)));
}

TEST_F(StoreTest, MissingAndCutFilesAreNoticed) {
  store::Store s(settings());
  const auto model = s.create("mine", "here", "", {text_file("a.gguf", "bytes")});
  const auto blob = s.blob_path(model.files[0].digest);
  fs::permissions(blob, fs::perms::owner_all);
  std::ofstream(blob) << "byt";
  EXPECT_EQ(error_of([&] { s.resolve("mine"); }), "integrity");
  fs::remove(blob);
  EXPECT_EQ(error_of([&] { s.resolve("mine"); }), "integrity");
}

TEST_F(StoreTest, DamagedManifestsHideNoOthersAndLoseNoFiles) {
  store::Store s(settings());
  s.create("a", "here", "", {text_file("a.gguf", "shared")});
  s.create("b", "here", "", {text_file("a.gguf", "shared")});
  folder_.write("home/manifests/b.json",
                "{\"files\":[{\"name\":\"../../x\",\"size\":1,\"digest\":\"" + std::string(64, 'a') + "\"}]}");
  ASSERT_EQ(s.list().size(), 1u);
  s.remove("a");
  EXPECT_TRUE(s.has_blob(store::digest_of_text("shared")));  // b may use it
}

TEST_F(StoreTest, PathsWinAndOtherWordsAreNotFound) {
  store::Store s(settings());
  folder_.write("model/config.json", "{}");
  const auto found = s.resolve((folder_.path() / "model").string());
  ASSERT_TRUE(found);
  EXPECT_EQ(found->place, store::Resolved::Place::path);
  EXPECT_EQ(error_of([&] { s.resolve("./none"); }), "not_found");
  EXPECT_EQ(error_of([&] { s.resolve("none.gguf"); }), "not_found");
  EXPECT_EQ(error_of([&] { s.resolve("a b"); }), "not_found");
  EXPECT_FALSE(s.resolve("org/name"));
  EXPECT_FALSE(s.resolve("smollm2"));
}

TEST_F(StoreTest, SuggestsNamesThatAreNear) {
  store::Store s(settings());
  s.create("my-model", "here", "", {text_file("a.gguf", "x")});
  EXPECT_EQ(s.suggestions("smolm2"), std::vector<std::string>{"smollm2"});
  EXPECT_EQ(s.suggestions("my-modl"), std::vector<std::string>{"my-model"});
  EXPECT_EQ(s.suggestions("llama2:7b"), std::vector<std::string>{"ollama:llama2:7b"});
  std::string message;
  EXPECT_EQ(error_of([&] { s.show("smolm2"); }, &message), "not_found");
  EXPECT_NE(message.find("did you mean smollm2?"), std::string::npos) << message;
}

TEST_F(StoreTest, WhatComesWithTheProgramIsReadInPlaceAndTakenOnRequest) {
  store::Settings offline = settings();
  offline.offline = true;
  const store::Store s(offline);
  const fs::path file = fs::path(MYNAH_TEST_DATA).parent_path() / "models/tiny.gguf";
  const auto found = s.resolve("Tiny:latest");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->path, file);
  EXPECT_FALSE(found->model);
  EXPECT_TRUE(s.list().empty());
  EXPECT_EQ(s.plan("tiny").size_bytes, fs::file_size(file));
  EXPECT_FALSE(s.plan("tiny").complete);
  EXPECT_EQ(s.pull("tiny").size_bytes(), fs::file_size(file));
  EXPECT_TRUE(s.plan("tiny").complete);
  EXPECT_EQ(s.list().size(), 1u);
  EXPECT_EQ(s.resolve("tiny")->place, store::Resolved::Place::store);
  EXPECT_EQ(s.pull("tiny").digest, s.show("tiny").digest);
}

TEST_F(StoreTest, HubCacheIsReadInPlace) {
  store::Store s(settings());
  const std::string base = "hub/models--org--name/", snapshot = base + "snapshots/abc/";
  folder_.write(base + "refs/main", "abc");
  folder_.write(snapshot + "config.json", "{}");
  EXPECT_FALSE(s.resolve("org/name"));  // no weights yet
  folder_.write(snapshot + "model.safetensors.index.json",
                R"({"weight_map":{"a":"model-00001-of-00002.safetensors","b":"model-00002-of-00002.safetensors"}})");
  folder_.write(snapshot + "model-00001-of-00002.safetensors", "x");
  EXPECT_FALSE(s.resolve("org/name"));  // a shard is missing
  folder_.write(snapshot + "model-00002-of-00002.safetensors", "x");
  const auto found = s.resolve("org/name");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->place, store::Resolved::Place::hub_cache);
  EXPECT_EQ(found->path, folder_.path() / snapshot.substr(0, snapshot.size() - 1));
  EXPECT_TRUE(s.resolve("org/name@abc"));
  EXPECT_FALSE(s.resolve("org/name@other"));
}

}  // namespace
}  // namespace mynah::test
