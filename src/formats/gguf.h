// GGUF: the single-file model format of the ggml family (metadata, then aligned tensor data). Versions 2 and 3, little
// endian. Reading maps the file; every count, length, dimension, offset and type is checked against the file before it
// is used.
#pragma once
#include <cstddef>
#include <filesystem>
#include <iterator>
#include <limits>
#include <map>
#include <string>
#include <type_traits>
#include <unordered_map>

#include "formats/output_tensor.h"
#include "formats/tensor_source.h"

namespace mynah {
class MappedFile;
}

namespace mynah::formats {

enum class GgufType : uint32_t { u8, i8, u16, i16, u32, i32, f32, boolean, string, array, u64, i64, f64 };
std::string_view name(GgufType type);  // "u8", "string", ...

// The strings of an array in place. Iterating is fast; there is no random access (to_vector() gives it). The views live
// as long as the file.
class GgufStrings {
 public:
  class iterator {
   public:
    using iterator_category = std::input_iterator_tag;
    using value_type = std::string_view;
    using difference_type = std::ptrdiff_t;
    using pointer = const std::string_view*;
    using reference = std::string_view;
    iterator() = default;
    iterator(const std::byte* at, const std::byte* end) : at_(at), end_(end) { read(); }
    std::string_view operator*() const { return value_; }
    iterator& operator++() {
      at_ = reinterpret_cast<const std::byte*>(value_.data()) + value_.size();
      read();
      return *this;
    }
    iterator operator++(int) {
      iterator old = *this;
      ++*this;
      return old;
    }
    bool operator==(const iterator& o) const { return at_ == o.at_; }

   private:
    void read();
    const std::byte* at_ = nullptr;
    const std::byte* end_ = nullptr;
    std::string_view value_;
  };

  GgufStrings(std::span<const std::byte> bytes, size_t count) : bytes_(bytes), count_(count) {}
  size_t size() const { return count_; }
  iterator begin() const { return {bytes_.data(), bytes_.data() + bytes_.size()}; }
  iterator end() const { return {bytes_.data() + bytes_.size(), bytes_.data() + bytes_.size()}; }
  std::vector<std::string_view> to_vector() const;

 private:
  std::span<const std::byte> bytes_;
  size_t count_;
};

class GgufValue;
struct GgufParser;

// The numbers of an array in place, each converted to T (int64_t or double) when read.
template <class T>
class GgufNumbers {
 public:
  explicit GgufNumbers(const GgufValue& value) : value_(&value) {}
  size_t size() const;
  T operator[](size_t i) const;
  std::vector<T> to_vector() const;

 private:
  const GgufValue* value_;
};

// One entry of the metadata, in place. The as_*() functions throw integrity when the value is of another kind or does
// not fit; the message names file and key.
class GgufValue {
 public:
  std::string_view key() const { return key_; }
  GgufType type() const { return is_array_ ? GgufType::array : element_type_; }
  bool is_array() const { return is_array_; }
  GgufType element_type() const { return element_type_; }  // of a scalar: its own type
  size_t size() const { return count_; }                   // elements; 1 for a scalar

  int64_t as_int() const;   // any integer type
  double as_float() const;  // any number
  bool as_bool() const;
  std::string_view as_string() const;
  GgufStrings strings() const;
  GgufNumbers<int64_t> ints() const;   // arrays of any integer type or of bool
  GgufNumbers<double> floats() const;  // arrays of any number type
  // For people: the number, the text (cut after `limit` bytes), or "[49152 strings]"; short number arrays in full.
  std::string text(size_t limit = 200) const;
  // Element i as T without a check of i.
  template <class T>
  T number_at(size_t i) const;

 private:
  friend struct GgufParser;
  friend class GgufWriter;
  [[noreturn]] void wrong(std::string_view expected) const;

  std::string_view key_;
  const std::string* where_ = nullptr;
  std::span<const std::byte> bytes_;  // of the value: a string without its length, an array without type and count
  size_t count_ = 1;
  GgufType element_type_ = GgufType::u8;
  bool is_array_ = false;
};

class GgufFile final : public TensorSource {
 public:
  // Throws not_found, or integrity when the file is damaged or not GGUF.
  static std::shared_ptr<const GgufFile> open(const std::filesystem::path& path);
  // The same from memory; `where` stands in for the path, `owner` keeps the bytes alive.
  static std::shared_ptr<const GgufFile> parse(std::span<const std::byte> bytes, std::string where,
                                               std::shared_ptr<const void> owner);

