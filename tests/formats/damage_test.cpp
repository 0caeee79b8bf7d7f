// Small valid files of every format, cut at every byte and with every single bit turned: each variant must open and
// give its tensors, or throw mynah::Error; none may crash or allocate more than a small file can need.
#include <malloc.h>

#include <atomic>
#include <new>

#include "formats/gguf.h"
#include "formats/safetensors.h"
#include "formats/torch_pickle.h"
#include "helpers.h"
#include "tensor/storage.h"

namespace {
std::atomic<size_t> live{0}, peak{0};

void* counted(size_t size) {
  void* p = std::malloc(size);
  if (!p) throw std::bad_alloc();
  const size_t now = live += malloc_usable_size(p);
  if (now > peak) peak = now;
  return p;
}
void released(void* p) {
  if (p) live -= malloc_usable_size(p);
  std::free(p);
}
}  // namespace

void* operator new(size_t size) { return counted(size); }
void* operator new[](size_t size) { return counted(size); }
void operator delete(void* p) noexcept { released(p); }
void operator delete[](void* p) noexcept { released(p); }
void operator delete(void* p, size_t) noexcept { released(p); }
void operator delete[](void* p, size_t) noexcept { released(p); }

namespace mynah::formats {
namespace {

constexpr size_t kMaxBytes = 64u << 20;

template <class File>
void read_all(const std::string& content) {
  peak = live.load();
  const size_t before = live;
  size_t tensor_bytes = 0;
  try {
    const auto file = parse<File>(content);
    for (const TensorInfo& info : file->tensors()) {
      if (!info.dtype) continue;
      const Tensor t = file->tensor(info.name);
      tensor_bytes = std::max(tensor_bytes, Storage::live_bytes());
      volatile uint8_t last = 0;
      if (t.nbytes() > 0) last = static_cast<const uint8_t*>(t.raw())[t.nbytes() - 1];
      (void)last;
    }
    if constexpr (std::is_same_v<File, GgufFile>)
      for (const GgufValue& value : file->metadata()) value.text();
  } catch (const Error& e) {
    ASSERT_FALSE(has(e.what(), "bug in mynah")) << e.what();
  }
  ASSERT_LT(peak - before, kMaxBytes);
  ASSERT_LT(tensor_bytes, kMaxBytes);
}

template <class File>
void damage(const std::string& name) {
  const std::string content = read_text_file(golden(name));
  for (size_t size = 0; size < content.size(); ++size) {
    read_all<File>(content.substr(0, size));
    ASSERT_FALSE(::testing::Test::HasFatalFailure()) << name << " cut at " << size;
  }
  for (size_t bit = 0; bit < content.size() * 8; ++bit) {
    std::string turned = content;
    turned[bit / 8] = static_cast<char>(turned[bit / 8] ^ (1 << bit % 8));
    read_all<File>(turned);
    ASSERT_FALSE(::testing::Test::HasFatalFailure()) << name << " bit " << bit;
  }
}

TEST(Damage, Gguf) { damage<GgufFile>("all_types.gguf"); }
TEST(Damage, Safetensors) { damage<SafetensorsFile>("all_types.safetensors"); }
TEST(Damage, TorchZip) { damage<TorchFile>("zip.bin"); }
TEST(Damage, TorchLegacy) { damage<TorchFile>("legacy.bin"); }
TEST(Damage, TorchTraining) { damage<TorchFile>("training.pt"); }

// A cut file never opens: the formats know how long they are.
TEST(Damage, CutFilesAreNoticed) {
  const auto cut = [](const char* name) {
    const std::string content = read_text_file(golden(name));
    return content.substr(0, content.size() - 1);
  };
  EXPECT_TRUE(error_of([&] { parse<SafetensorsFile>(cut("all_types.safetensors")); }).starts_with("5: "));
  EXPECT_TRUE(error_of([&] { parse<TorchFile>(cut("zip.bin")); }).starts_with("5: "));
  EXPECT_TRUE(error_of([&] { parse<TorchFile>(cut("legacy.bin")); }).starts_with("5: "));
  const std::string gguf = read_text_file(golden("all_types.gguf"));
  EXPECT_TRUE(error_of([&] { parse<GgufFile>(gguf.substr(0, gguf.size() - 32)); }).starts_with("5: "));
}

}  // namespace
}  // namespace mynah::formats
