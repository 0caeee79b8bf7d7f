#include "formats/checkpoint.h"

#include <fstream>

#include "formats/safetensors.h"
#include "helpers.h"

namespace mynah::formats {
namespace {

using Floats = std::vector<float>;

void write_text(const std::filesystem::path& path, const std::string& text) { std::ofstream(path) << text; }

TEST(Checkpoint, OpensAFolderOfShardsOfTheReference) {
  const auto source = open_checkpoint(golden("sharded"));
  EXPECT_EQ(source->tensors().size(), 3u);
  EXPECT_EQ(source->tensor("a").to_vector(), golden_values("f32"));
  EXPECT_EQ(source->tensor("b").to_vector(), golden_values("i64"));
  EXPECT_EQ(source->tensor("c").to_vector(), golden_values("u8"));
  EXPECT_TRUE(error_of([&] { source->tensor("d"); }).starts_with("3: "));
}

TEST(Checkpoint, TellsTheFormatByTheFirstBytes) {
  Scratch scratch;
  const std::pair<const char*, const char*> files[] = {
      {"all_types.gguf", "f16"}, {"all_types.safetensors", "f16"}, {"zip.bin", "f16"}, {"legacy.bin", "f16"}};
  for (const auto& [file, tensor] : files) {
    std::filesystem::copy_file(golden(file), scratch / "weights", std::filesystem::copy_options::overwrite_existing);
    EXPECT_EQ(open_checkpoint(scratch / "weights")->tensor(tensor).to_vector(), golden_values("f16")) << file;
  }
  write_text(scratch / "lfs", "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n");
  EXPECT_TRUE(has(error_of([&] { open_checkpoint(scratch / "lfs"); }), "Git LFS pointer"));
  write_text(scratch / "text", "hello, this is no model");
  EXPECT_TRUE(error_of([&] { open_checkpoint(scratch / "text"); }).starts_with("5: "));
  EXPECT_TRUE(error_of([&] { open_checkpoint(scratch.folder()); }).starts_with("3: "));
  EXPECT_TRUE(error_of([&] { open_checkpoint(scratch / "absent"); }).starts_with("3: "));
}

TEST(Checkpoint, ShardsOfPyTorchFiles) {
  Scratch scratch;
  std::filesystem::copy_file(golden("zip.bin"), scratch / "pytorch_model-00001-of-00001.bin");
  write_text(scratch / "pytorch_model.bin.index.json", R"({"weight_map":{"f32":"pytorch_model-00001-of-00001.bin"}})");
  const auto source = open_checkpoint(scratch.folder());
  EXPECT_EQ(source->tensors().size(), 1u);
  EXPECT_EQ(source->tensor("f32").to_vector(), golden_values("f32"));
}

TEST(Checkpoint, AnIndexCannotReachOtherFoldersOrLie) {
  Scratch scratch;
  std::filesystem::copy_file(golden("ordered.safetensors"), scratch / "s");
  const auto error = [&](const std::string& index) {
    write_text(scratch / "model.safetensors.index.json", index);
    return error_of([&] { open_checkpoint(scratch.folder()); });
  };
  EXPECT_EQ(error(R"({"weight_map":{"c":"s"}})"), "");
  for (const char* file : {"../s", "/etc/passwd", "", ".", "..", "a/s", "s\\u0000"})
    EXPECT_TRUE(has(error(R"({"weight_map":{"c":")" + std::string(file) + "\"}}"), "a plain file name expected"))
        << file;
  EXPECT_TRUE(has(error(R"({"weight_map":{"absent":"s"}})"), "has no tensor 'absent'"));
  EXPECT_TRUE(error(R"({"weight_map":{"c":"missing"}})").starts_with("3: "));
  EXPECT_TRUE(has(error(R"({"weight_map":{"c":1}})"), "its file is no string"));
  for (const char* index : {"", "[]", "{}", R"({"weight_map":[]})", "{\"weight_map\":"})
    EXPECT_TRUE(has(error(index), "weight_map")) << index;
  EXPECT_TRUE(has(error(std::string(1'000'000, '[')), "weight_map"));
}

TEST(Checkpoint, WritesShardsAndRemovesWhatTheyReplace) {
  Scratch scratch;
  std::vector<OutputTensor> tensors;
  for (int i = 0; i < 5; ++i) tensors.emplace_back("t" + std::to_string(i), Tensor::full({4}, static_cast<float>(i)));
  const auto files = [&] {
    std::vector<std::string> names;
    for (const auto& e : std::filesystem::directory_iterator(scratch.folder()))
      names.push_back(e.path().filename().string());
    std::sort(names.begin(), names.end());
    return names;
  };
  using Names = std::vector<std::string>;
  write_text(scratch / "config.json", "{}");
  write_sharded_safetensors(scratch.folder(), tensors, 1000, {{"format", "pt"}});
  EXPECT_EQ(files(), (Names{"config.json", "model.safetensors"}));
  write_sharded_safetensors(scratch.folder(), tensors, 40, {{"format", "pt"}});
  EXPECT_EQ(files(), (Names{"config.json", "model-00001-of-00003.safetensors", "model-00002-of-00003.safetensors",
                            "model-00003-of-00003.safetensors", "model.safetensors.index.json"}));
  const auto source = open_checkpoint(scratch.folder());
  for (int i = 0; i < 5; ++i)
    EXPECT_EQ(source->tensor("t" + std::to_string(i)).to_vector(), Floats(4, static_cast<float>(i)));
  EXPECT_TRUE(has(read_text_file(scratch / "model.safetensors.index.json"), "\"total_size\": 80"));
  EXPECT_EQ(SafetensorsFile::open(scratch / "model-00001-of-00003.safetensors")->tensors().size(), 2u);
  write_sharded_safetensors(scratch.folder(), tensors, 1, {});
  EXPECT_EQ(files().size(), 7u) << "a tensor larger than the limit is a shard of its own";
  write_sharded_safetensors(scratch.folder(), tensors, 80, {});
  EXPECT_EQ(files(), (Names{"config.json", "model.safetensors"}));
}

}  // namespace
}  // namespace mynah::formats
