// Access to one metadata value of a GGUF file. The parser has checked that the bytes are there; nothing here is
// aligned.
#include <fmt/format.h>

#include <cstring>

#include "base/require.h"
#include "base/unicode.h"
#include "formats/gguf.h"
#include "formats/quote.h"

namespace mynah::formats {
namespace {

template <class T>
T load_at(const std::byte* bytes, size_t i) {
  T value;
  std::memcpy(&value, bytes + i * sizeof(T), sizeof(T));
  return value;
}

bool is_integer(GgufType type) {
  switch (type) {
    case GgufType::u8:
    case GgufType::i8:
    case GgufType::u16:
    case GgufType::i16:
    case GgufType::u32:
    case GgufType::i32:
    case GgufType::u64:
    case GgufType::i64:
      return true;
    default:
      return false;
  }
}
bool is_float(GgufType type) { return type == GgufType::f32 || type == GgufType::f64; }

}  // namespace

std::string_view name(GgufType type) {
  static constexpr std::string_view kNames[] = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                                "bool", "string", "array", "u64", "i64", "f64"};
  const auto i = static_cast<size_t>(type);
  return i < std::size(kNames) ? kNames[i] : "unknown";
}

// The parser has measured every string; the lengths are checked again because another process may change the file under
// the mapping.
void GgufStrings::iterator::read() {
  if (static_cast<size_t>(end_ - at_) < sizeof(uint64_t)) {
    at_ = end_;
    value_ = {};
    return;
  }
  const uint64_t left = static_cast<uint64_t>(end_ - at_) - sizeof(uint64_t);
  const uint64_t length = std::min(load_at<uint64_t>(at_, 0), left);
  value_ = {reinterpret_cast<const char*>(at_ + sizeof(uint64_t)), static_cast<size_t>(length)};
}

std::vector<std::string_view> GgufStrings::to_vector() const {
  std::vector<std::string_view> all;
  all.reserve(count_);
  for (const std::string_view text : *this) all.push_back(text);
  return all;
}

template <class T>
T GgufValue::number_at(size_t i) const {
  const std::byte* p = bytes_.data();
  switch (element_type_) {
    case GgufType::u8:
      return static_cast<T>(load_at<uint8_t>(p, i));
    case GgufType::i8:
      return static_cast<T>(load_at<int8_t>(p, i));
    case GgufType::u16:
      return static_cast<T>(load_at<uint16_t>(p, i));
    case GgufType::i16:
      return static_cast<T>(load_at<int16_t>(p, i));
    case GgufType::u32:
      return static_cast<T>(load_at<uint32_t>(p, i));
    case GgufType::i32:
      return static_cast<T>(load_at<int32_t>(p, i));
    case GgufType::i64:
      return static_cast<T>(load_at<int64_t>(p, i));
    case GgufType::boolean:
      return static_cast<T>(load_at<uint8_t>(p, i) != 0);
    case GgufType::u64: {
      const auto value = load_at<uint64_t>(p, i);
      if (std::is_integral_v<T> && value > uint64_t{std::numeric_limits<int64_t>::max()})
        wrong("an integer below 2^63");
      return static_cast<T>(value);
    }
    case GgufType::f32:
      if constexpr (std::is_floating_point_v<T>) return load_at<float>(p, i);
      break;
    case GgufType::f64:
      if constexpr (std::is_floating_point_v<T>) return load_at<double>(p, i);
      break;
    default:
      break;
  }
  wrong(std::is_integral_v<T> ? "integers" : "numbers");
}

template <class T>
size_t GgufNumbers<T>::size() const {
  return value_->size();
}
template <class T>
T GgufNumbers<T>::operator[](size_t i) const {
  return value_->number_at<T>(i);
}
template <class T>
std::vector<T> GgufNumbers<T>::to_vector() const {
  std::vector<T> all(size());
  for (size_t i = 0; i < all.size(); ++i) all[i] = (*this)[i];
  return all;
}
template class GgufNumbers<int64_t>;
template class GgufNumbers<double>;

void GgufValue::wrong(std::string_view expected) const {
  fail(ErrorCode::integrity, "{}: metadata {}: got {}{} {}, expected {}", *where_, quote(key_),
       is_array_ ? "an array of " : "", name(element_type_), is_array_ ? "" : quote(text(40)), expected);
}

int64_t GgufValue::as_int() const {
  if (is_array_ || !is_integer(element_type_)) wrong("an integer");
  return number_at<int64_t>(0);
}
double GgufValue::as_float() const {
  if (is_array_ || !(is_integer(element_type_) || is_float(element_type_))) wrong("a number");
  return number_at<double>(0);
}
bool GgufValue::as_bool() const {
  if (is_array_ || element_type_ != GgufType::boolean) wrong("a bool");
  return number_at<int64_t>(0) != 0;
}
std::string_view GgufValue::as_string() const {
  if (is_array_ || element_type_ != GgufType::string) wrong("a string");
  return {reinterpret_cast<const char*>(bytes_.data()), bytes_.size()};
}
GgufStrings GgufValue::strings() const {
  if (!is_array_ || element_type_ != GgufType::string) wrong("an array of strings");
  return {bytes_, count_};
}
GgufNumbers<int64_t> GgufValue::ints() const {
  if (!is_array_ || !(is_integer(element_type_) || element_type_ == GgufType::boolean)) wrong("an array of integers");
  return GgufNumbers<int64_t>(*this);
}
GgufNumbers<double> GgufValue::floats() const {
  if (!is_array_ || !(is_integer(element_type_) || is_float(element_type_))) wrong("an array of numbers");
  return GgufNumbers<double>(*this);
}

std::string GgufValue::text(size_t limit) const {
  constexpr size_t kShortArray = 16;
  const auto number = [&](size_t i) {
    if (element_type_ == GgufType::f32) return fmt::format("{}", load_at<float>(bytes_.data(), i));
    if (element_type_ == GgufType::f64) return fmt::format("{}", load_at<double>(bytes_.data(), i));
    if (element_type_ == GgufType::u64) return fmt::format("{}", load_at<uint64_t>(bytes_.data(), i));
    if (element_type_ == GgufType::boolean) return std::string(load_at<uint8_t>(bytes_.data(), i) ? "true" : "false");
    return fmt::format("{}", number_at<int64_t>(i));
  };
  if (!is_array_ && element_type_ == GgufType::string) {
    const std::string_view all = as_string();
    return unicode::to_valid(all.substr(0, limit)) + (all.size() > limit ? "..." : "");
  }
  if (!is_array_) return number(0);
  if (element_type_ == GgufType::string) return fmt::format("[{} strings]", count_);
  if (count_ > kShortArray) return fmt::format("[{} x {}]", count_, name(element_type_));
  std::string out = "[";
  for (size_t i = 0; i < count_; ++i) out += (i ? ", " : "") + number(i);
  return out + "]";
}

}  // namespace mynah::formats
