#include "train/event_file.h"

#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "base/require.h"

namespace mynah::train {
namespace {

// CRC-32C, masked as the format asks.
uint32_t masked_crc(const std::string& bytes) {
  static const auto table = [] {
    std::array<uint32_t, 256> t{};
    for (uint32_t i = 0; i < 256; ++i) {
      uint32_t c = i;
      for (int k = 0; k < 8; ++k) c = c & 1 ? 0x82F63B78u ^ (c >> 1) : c >> 1;
      t[i] = c;
    }
    return t;
  }();
  uint32_t crc = ~0u;
  for (const char b : bytes) crc = table[(crc ^ static_cast<unsigned char>(b)) & 0xFF] ^ (crc >> 8);
  crc = ~crc;
  return ((crc >> 15) | (crc << 17)) + 0xA282EAD8u;
}

template <class T>
void put(std::string* out, T value) {
  out->append(reinterpret_cast<const char*>(&value), sizeof value);
}

void put_varint(std::string* out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out->push_back(static_cast<char>(value | 0x80));
  out->push_back(static_cast<char>(value));
}

// A field of bytes: a text or a nested message.
void put_bytes(std::string* out, int field, const std::string& bytes) {
  put_varint(out, static_cast<uint64_t>(field) << 3 | 2);
  put_varint(out, bytes.size());
  *out += bytes;
}

double now() { return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count(); }

std::string event_head() {
  std::string event(1, 1 << 3 | 1);  // wall_time
  put(&event, now());
  return event;
}

}  // namespace

EventFile::EventFile(const std::filesystem::path& folder) {
  char host[256] = "localhost";
  ::gethostname(host, sizeof host - 1);
  path_ = folder / fmt::format("events.out.tfevents.{}.{}.{}", static_cast<int64_t>(now()), host, ::getpid());
  file_ = std::fopen(path_.c_str(), "ab");
  require(file_ != nullptr, "{}: cannot create: {}", path_.string(), std::strerror(errno));
  std::string event = event_head();
  put_bytes(&event, 3, "brain.Event:2");  // file_version
  record(event);
}

EventFile::~EventFile() {
  if (file_) std::fclose(file_);
}

void EventFile::scalars(int64_t step, const std::map<std::string, double>& values) {
  std::string summary;
  for (const auto& [name, number] : values) {
    std::string value;
    put_bytes(&value, 1, name);
    value.push_back(2 << 3 | 5);  // simple_value
    put(&value, static_cast<float>(number));
    put_bytes(&summary, 1, value);
  }
  std::string event = event_head();
  put_varint(&event, 2 << 3);
  put_varint(&event, static_cast<uint64_t>(step));
  put_bytes(&event, 5, summary);
  record(event);
}

void EventFile::record(const std::string& event) {
  std::string length;
  put(&length, static_cast<uint64_t>(event.size()));
  std::string bytes = length;
  put(&bytes, masked_crc(length));
  bytes += event;
  put(&bytes, masked_crc(event));
  if (std::fwrite(bytes.data(), 1, bytes.size(), file_) != bytes.size() || std::fflush(file_) != 0)
    fail(errno == ENOSPC ? ErrorCode::does_not_fit : ErrorCode::failure, "{}: cannot write: {}", path_.string(), std::strerror(errno));
}

}  // namespace mynah::train
