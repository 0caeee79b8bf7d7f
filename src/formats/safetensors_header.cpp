#include "formats/safetensors_header.h"

#include <nlohmann/json.hpp>

#include "base/require.h"
#include "formats/quote.h"

namespace mynah::formats {
namespace {

constexpr size_t kMaxSafetensorsDims = 64;

// Receives the parser's events one by one, so that a header of many megabytes never becomes a tree. `depth_` 1 is the
// top object, 2 a tensor's object or the metadata, 3 a list inside a tensor's object.
class Handler {
 public:
  explicit Handler(SafetensorsHeader& header) : header_(header) {}
  std::string error;

  bool key(std::string& text) {
    if (ignored_depth_ > 0) return true;
    if (depth_ == 1) return top_key(text);
    if (in_metadata_) {
      metadata_key_ = text;
      return true;
    }
    field_ = text == "dtype"          ? Field::dtype
             : text == "shape"        ? Field::shape
             : text == "data_offsets" ? Field::offsets
                                      : Field::other;
    SafetensorsEntry& e = header_.entries.back();
    const auto once = [&](bool& seen) {
      return !std::exchange(seen, true) || stop("has the field " + quote(text) + " twice");
    };
    switch (field_) {
      case Field::dtype:
        return once(e.has_dtype);
      case Field::shape:
        return once(e.has_shape);
      case Field::offsets:
        return once(e.has_offsets);
      default:
        return true;
    }
  }

  bool start_object(size_t) {
    if (ignoring()) return ++ignored_depth_, true;
    if (depth_ == 2 || depth_ == 3 || in_list_) return stop("has an unexpected object");
    ++depth_;
    return true;
  }
  bool end_object() {
    if (ignored_depth_ > 0) return --ignored_depth_, true;
    if (depth_ == 2) {
      const auto complete = [](const SafetensorsEntry& e) { return e.has_dtype && e.has_shape && e.has_offsets; };
      if (!in_metadata_ && !complete(header_.entries.back())) return stop("lacks dtype, shape or data_offsets");
      in_metadata_ = false;
      field_ = Field::none;
    }
    --depth_;
    return true;
  }
  bool start_array(size_t) {
    if (ignoring()) return ++ignored_depth_, true;
    if (depth_ != 2 || in_list_ || (field_ != Field::shape && field_ != Field::offsets))
      return stop("has an unexpected list");
    in_list_ = true;
    return true;
  }
  bool end_array() {
    if (ignored_depth_ > 0) return --ignored_depth_, true;
    in_list_ = false;
    field_ = Field::none;
    return true;
  }

  bool string(std::string& text) {
    if (ignoring()) return true;
    if (depth_ == 2 && in_metadata_) {
      if (!header_.metadata.emplace(metadata_key_, text).second)
        return stop("has the metadata " + quote(metadata_key_) + " twice");
      return true;
    }
    if (depth_ != 2 || in_list_ || field_ != Field::dtype) return stop("has an unexpected string");
    header_.entries.back().dtype = text;
    field_ = Field::none;
    return true;
  }
  bool number_unsigned(uint64_t value) {
    if (ignoring()) return true;
    if (!in_list_) return stop("has an unexpected number");
    auto& list = field_ == Field::shape ? header_.entries.back().shape : header_.entries.back().offsets;
    if (list.size() >= kMaxSafetensorsDims) return stop("has a list of more than 64 numbers");
    list.push_back(value);
    return true;
  }
  bool number_integer(int64_t) { return ignoring() || stop("has a negative number"); }
  bool number_float(double, const std::string&) { return ignoring() || stop("has a number that is no integer"); }
  bool boolean(bool) { return ignoring() || stop("has an unexpected true or false"); }
  bool null() {
    if (ignoring()) return true;
    if (!in_metadata_ || depth_ != 1) return stop("has an unexpected null");
    in_metadata_ = false;
    return true;
  }
  bool binary(nlohmann::json::binary_t&) { return stop("has binary data"); }
  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception&) {
    if (error.empty()) error = fmt::format("is not valid JSON at byte {}", position);
    return false;
  }

 private:
  enum class Field { none, dtype, shape, offsets, other };

  bool ignoring() const { return ignored_depth_ > 0 || (depth_ == 2 && !in_metadata_ && field_ == Field::other); }
  bool stop(const std::string& reason) {
    const bool in_tensor = depth_ >= 2 && !in_metadata_ && !header_.entries.empty();
    error = (in_tensor ? "at tensor " + quote(header_.entries.back().name) + " " : std::string()) + reason;
    return false;
  }
  bool top_key(const std::string& text) {
    if (text == "__metadata__") {
      if (std::exchange(seen_metadata_, true)) return stop("has __metadata__ twice");
      in_metadata_ = true;
      return true;
    }
    in_metadata_ = false;
    SafetensorsEntry entry;
    entry.name = text;
    header_.entries.push_back(std::move(entry));
    return true;
  }

  SafetensorsHeader& header_;
  std::string metadata_key_;
  int depth_ = 0, ignored_depth_ = 0;
  bool in_metadata_ = false, seen_metadata_ = false, in_list_ = false;
  Field field_ = Field::none;
};

}  // namespace

SafetensorsHeader parse_safetensors_header(std::string_view json, std::string_view where) {
  SafetensorsHeader header;
  Handler handler(header);
  const bool ok = nlohmann::json::sax_parse(json.begin(), json.end(), &handler);
  if (!ok)
    fail(ErrorCode::integrity, "{}: the header {}; the file is damaged or not safetensors", where,
         handler.error.empty() ? "is not valid JSON" : handler.error);
  return header;
}

}  // namespace mynah::formats
