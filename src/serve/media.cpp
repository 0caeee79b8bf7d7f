#include "serve/media.h"

#include <fmt/core.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>

#include "text/base64.h"

namespace mynah::serve {
namespace {

constexpr size_t kFileBytes = 64u << 20;

bool holds_any(std::string_view text, std::initializer_list<std::string_view> words) {
  return std::any_of(words.begin(), words.end(),
                     [&](std::string_view word) { return text.find(word) != std::string_view::npos; });
}

}  // namespace

bool reads_pictures(std::string_view task) {
  return !task.ends_with("to-image") &&
         holds_any(task, {"image", "object-detection", "depth-estimation", "mask-generation", "visual-question",
                          "document-question", "video"});
}
bool reads_sounds(std::string_view task) {
  return !task.starts_with("text-to-") && holds_any(task, {"audio", "speech-recognition", "voice"});
}

std::string task_of_media(std::string_view family) {
  for (const std::string_view name : {"whisper", "speech_to_text", "speech-encoder-decoder", "moonshine"})
    if (family == name) return "automatic-speech-recognition";
  for (const std::string_view name : {"vision-encoder-decoder", "blip", "blip-2", "git", "pix2struct"})
    if (family == name) return "image-to-text";
  for (const std::string_view name : {"clip", "siglip"})
    if (family == name) return "zero-shot-image-classification";
  if (family == "clap") return "zero-shot-audio-classification";
  if (family == "sam") return "mask-generation";
  if (family == "vits") return "text-to-speech";
  return "";
}

MediaFiles::~MediaFiles() {
  for (const int file : files_) ::close(file);
}

std::string MediaFiles::add(std::string_view bytes) {
  if (bytes.size() > kFileBytes)
    throw ApiError(413, fmt::format("a file of {} bytes, expected at most {}", bytes.size(), kFileBytes));
  const int file = ::memfd_create("upload", MFD_CLOEXEC);
  if (file < 0) throw ApiError(503, "there is no room for the upload now");
  files_.push_back(file);
  for (size_t at = 0; at < bytes.size();) {
    const ssize_t n = ::write(file, bytes.data() + at, bytes.size() - at);
    if (n <= 0) throw ApiError(503, "there is no room for the upload now");
    at += static_cast<size_t>(n);
  }
  return fmt::format("/proc/self/fd/{}", file);
}

std::string decode_media(std::string_view text, const std::string& what, const std::string& field) {
  if (text.starts_with("http://") || text.starts_with("https://"))
    throw ApiError(
        400, fmt::format("{} is an address, expected the bytes in base64: this server fetches nothing", what), field);
  if (text.starts_with("data:"))
    text.remove_prefix(
        std::min(text.size(), text.find(',') == std::string_view::npos ? text.size() : text.find(',') + 1));
  std::string plain(text);
  std::erase_if(plain, [](char c) { return c == '\n' || c == '\r' || c == ' '; });
  std::replace(plain.begin(), plain.end(), '-', '+');
  std::replace(plain.begin(), plain.end(), '_', '/');
  const auto bytes = text::decode_base64(plain);
  if (!bytes || bytes->empty()) throw ApiError(400, fmt::format("{} is not the base64 of a file", what), field);
  return *bytes;
}

std::string MediaFiles::add_base64(std::string_view text, const std::string& where) { return add(decode_media(text, where, where)); }

}  // namespace mynah::serve
