#include "text/json_schema.h"

#include <charconv>
#include <algorithm>
#include <optional>
#include <set>
#include <string>

#include "base/require.h"
#include "mynah/json.h"
#include "text/grammar_regex.h"

namespace mynah::text {
namespace {

using Expression = Grammar::Expression;

template <class... Args>
[[noreturn]] void refuse(fmt::format_string<Args...> format, Args&&... args) {
  fail(ErrorCode::usage, "schema: {}", fmt::format(format, std::forward<Args>(args)...));
}

// Keywords that say nothing about which documents are right, or nothing beside what is read.
const std::set<std::string> kAnnotations = {"$schema", "$id", "$comment", "$defs", "definitions", "title", "description", "default", "examples", "deprecated",
                                            "readOnly", "writeOnly", "strict", "name"};

// What a path like #/$defs/person names within `root` (JSON Pointer, RFC 6901); null for what is not there.
const Json* follow(const Json& root, std::string_view path) {
  const Json* at = &root;
  path.remove_prefix(1);  // "#"
  while (!path.empty()) {
    path.remove_prefix(1);  // "/"
    std::string key(path.substr(0, path.find('/')));
    path.remove_prefix(key.size());
    for (size_t i = 0; (i = key.find('~', i)) != std::string::npos; ++i) {
      const char escaped = i + 1 < key.size() ? key[i + 1] : ' ';
      if (escaped != '0' && escaped != '1') return nullptr;
      key.replace(i, 2, escaped == '0' ? "~" : "/");
    }
    if (at->is_array()) {
      size_t index = 0;
      const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), index);
      if (error != std::errc() || end != key.data() + key.size() || index >= at->size()) return nullptr;
      at = &(*at)[index];
    } else if (at->contains(key)) {
      at = &(*at)[key];
    } else {
      return nullptr;
    }
  }
  return at;
}

class Builder {
 public:
  Builder(Grammar& grammar, const Json& root) : g_(grammar), root_(root) {
    Grammar::Bytes blank, blanks;
    blank.set(' ');
    blanks.set(' ').set('\t');
    // White space is bounded: a model could go on with it for ever.
    space_ = g_.optional(g_.either({g_.bytes(blank), g_.sequence({g_.literal("\n"), g_.repeat(g_.bytes(blanks), 0, 24)})}));
    character_ = json_characters(g_, {{0, 0x10FFFF}});
    string_ = quoted(g_.repeat(character_, 0, -1));
    integer_ = regular_expression(g_, "-?(0|[1-9][0-9]{0,15})");
    number_ = g_.sequence({integer_, regular_expression(g_, "(\\.[0-9]{1,16})?([eE][-+]?[0-9]{1,2})?")});
  }

  // Any value, any object.
  Expression value() {
    if (value_ >= 0) return value_;
    value_ = g_.rule();
    g_.define(value_, g_.either({object(), list(value_, 0, -1), string_, number_, g_.literal("true"), g_.literal("false"), g_.literal("null")}));
    return value_;
  }
  Expression object() { return map(value()); }

  Expression schema(const Json& s, int depth = 0) {
    if (depth > 64) refuse("too deeply nested");
    if (s.is_boolean()) {
      if (!s.get<bool>()) refuse("false accepts no document");
      return value();
    }
    if (!s.is_object()) refuse("{} stands where a schema belongs", s.dump());
    if (s.contains("$ref")) return reference(s, depth);
    if (s.contains("const")) return only(s, {"const"}, g_.literal(s["const"].dump()));
    if (s.contains("enum")) return enumeration(s);
    for (const char* name : {"anyOf", "oneOf"})
      if (s.contains(name)) return any_of(s, name, depth);
    if (s.contains("allOf")) {
      if (!s["allOf"].is_array() || s["allOf"].size() != 1) refuse("allOf of several schemas is not supported");
      return only(s, {"allOf"}, schema(s["allOf"][0], depth + 1));
    }
    std::vector<Expression> alternatives;
    for (const std::string& type : types(s)) alternatives.push_back(typed(s, type, depth));
    return g_.either(alternatives);
  }

