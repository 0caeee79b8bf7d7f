// Square pictures as PNG files, for the example programs that make data to train on. No library is needed.
#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

struct Picture {
  int side;  // pixels; pictures are square
  std::vector<uint8_t> rgb;
};

// A PNG whose pixels are stored as they are.
inline void write_png(const std::filesystem::path& path, const Picture& picture) {
  const auto big = [](uint32_t v) {
    std::string s;
    for (int shift = 24; shift >= 0; shift -= 8) s += static_cast<char>(v >> shift & 255);
    return s;
  };
  const auto chunk = [&](const std::string& kind, const std::string& body) {
    uint32_t crc = ~0u;
    for (const char c : kind + body) {
      crc ^= static_cast<uint8_t>(c);
      for (int i = 0; i < 8; ++i) crc = crc & 1 ? crc >> 1 ^ 0xEDB88320u : crc >> 1;
    }
    return big(static_cast<uint32_t>(body.size())) + kind + body + big(~crc);
  };
  std::string rows;
  for (int y = 0; y < picture.side; ++y) {
    rows += '\0';  // no filter
    rows.append(reinterpret_cast<const char*>(picture.rgb.data()) + static_cast<size_t>(y) * picture.side * 3, static_cast<size_t>(picture.side) * 3);
  }
  std::string stream = "\x78\x01";
  uint32_t a = 1, b = 0;
  for (size_t at = 0; at < rows.size();) {
    const auto size = static_cast<uint16_t>(std::min<size_t>(rows.size() - at, 65535));
    stream += at + size == rows.size() ? '\1' : '\0';
    for (const uint16_t v : {size, static_cast<uint16_t>(~size)}) (stream += static_cast<char>(v & 255)) += static_cast<char>(v >> 8);
    stream.append(rows, at, size);
    at += size;
  }
  for (const char c : rows) {
    a = (a + static_cast<uint8_t>(c)) % 65521;
    b = (b + a) % 65521;
  }
  const auto side = static_cast<uint32_t>(picture.side);
  std::ofstream out(path, std::ios::binary);
  out << "\x89PNG\r\n\x1a\n" << chunk("IHDR", big(side) + big(side) + std::string("\x08\x02\0\0\0", 5)) << chunk("IDAT", stream + big(b << 16 | a)) << chunk("IEND", "");
}
