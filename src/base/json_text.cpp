// JSON text: nlohmann-json reads it and spells its numbers; values are ours (mynah/json.h).
#include <nlohmann/json.hpp>
#include <ostream>

#include "mynah/json.h"

namespace mynah {
namespace {

// Builds a value from the events of nlohmann-json's reader.
class Builder {
 public:
  static constexpr size_t kMaxDepth = 1000;

  bool null() { return put(Json()); }
  bool boolean(bool value) { return put(Json(value)); }
  bool number_integer(int64_t value) { return put(Json(value)); }
  bool number_unsigned(uint64_t value) { return put(Json(value)); }
  bool number_float(double value, const std::string&) { return put(Json(value)); }
  bool string(std::string& value) { return put(Json(std::move(value))); }
  bool binary(nlohmann::json::binary_t&) { return false; }
  bool start_object(size_t) { return open(Json::object()); }
  bool start_array(size_t) { return open(Json::array()); }
  bool end_object() { return close(); }
  bool end_array() { return close(); }
  bool key(std::string& key) {
    key_ = std::move(key);
    return true;
  }
  bool parse_error(size_t at, const std::string&, const nlohmann::detail::exception& e) {
    error_at_ = at, error_ = e.what();
    overflow_ = dynamic_cast<const nlohmann::json::out_of_range*>(&e) != nullptr;
    return false;
  }

  Json result() { return std::move(root_); }
  [[noreturn]] void fail() const { throw Json::parse_error(error_at_, overflow_, error_.empty() ? "not valid JSON" : error_); }

 private:
  Json* place(Json value) {
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    Json& parent = *open_.back();
    if (parent.is_array()) return &parent.emplace_back(std::move(value));
    Json& member = parent[key_];
    member = std::move(value);
    return &member;
  }
  bool put(Json value) {
    place(std::move(value));
    return true;
  }
  // A container's parent takes no further member while the container is open, so that the pointer stays good.
  bool open(Json container) {
    if (open_.size() == kMaxDepth) {
      error_ = "nested deeper than 1000";
      return false;
    }
    open_.push_back(place(std::move(container)));
    return true;
  }
  bool close() {
    open_.pop_back();
    return true;
  }

  Json root_;
  std::vector<Json*> open_;
  std::string key_;
  size_t error_at_ = 0;
  bool overflow_ = false;
  std::string error_;
};

// Length of the well-formed UTF-8 sequence at `at` (RFC 3629), or 0; `bad` is then how many bytes belong to the broken one.
size_t sequence_at(std::string_view text, size_t at, size_t& bad) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(at);
  bad = 1;
  if (first < 0x80) return 1;
  const size_t length = first >= 0xC2 && first <= 0xDF ? 2 : (first & 0xF0) == 0xE0 ? 3 : first >= 0xF0 && first <= 0xF4 ? 4 : 0;
  if (length == 0) return 0;
  for (size_t i = 1; i < length; ++i) {
    if (at + i == text.size()) return 0;
    unsigned char low = 0x80, high = 0xBF;
    if (i == 1) {
      if (first == 0xE0) low = 0xA0;
      if (first == 0xED) high = 0x9F;
      if (first == 0xF0) low = 0x90;
      if (first == 0xF4) high = 0x8F;
    }
    if (byte(at + i) < low || byte(at + i) > high) return 0;
    bad = i + 1;
  }
  return length;
}

class Writer {
 public:
  Writer(int indent, char blank, bool ascii, Json::error_handler_t broken) : indent_(indent), blank_(blank), ascii_(ascii), broken_(broken) {}
  std::string take() { return std::move(out_); }