 private:
  Expression quoted(Expression inner) { return g_.sequence({g_.literal("\""), inner, g_.literal("\"")}); }
  Expression comma() { return g_.sequence({g_.literal(","), space_}); }
  // What stands between brackets, perhaps nothing.
  Expression between(char open, Expression inner, char close) {
    return g_.sequence({g_.literal(std::string(1, open)), space_, inner, space_, g_.literal(std::string(1, close))});
  }
  Expression list(Expression item, int64_t least, int64_t most) {
    if (most == 0) return between('[', g_.sequence({}), ']');
    const Expression more = g_.sequence({item, g_.repeat(g_.sequence({comma(), item}), std::max<int64_t>(least - 1, 0), most < 0 ? -1 : most - 1)});
    return between('[', least > 0 ? more : g_.optional(more), ']');
  }
  Expression map(Expression item) {
    const Expression pair = g_.sequence({string_, g_.literal(":"), space_, item});
    return between('{', g_.optional(g_.sequence({pair, g_.repeat(g_.sequence({comma(), pair}), 0, -1)})), '}');
  }

  // Refuses keywords beside `known` ones and annotations.
  Expression only(const Json& s, const std::set<std::string>& known, Expression e) const {
    for (const auto& [key, _] : s.items())
      if (!known.count(key) && !kAnnotations.count(key)) refuse("{} is not supported here", key);
    return e;
  }

  Expression enumeration(const Json& s) {
    if (!s["enum"].is_array() || s["enum"].empty()) refuse("enum is {}, expected a list", s["enum"].dump());
    std::vector<Expression> all;
    for (const Json& v : s["enum"]) all.push_back(g_.literal(v.dump()));
    return only(s, {"enum", "type"}, g_.either(all));
  }

  Expression any_of(const Json& s, const char* name, int depth) {
    if (!s[name].is_array() || s[name].empty()) refuse("{} is {}, expected a list", name, s[name].dump());
    std::vector<Expression> all;
    for (const Json& one : s[name]) all.push_back(schema(one, depth + 1));
    return only(s, {name, "discriminator"}, g_.either(all));
  }

  Expression reference(const Json& s, int depth) {
    const std::string path = s["$ref"].is_string() ? s["$ref"].get<std::string>() : "";
    if (path != "#" && path.rfind("#/", 0) != 0) refuse("$ref is {}, expected one that begins with #/", s["$ref"].dump());
    only(s, {"$ref"}, 0);
    const auto [it, fresh] = references_.try_emplace(path);
    if (!fresh) return it->second;
    const Expression rule = it->second = g_.rule();
    const Json* target = follow(root_, path);
    if (!target) refuse("$ref {} leads nowhere", path);
    g_.define(rule, schema(*target, depth + 1));
    return rule;
  }

  std::vector<std::string> types(const Json& s) const {
    if (const auto it = s.find("type"); it != s.end()) {
      if (it->is_string()) return {it->get<std::string>()};
      if (!it->is_array() || it->empty()) refuse("type is {}, expected a name or a list of names", it->dump());
      std::vector<std::string> all;
      for (const Json& t : *it) all.push_back(t.is_string() ? t.get<std::string>() : t.dump());
      return all;
    }
    if (s.contains("properties") || s.contains("additionalProperties")) return {"object"};
    if (s.contains("items") || s.contains("prefixItems")) return {"array"};
    if (s.contains("pattern") || s.contains("minLength") || s.contains("maxLength")) return {"string"};
    if (s.contains("minimum") || s.contains("maximum")) return {"integer"};
    return {"any"};
  }

