// Rows of training as 32-bit words and back. A row is a struct that names its parts once, for both ways:
//
//   template <class Parts> void each_part(Parts& part) { part(ids); part(where); }
//
// A std::string among them is a place, which begins with the name of the rows' file; the name itself is not kept. Other texts are RowTexts.
#pragma once
#include <bit>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/require.h"

namespace mynah::train {

// A text of a row, kept as it is.
struct RowText {
  std::string text;
};

class PartsToWords {
 public:
  PartsToWords(std::string_view file, std::vector<int32_t>* words) : file_(file), words_(*words) {}

  void operator()(int32_t& v) { words_.push_back(v); }
  void operator()(bool& v) { words_.push_back(v); }
  void operator()(float& v) { words_.push_back(std::bit_cast<int32_t>(v)); }
  void operator()(int64_t& v) {
    words_.push_back(static_cast<int32_t>(v >> 32));
    words_.push_back(static_cast<int32_t>(v));
  }
  void operator()(std::string& place) {
    MYNAH_CHECK(place.starts_with(file_));
    add_bytes(std::string_view(place).substr(file_.size()));
  }
  void operator()(RowText& t) { add_bytes(t.text); }
  template <class T>
  void operator()(std::vector<T>& all) {
    words_.push_back(static_cast<int32_t>(all.size()));
    for (T& one : all) (*this)(one);
  }
  template <class T>
  auto operator()(T& parts) -> decltype(parts.each_part(*this)) {
    parts.each_part(*this);
  }

 private:
  void add_bytes(std::string_view bytes) {
    words_.push_back(static_cast<int32_t>(bytes.size()));
    const size_t at = words_.size();
    words_.resize(at + (bytes.size() + 3) / 4);
    std::memcpy(words_.data() + at, bytes.data(), bytes.size());
  }

  const std::string_view file_;
  std::vector<int32_t>& words_;
};

class PartsFromWords {
 public:
  PartsFromWords(std::string_view file, std::span<const int32_t> words) : file_(file), words_(words) {}

  void operator()(int32_t& v) { v = next(); }
  void operator()(bool& v) { v = next() != 0; }
  void operator()(float& v) { v = std::bit_cast<float>(next()); }
  void operator()(int64_t& v) {
    const auto high = static_cast<uint32_t>(next());
    v = static_cast<int64_t>(static_cast<uint64_t>(high) << 32 | static_cast<uint32_t>(next()));
  }
  void operator()(std::string& place) {
    place.assign(file_);
    take_bytes(&place);
  }
  void operator()(RowText& t) {
    t.text.clear();
    take_bytes(&t.text);
  }
  template <class T>
  void operator()(std::vector<T>& all) {
    const auto size = static_cast<size_t>(next());
    MYNAH_CHECK(size <= words_.size());
    all.resize(size);
    for (T& one : all) (*this)(one);
  }
  template <class T>
  auto operator()(T& parts) -> decltype(parts.each_part(*this)) {
    parts.each_part(*this);
  }

 private:
  int32_t next() {
    MYNAH_CHECK(!words_.empty());
    const int32_t word = words_.front();
    words_ = words_.subspan(1);
    return word;
  }
  void take_bytes(std::string* to) {
    const auto size = static_cast<size_t>(next());
    MYNAH_CHECK((size + 3) / 4 <= words_.size());
    to->append(reinterpret_cast<const char*>(words_.data()), size);
    words_ = words_.subspan((size + 3) / 4);
  }

  const std::string_view file_;
  std::span<const int32_t> words_;
};

}  // namespace mynah::train