  uint32_t version() const { return version_; }
  // In the order of the file.
  std::span<const GgufValue> metadata() const { return metadata_; }
  const GgufValue* find(std::string_view key) const;
  const GgufValue& at(std::string_view key) const;  // throws integrity when the key is missing

  // A scalar as bool, any integer (range-checked), float, double, std::string or std::string_view.
  template <class T>
  T get(std::string_view key) const {
    return convert<T>(at(key));
  }
  template <class T>
  T get(std::string_view key, T fallback) const {
    const GgufValue* value = find(key);
    return value ? convert<T>(*value) : fallback;
  }
  // An integer within [low, high]; throws integrity otherwise, or when it is missing and there is no fallback.
  int64_t get_int(std::string_view key, int64_t low, int64_t high, std::optional<int64_t> fallback = {}) const;

  // The mapping behind borrowed tensors (for prefetch and drop); null when parsed from memory.
  const std::shared_ptr<const MappedFile>& mapping() const { return mapping_; }
  // The bytes of a tensor as they lie in the file, also of types that mynah cannot compute with.
  std::span<const std::byte> tensor_bytes(std::string_view name) const;

 private:
  friend struct GgufParser;
  explicit GgufFile(std::string where) : TensorSource(std::move(where)) {}
  Tensor load(size_t index) const override;
  template <class T>
  T convert(const GgufValue& value) const {
    if constexpr (std::is_same_v<T, bool>)
      return value.as_bool();
    else if constexpr (std::is_integral_v<T>)
      return static_cast<T>(bounded(value, limit<T>(false), limit<T>(true)));
    else if constexpr (std::is_floating_point_v<T>)
      return static_cast<T>(value.as_float());
    else
      return T(value.as_string());
  }
  template <class T>
  static constexpr int64_t limit(bool upper) {
    using L = std::numeric_limits<T>;
    if (!upper) return std::is_signed_v<T> ? static_cast<int64_t>(L::min()) : 0;
    return sizeof(T) == 8 ? std::numeric_limits<int64_t>::max() : static_cast<int64_t>(L::max());
  }
  int64_t bounded(const GgufValue& value, int64_t low, int64_t high) const;

  struct Place {
    uint32_t type;
    const std::byte* data;
  };
  std::shared_ptr<const void> owner_;
  std::shared_ptr<const MappedFile> mapping_;
  uint32_t version_ = 0;
  std::vector<GgufValue> metadata_;
  std::unordered_map<std::string_view, uint32_t> keys_;
  std::vector<Place> places_;  // of each tensor
};

// Writes a GGUF version 3 file: set metadata, add tensors, finish(). Nothing appears under the path before finish()
// returns.
class GgufWriter {
 public:
  explicit GgufWriter(std::filesystem::path path, uint32_t alignment = 32);  // a power of two, at least 8

  // Setting a key again replaces its value.
  void set(std::string_view key, bool value);
  void set(std::string_view key, uint8_t value);
  void set(std::string_view key, int8_t value);
  void set(std::string_view key, uint16_t value);
  void set(std::string_view key, int16_t value);
  void set(std::string_view key, uint32_t value);
  void set(std::string_view key, int32_t value);
  void set(std::string_view key, uint64_t value);
  void set(std::string_view key, int64_t value);
  void set(std::string_view key, float value);
  void set(std::string_view key, double value);
  void set(std::string_view key, std::string_view value);
  void set(std::string_view key, const std::string& value) { set(key, std::string_view(value)); }
  void set(std::string_view key, const char* value) { set(key, std::string_view(value)); }
  // T: a number type of GgufType, std::string or std::string_view (bool arrays: std::vector<bool> has no span, use
  // uint8_t).
  template <class T>
  void set_array(std::string_view key, std::span<const T> values);
  template <class T>
  void set_array(std::string_view key, const std::vector<T>& values) {
    set_array(key, std::span<const T>(values));
  }
  // The same key and value as in another file.
  void copy(const GgufValue& value);

  // Written in this order. Names of at most 63 bytes and at most 4 dimensions (the format's readers refuse more); not
  // boolean.
  void add(OutputTensor tensor);
  void finish();

 private:
  struct Entry {
    std::string key, encoded;  // encoded: type and value
  };
  void put(std::string_view key, std::string encoded);
  std::string header() const;

  std::filesystem::path path_;
  uint32_t alignment_;
  std::vector<Entry> metadata_;
  std::unordered_map<std::string, size_t> places_;  // of keys in metadata_
  std::vector<OutputTensor> tensors_;
};

}  // namespace mynah::formats