  Expression typed(const Json& s, const std::string& type, int depth) {
    const bool several = s.contains("type") && s["type"].is_array();
    std::set<std::string> known = {"type"};
    if (several) known = {"type", "properties", "required", "additionalProperties", "items", "prefixItems", "minItems", "maxItems", "minLength",
                          "maxLength", "pattern", "format", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"};
    const auto with = [&](std::initializer_list<const char*> more) {
      for (const char* name : more) known.insert(name);
      return known;
    };
    if (type == "any") return only(s, known, value());
    if (type == "null") return only(s, known, g_.literal("null"));
    if (type == "boolean") return only(s, known, g_.either({g_.literal("true"), g_.literal("false")}));
    if (type == "number") return only(s, known, number_);
    if (type == "integer") return only(s, with({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}), integer(s));
    if (type == "string") return only(s, with({"minLength", "maxLength", "pattern", "format"}), string(s));
    if (type == "array") return only(s, with({"items", "prefixItems", "minItems", "maxItems"}), array(s, depth));
    if (type == "object") return only(s, with({"properties", "required", "additionalProperties"}), properties(s, depth));
    refuse("type {} is not known", type);
  }

  static std::optional<int64_t> count(const Json& s, const char* name) {
    if (!s.contains(name)) return std::nullopt;
    const Json& v = s[name];
    if (!v.is_number() || v.get<double>() != static_cast<double>(static_cast<int64_t>(v.get<double>()))) refuse("{} is {}, expected an integer", name, v.dump());
    return static_cast<int64_t>(v.get<double>());
  }

  Expression string(const Json& s) {
    const int64_t least = count(s, "minLength").value_or(0), most = count(s, "maxLength").value_or(-1);
    if (s.contains("pattern")) {
      if (!s["pattern"].is_string() || least > 0 || most >= 0) refuse("pattern is {}, expected a text without minLength and maxLength beside it", s["pattern"].dump());
      std::string pattern = s["pattern"].get<std::string>();
      // A pattern matches anywhere unless it is anchored.
      const std::string before = pattern.starts_with('^') ? "" : "[\\s\\S]*", after = pattern.ends_with('$') && !pattern.ends_with("\\$") ? "" : "[\\s\\S]*";
      if (pattern.starts_with('^')) pattern.erase(0, 1);
      if (after.empty()) pattern.pop_back();
      return quoted(regular_expression(g_, before + "(?:" + pattern + ")" + after, true));
    }
    const std::string format = s.contains("format") && s["format"].is_string() ? s["format"].get<std::string>() : "";
    const std::string date = "[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])", time = "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,6})?(Z|[-+]([01][0-9]|2[0-3]):[0-5][0-9])";
    if (format == "date") return quoted(regular_expression(g_, date));
    if (format == "time") return quoted(regular_expression(g_, time));
    if (format == "date-time") return quoted(regular_expression(g_, date + "T" + time));
    if (format == "uuid") return quoted(regular_expression(g_, "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"));
    if (most >= 0 && most < least) refuse("maxLength {} is below minLength {}", most, least);
    return least == 0 && most < 0 ? string_ : quoted(g_.repeat(character_, least, most));
  }

  Expression digits(int64_t n) { return regular_expression(g_, "[0-9]{" + std::to_string(n) + "}"); }
  Expression digit(char low, char high) { return g_.characters({{static_cast<char32_t>(low), static_cast<char32_t>(high)}}); }

  // Decimal texts between two of one length.
  Expression between_texts(const std::string& low, const std::string& high) {
    if (low.empty()) return g_.sequence({});
    const auto rest = static_cast<int64_t>(low.size()) - 1;
    if (low.find_first_not_of('0') == std::string::npos && high.find_first_not_of('9') == std::string::npos) return digits(rest + 1);
    if (low[0] == high[0]) return g_.sequence({digit(low[0], low[0]), between_texts(low.substr(1), high.substr(1))});
    std::vector<Expression> all = {g_.sequence({digit(low[0], low[0]), between_texts(low.substr(1), std::string(low.size() - 1, '9'))}),
                                   g_.sequence({digit(high[0], high[0]), between_texts(std::string(low.size() - 1, '0'), high.substr(1))})};
    if (high[0] - low[0] > 1) all.push_back(g_.sequence({digit(static_cast<char>(low[0] + 1), static_cast<char>(high[0] - 1)), digits(rest)}));
    return g_.either(all);
  }

  // Integers of 0 <= low <= high.
  void magnitudes(int64_t low, int64_t high, const char* sign, std::vector<Expression>* all) {
    if (low > high) return;
    const std::string a = std::to_string(low), b = std::to_string(high);
    for (size_t n = a.size(); n <= b.size(); ++n) {
      const std::string from = n == a.size() ? a : "1" + std::string(n - 1, '0'), to = n == b.size() ? b : std::string(n, '9');
      all->push_back(g_.sequence({g_.literal(sign), between_texts(from, to)}));
    }
  }

  Expression integer(const Json& s) {
    std::optional<int64_t> low = count(s, "minimum"), high = count(s, "maximum");
    if (const auto v = count(s, "exclusiveMinimum")) low = low ? std::max(*low, *v + 1) : *v + 1;
    if (const auto v = count(s, "exclusiveMaximum")) high = high ? std::min(*high, *v - 1) : *v - 1;
    if (!low && !high) return integer_;
    constexpr int64_t kMost = 9999999999999999;  // 16 digits
    const int64_t a = std::clamp(low.value_or(-kMost), -kMost, kMost), b = std::clamp(high.value_or(kMost), -kMost, kMost);
    if (a > b) refuse("no integer lies between {} and {}", a, b);
    std::vector<Expression> all;
    magnitudes(std::max<int64_t>(a, 0), b, "", &all);
    magnitudes(std::max<int64_t>(-b, 1), -a, "-", &all);
    return g_.either(all);
  }

  Expression array(const Json& s, int depth) {
    const int64_t least = count(s, "minItems").value_or(0), most = count(s, "maxItems").value_or(-1);
    if (most >= 0 && most < least) refuse("maxItems {} is below minItems {}", most, least);
    if (!s.contains("prefixItems")) return list(s.contains("items") ? schema(s["items"], depth + 1) : value(), least, most);
    std::vector<Expression> parts;
    if (!s["prefixItems"].is_array() || s["prefixItems"].empty() || s.contains("minItems") || s.contains("maxItems") || (s.contains("items") && s["items"] != false))
      refuse("prefixItems needs a list of schemas, without minItems and maxItems, and items false or absent");
    for (const Json& item : s["prefixItems"]) {
      if (!parts.empty()) parts.push_back(comma());
      parts.push_back(schema(item, depth + 1));
    }
    return between('[', g_.sequence(parts), ']');
  }

  // The properties in order; those that are not required may be left out.
  Expression properties(const Json& s, int depth) {
    std::set<std::string> required;
    if (s.contains("required")) {
      if (!s["required"].is_array()) refuse("required is {}, expected a list", s["required"].dump());
      for (const Json& name : s["required"]) required.insert(name.is_string() ? name.get<std::string>() : name.dump());
    }
    if (!s.contains("properties") || s["properties"].empty()) {
      if (!required.empty()) refuse("required names {}, which is not among properties", *required.begin());
      if (s.contains("additionalProperties") && s["additionalProperties"] == false) return between('{', g_.sequence({}), '}');
      return s.contains("additionalProperties") ? map(schema(s["additionalProperties"], depth + 1)) : object();
    }
    if (!s["properties"].is_object()) refuse("properties is {}, expected an object", s["properties"].dump());
    std::vector<std::pair<Expression, bool>> pairs;
    for (const auto& [name, inner] : s["properties"].items()) {
      pairs.emplace_back(g_.sequence({g_.literal(Json(name).dump() + ":"), space_, schema(inner, depth + 1)}), required.erase(name) > 0);
    }
    if (!required.empty()) refuse("required names {}, which is not among properties", *required.begin());
    // after[i]: properties i and on when one has been written; first[i]: when none has.
    Expression after = g_.sequence({}), first = g_.sequence({});
    for (auto pair = pairs.rbegin(); pair != pairs.rend(); ++pair) {
      const Expression now = g_.sequence({pair->first, after}), later = g_.sequence({comma(), pair->first, after});
      first = pair->second ? now : g_.either({now, first});
      after = pair->second ? later : g_.either({later, after});
    }
    return between('{', first, '}');
  }

  Grammar& g_;
  const Json& root_;
  Expression space_, character_, string_, integer_, number_, value_ = -1;
  std::map<std::string, Expression> references_;
};

}  // namespace

Expression json_object(Grammar& grammar) { return Builder(grammar, Json()).object(); }
Expression json_schema(Grammar& grammar, const Json& schema) { return Builder(grammar, schema).schema(schema); }

}  // namespace mynah::text
