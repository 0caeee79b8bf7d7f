// Printing values: repr(), and JSON in both directions.
#include <algorithm>
#include <cmath>

#include "mynah/json.h"
#include "text/template_objects.h"
#include "text/template_string.h"

namespace mynah::jinja {
namespace {

// Counts nested printing, which a namespace that holds itself would never end.
struct PrintDepth {
  PrintDepth() {
    if (Budget* b = current_budget(); b && ++b->print_depth > 2 * kMaxValueDepth) {
      --b->print_depth;
      raise("printing an object that holds itself");
    }
  }
  ~PrintDepth() {
    if (Budget* b = current_budget()) --b->print_depth;
  }
};

void append_limited(std::string& out, std::string_view piece) {
  if (out.size() + piece.size() > kMaxValueBytes) raise("a text of more than {} bytes", kMaxValueBytes);
  charge(piece.size());
  out += piece;
}

void append_repr(std::string& out, const Value& v);

void append_items(std::string& out, const std::vector<Value>& items) {
  bool first = true;
  for (const Value& item : items) {
    if (!first) append_limited(out, ", ");
    first = false;
    append_repr(out, item);
  }
}

void append_dict(std::string& out, const DictObject& dict) {
  append_limited(out, "{");
  bool first = true;
  for (const auto& [key, value] : dict.items) {
    if (!first) append_limited(out, ", ");
    first = false;
    append_repr(out, key);
    append_limited(out, ": ");
    append_repr(out, value);
  }
  append_limited(out, "}");
}

std::string range_text(const ListObject& range) {
  if (range.step == 1) return fmt::format("range({}, {})", range.start, range.stop);
  return fmt::format("range({}, {}, {})", range.start, range.stop, range.step);
}

void append_list(std::string& out, const ListObject& list) {
  switch (list.type) {
    case ListType::iterator:
      append_limited(out, "<generator object>");
      return;
    case ListType::range:
      append_limited(out, range_text(list));
      return;
    case ListType::tuple:
    case ListType::group:
      append_limited(out, "(");
      append_items(out, list.items);
      append_limited(out, list.items.size() == 1 ? ",)" : ")");
      return;
    case ListType::list:
      break;
    default:
      append_limited(out, fmt::format("{}(", list.type_name()));
  }
  append_limited(out, "[");
  append_items(out, list.items);
  append_limited(out, list.type == ListType::list ? "]" : "])");
}

void append_object(std::string& out, const Value& v) {
  const auto* space = v.as<NamespaceObject>();
  if (!space) {
    append_limited(out, fmt::format("<{}>", v.object()->type_name()));
    return;
  }
  append_limited(out, "<Namespace ");
  append_dict(out, space->attributes);
  append_limited(out, ">");
}

void append_repr(std::string& out, const Value& v) {
  const PrintDepth depth;
  charge_step();
  switch (v.kind()) {
    case Kind::undefined:
      append_limited(out, "Undefined");
      break;
    case Kind::none:
      append_limited(out, "None");
      break;
    case Kind::boolean:
      append_limited(out, v.integer() ? "True" : "False");
      break;
    case Kind::integer:
      append_limited(out, fmt::format("{}", v.integer()));
      break;
    case Kind::real:
      append_limited(out, repr_real(v.real()));
      break;
    case Kind::string:
      append_limited(out, repr_text(v.text()));
      break;
    case Kind::list:
      append_list(out, v.list());
      break;
    case Kind::dict:
      append_dict(out, v.dict());
      break;
    case Kind::object:
      append_object(out, v);
      break;
  }
}

}  // namespace

std::string repr(const Value& v) {
  std::string out;
  append_repr(out, v);
  return out;
}

namespace {

Value from_json_at(const Json& json, int depth) {
  if (depth > kMaxValueDepth) raise("variables nested more than {} deep", kMaxValueDepth);
  switch (json.type()) {
    case Json::value_t::boolean:
      return Value(json.get<bool>());
    case Json::value_t::number_integer:
      return Value(json.get<int64_t>());
    case Json::value_t::number_unsigned: {
      const uint64_t u = json.get<uint64_t>();
      if (u > static_cast<uint64_t>(INT64_MAX)) raise("the variable {} needs more than 63 bits", u);
      return Value(static_cast<int64_t>(u));
    }
    case Json::value_t::number_float:
      return Value(json.get<double>());
    case Json::value_t::string:
      return Value(json.get_ref<const std::string&>());
    case Json::value_t::array: {
      std::vector<Value> items;
      items.reserve(json.size());
      for (const Json& item : json) items.push_back(from_json_at(item, depth + 1));
      return Value(ListType::list, std::move(items));
    }
    case Json::value_t::object: {
      auto dict = std::make_shared<DictObject>();
      for (const auto& [key, value] : json.items()) dict->set(Value(key), from_json_at(value, depth + 1));
      return Value(std::move(dict));
    }
    default:
      return Value();
  }
}

void append_json_text(std::string& out, std::string_view text, bool ensure_ascii) {
  std::string quoted = "\"";
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    const uint32_t c = next_code_point(text, at);
    if (c == '"' || c == '\\') {
      quoted += '\\';
      quoted += static_cast<char>(c);
    } else if (c >= 0x20 && (c < 0x7F || !ensure_ascii || c == 0x7F)) {
      quoted += text.substr(begin, at - begin);
    } else if (c == '\n') {
      quoted += "\\n";
    } else if (c == '\r') {
      quoted += "\\r";
    } else if (c == '\t') {
      quoted += "\\t";
    } else if (c == '\b') {
      quoted += "\\b";
    } else if (c == '\f') {
      quoted += "\\f";
    } else if (c < 0x10000) {
      quoted += fmt::format("\\u{:04x}", c);
    } else {
      quoted += fmt::format("\\u{:04x}\\u{:04x}", 0xD7C0 + (c >> 10), 0xDC00 + (c & 0x3FF));
    }
  }
  append_limited(out, quoted + '"');
}

std::string json_real(double d) {
  if (std::isnan(d)) return "NaN";
  if (std::isinf(d)) return d < 0 ? "-Infinity" : "Infinity";
  return repr_real(d);
}

class JsonWriter {
 public:
  JsonWriter(std::string& out, const JsonStyle& style) : out_(out), style_(style) {}

