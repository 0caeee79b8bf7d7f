// Writes small zip archives for tests.
#pragma once
#include <zlib.h>

#include <cstring>
#include <string>
#include <vector>

namespace mynah::test {

class ZipWriter {
 public:
  void add(const std::string& name, const std::string& bytes, bool deflate = true) {
    std::string packed = bytes;
    if (deflate) {
      z_stream stream{};
      deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
      packed.resize(deflateBound(&stream, bytes.size()));
      stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
      stream.avail_in = static_cast<uInt>(bytes.size());
      stream.next_out = reinterpret_cast<Bytef*>(packed.data());
      stream.avail_out = static_cast<uInt>(packed.size());
      ::deflate(&stream, Z_FINISH);
      packed.resize(stream.total_out);
      deflateEnd(&stream);
    }
    const auto crc = static_cast<uint32_t>(crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
    const auto offset = static_cast<uint32_t>(data_.size());
    std::string common;  // from "version needed" to the lengths
    number<uint16_t>(common, 20);
    number<uint16_t>(common, 0);
    number<uint16_t>(common, deflate ? 8 : 0);
    number<uint32_t>(common, 0);
    number<uint32_t>(common, crc);
    number<uint32_t>(common, static_cast<uint32_t>(packed.size()));
    number<uint32_t>(common, static_cast<uint32_t>(bytes.size()));
    number<uint16_t>(common, static_cast<uint16_t>(name.size()));
    number<uint16_t>(common, 0);
    data_ += "PK\3\4" + common + name + packed;
    directory_ += "PK\1\2";
    number<uint16_t>(directory_, 20);
    directory_ += common;
    directory_ += std::string(10, '\0');
    number<uint32_t>(directory_, offset);
    directory_ += name;
    ++entries_;
  }
  std::string bytes() const {
    std::string out = data_ + directory_ + "PK\5\6" + std::string(4, '\0');
    number<uint16_t>(out, entries_);
    number<uint16_t>(out, entries_);
    number<uint32_t>(out, static_cast<uint32_t>(directory_.size()));
    number<uint32_t>(out, static_cast<uint32_t>(data_.size()));
    number<uint16_t>(out, 0);
    return out;
  }

 private:
  template <class T>
  static void number(std::string& out, T value) {
    char bytes[sizeof value];
    std::memcpy(bytes, &value, sizeof value);
    out.append(bytes, sizeof value);
  }
  std::string data_, directory_;
  uint16_t entries_ = 0;
};

}  // namespace mynah::test