  void value(const Json& v, size_t depth) {
    switch (v.type()) {
      case Json::value_t::object: {
        size_t count = 0;
        out_ += '{';
        for (const auto& [key, member] : v.items()) {
          next(count++, depth);
          text(key);
          out_ += indent_ < 0 ? ":" : ": ";
          value(member, depth + 1);
        }
        close('}', count, depth);
        return;
      }
      case Json::value_t::array: {
        size_t count = 0;
        out_ += '[';
        for (const Json& element : v) {
          next(count++, depth);
          value(element, depth + 1);
        }
        close(']', count, depth);
        return;
      }
      case Json::value_t::string: return text(v.get_ref<const std::string&>());
      case Json::value_t::boolean: out_ += v.get<bool>() ? "true" : "false"; return;
      case Json::value_t::number_integer: out_ += std::to_string(v.get<int64_t>()); return;
      case Json::value_t::number_unsigned: out_ += std::to_string(v.get<uint64_t>()); return;
      case Json::value_t::number_float: return number(v.get<double>());
      default: out_ += "null"; return;
    }
  }

 private:
  void next(size_t count, size_t depth) {
    if (count > 0) out_ += ',';
    line(depth + 1);
  }
  void close(char bracket, size_t count, size_t depth) {
    if (count > 0) line(depth);
    out_ += bracket;
  }
  void line(size_t depth) {
    if (indent_ < 0) return;
    out_ += '\n';
    out_.append(depth * static_cast<size_t>(indent_), blank_);
  }
  void number(double v) {
    if (!std::isfinite(v)) {
      out_ += "null";
      return;
    }
    char buffer[64];
    out_.append(buffer, nlohmann::detail::to_chars(buffer, buffer + sizeof buffer, v));
  }
  void escape(unsigned unit) {
    char buffer[16];
    std::snprintf(buffer, sizeof buffer, "\\u%04x", unit);
    out_ += buffer;
  }
  void text(std::string_view s) {
    out_ += '"';
    for (size_t at = 0; at < s.size();) {
      const char c = s[at];
      size_t bad = 0;
      const size_t length = sequence_at(s, at, bad);
      if (length == 0) {
        if (broken_ == Json::error_handler_t::strict) throw Json::exception("byte " + std::to_string(at) + " of a text is not UTF-8");
        if (ascii_) escape(0xFFFD);
        else out_ += "\xEF\xBF\xBD";
        at += bad;
        continue;
      }
      if (length == 1) one(c);
      else if (ascii_) wide(s.substr(at, length));
      else out_ += s.substr(at, length);
      at += length;
    }
    out_ += '"';
  }
  void one(char c) {
    switch (c) {
      case '\b': out_ += "\\b"; return;
      case '\t': out_ += "\\t"; return;
      case '\n': out_ += "\\n"; return;
      case '\f': out_ += "\\f"; return;
      case '\r': out_ += "\\r"; return;
      case '"': out_ += "\\\""; return;
      case '\\': out_ += "\\\\"; return;
      default: break;
    }
    if (static_cast<unsigned char>(c) < 0x20 || (ascii_ && c == 0x7F)) escape(static_cast<unsigned char>(c));
    else out_ += c;
  }
  void wide(std::string_view sequence) {
    unsigned code = static_cast<unsigned char>(sequence[0]) & (0xFFu >> (sequence.size() + 1));
    for (size_t i = 1; i < sequence.size(); ++i) code = code << 6 | (static_cast<unsigned char>(sequence[i]) & 0x3F);
    if (code > 0xFFFF) {
      escape(0xD7C0 + (code >> 10));
      escape(0xDC00 + (code & 0x3FF));
    } else {
      escape(code);
    }
  }

  int indent_;
  char blank_;
  bool ascii_;
  Json::error_handler_t broken_;
  std::string out_;
};

}  // namespace

Json Json::parse(std::string_view text, std::nullptr_t, bool exceptions) {
  Builder builder;
  if (nlohmann::json::sax_parse(text.begin(), text.end(), &builder)) return builder.result();
  if (exceptions) builder.fail();
  return Json(value_t::discarded);
}

bool Json::accept(std::string_view text) { return nlohmann::json::accept(text.begin(), text.end()); }

std::string Json::dump(int indent, char blank, bool ascii, error_handler_t broken) const {
  Writer writer(indent, blank, ascii, broken);
  writer.value(*this, 0);
  return writer.take();
}

std::ostream& operator<<(std::ostream& out, const Json& value) { return out << value.dump(-1, ' ', false, Json::error_handler_t::replace); }

}  // namespace mynah