  void write(const Value& v) {
    const PrintDepth depth;
    charge_step();
    switch (v.kind()) {
      case Kind::none:
        append_limited(out_, "null");
        return;
      case Kind::boolean:
        append_limited(out_, v.integer() ? "true" : "false");
        return;
      case Kind::integer:
        append_limited(out_, fmt::format("{}", v.integer()));
        return;
      case Kind::real:
        append_limited(out_, json_real(v.real()));
        return;
      case Kind::string:
        append_json_text(out_, v.text(), style_.ensure_ascii);
        return;
      case Kind::dict:
        write_dict(v.dict());
        return;
      case Kind::list:
        if (v.is_list(ListType::list) || v.is_list(ListType::tuple) || v.is_list(ListType::group)) {
          write_list(v.list());
          return;
        }
        [[fallthrough]];
      default:
        raise("Object of type {} is not JSON serializable", type_name(v));
    }
  }

 private:
  void new_line() {
    if (!style_.indented) return;
    append_limited(out_, "\n");
    for (int i = 0; i < level_; ++i) append_limited(out_, style_.indent);
  }

  template <class Items, class Each>
  void write_items(const Items& items, char open, char close, Each&& each) {
    append_limited(out_, std::string(1, open));
    ++level_;
    bool first = true;
    for (const auto& item : items) {
      if (!first) append_limited(out_, style_.item_separator);
      first = false;
      new_line();
      each(item);
    }
    --level_;
    if (!first) new_line();
    append_limited(out_, std::string(1, close));
  }

  void write_list(const ListObject& list) {
    write_items(list.items, '[', ']', [this](const Value& item) { write(item); });
  }

  void write_dict(const DictObject& dict) {
    const auto each = [this](const std::pair<Value, Value>& item) {
      append_json_text(out_, key_text(item.first), style_.ensure_ascii);
      append_limited(out_, style_.key_separator);
      write(item.second);
    };
    if (!style_.sort_keys) return write_items(dict.items, '{', '}', each);
    auto sorted = dict.items;
    std::stable_sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return less(a.first, b.first); });
    write_items(sorted, '{', '}', each);
  }

  static std::string key_text(const Value& key) {
    switch (key.kind()) {
      case Kind::string:
        return key.text();
      case Kind::none:
        return "null";
      case Kind::boolean:
        return key.integer() ? "true" : "false";
      case Kind::integer:
        return fmt::format("{}", key.integer());
      case Kind::real:
        return json_real(key.real());
      default:
        raise("keys must be str, int, float, bool or None, not {}", type_name(key));
    }
  }

  std::string& out_;
  const JsonStyle& style_;
  int level_ = 0;
};

}  // namespace

Value from_json(const Json& json) { return from_json_at(json, 1); }

std::string to_json(const Value& v, const JsonStyle& style) {
  std::string out;
  JsonWriter(out, style).write(v);
  return out;
}

}  // namespace mynah::jinja
