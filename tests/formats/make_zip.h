// Builds small zip archives by hand, right or wrong, for tests and fuzzers.
#pragma once
#include <cstdint>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace mynah::formats {

template <class T>
void put(std::string& out, T value) {
  static_assert(std::is_arithmetic_v<T>);
  out.append(reinterpret_cast<const char*>(&value), sizeof(T));
}

struct ZipOptions {
  uint16_t method = 0, flags = 0;
  bool zip64 = false;
  std::string local_name = {};  // when not empty: instead of the true name, in the entries' own headers
};

inline std::string make_zip(const std::vector<std::pair<std::string, std::string>>& entries,
                            const ZipOptions& options = {}) {
  std::string out, directory;
  const auto common = [&](std::string& to, const std::string& name, size_t size, size_t extra) {
    put<uint16_t>(to, options.flags);
    put<uint16_t>(to, options.method);
    to.append(8, '\0');  // time, date, CRC
    const auto shown = options.zip64 ? 0xffffffffu : static_cast<uint32_t>(size);
    put<uint32_t>(to, shown);
    put<uint32_t>(to, shown);
    put<uint16_t>(to, static_cast<uint16_t>(name.size()));
    put<uint16_t>(to, static_cast<uint16_t>(extra));
  };
  for (const auto& [name, content] : entries) {
    const size_t offset = out.size();
    const std::string& own = options.local_name.empty() ? name : options.local_name;
    out += std::string("PK\3\4\0\0", 6);
    common(out, own, content.size(), 0);
    out += own + content;
    directory += std::string("PK\1\2\0\0\0\0", 8);
    common(directory, name, content.size(), options.zip64 ? 28 : 0);
    directory.append(10, '\0');  // comment, disk, attributes
    put<uint32_t>(directory, options.zip64 ? 0xffffffffu : static_cast<uint32_t>(offset));
    directory += name;
    if (!options.zip64) continue;
    put<uint16_t>(directory, 1);
    put<uint16_t>(directory, 24);
    for (const size_t value : {content.size(), content.size(), offset}) put<uint64_t>(directory, value);
  }
  const uint64_t at = out.size(), size = directory.size(), count = entries.size();
  out += directory;
  if (options.zip64) {
    const uint64_t end64 = out.size();
    out += std::string("PK\6\6", 4) + std::string(20, '\0');
    for (const uint64_t value : {count, count, size, at}) put<uint64_t>(out, value);
    out += std::string("PK\6\7\0\0\0\0", 8);
    put<uint64_t>(out, end64);
    put<uint32_t>(out, 1);
  }
  out += std::string("PK\5\6\0\0\0\0", 8);
  for (int i = 0; i < 2; ++i) put<uint16_t>(out, options.zip64 ? uint16_t{0xffff} : static_cast<uint16_t>(count));
  put<uint32_t>(out, options.zip64 ? 0xffffffffu : static_cast<uint32_t>(size));
  put<uint32_t>(out, options.zip64 ? 0xffffffffu : static_cast<uint32_t>(at));
  put<uint16_t>(out, 0);
  return out;
}

}  // namespace mynah::formats
