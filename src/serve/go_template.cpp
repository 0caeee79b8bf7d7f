#include "serve/go_template.h"

#include <fmt/core.h>

#include <algorithm>
#include <ctime>
#include <map>

#include "base/json.h"
#include "base/require.h"
#include "serve/go_parser.h"

namespace mynah::serve {
namespace {

constexpr size_t kSteps = 1000000, kBytes = 4 << 20;

bool holds(const Json& v) {
  if (v.is_boolean()) return v.get<bool>();
  if (v.is_number()) return v.get<double>() != 0;
  if (v.is_string()) return !v.get_ref<const std::string&>().empty();
  return !v.is_null() && !v.empty();
}

// ToolCalls -> tool_calls; the data has the names of the API.
std::string plain_name(const std::string& field) {
  std::string out;
  for (size_t i = 0; i < field.size(); ++i) {
    const bool capital = field[i] >= 'A' && field[i] <= 'Z';
    const bool after_small = i > 0 && !(field[i - 1] >= 'A' && field[i - 1] <= 'Z');
    if (capital && after_small) out += '_';
    out += capital ? static_cast<char>(field[i] + 32) : field[i];
  }
  return out;
}

Json field_of(const Json& value, const std::string& name) {
  if (!value.is_object()) return nullptr;
  for (const std::string& key : {name, plain_name(name)})
    if (const auto it = value.find(key); it != value.end()) return *it;
  return nullptr;
}

std::string shown(const Json& v) {
  if (v.is_string()) return v.get<std::string>();
  if (v.is_null()) return "";
  if (v.is_number_float()) return fmt::format("{}", v.get<double>());
  return to_text(v);
}

// Equality and order as Go has them, with null for the empty value of any kind.
int compare(const Json& a, const Json& b) {
  if (a.is_number() && b.is_number()) return a.get<double>() < b.get<double>() ? -1 : a.get<double>() > b.get<double>();
  if (a.is_string() && b.is_string()) return a.get_ref<const std::string&>().compare(b.get_ref<const std::string&>());
  if (a.is_boolean() && b.is_boolean()) return a.get<bool>() - b.get<bool>();
  if (a.is_null() || b.is_null()) return holds(a) == holds(b) ? 0 : holds(a) ? 1 : -1;
  fail(ErrorCode::failure, "template: {} and {} cannot be compared", a.dump().substr(0, 40), b.dump().substr(0, 40));
}

size_t index_of(const Json& v, size_t limit) {
  if (!v.is_number_integer() || v.get<int64_t>() < 0 || v.get<uint64_t>() > limit)
    fail(ErrorCode::failure, "template: the index {} is out of range", v.dump().substr(0, 40));
  return v.get<size_t>();
}

std::string formatted(const std::vector<Json>& a) {
  const std::string pattern = shown(a.at(0));
  std::string out;
  size_t next = 1;
  for (size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] != '%' || i + 1 >= pattern.size()) {
      out += pattern[i];
      continue;
    }
    const char kind = pattern[++i];
    if (kind == '%') {
      out += '%';
      continue;
    }
    const Json value = next < a.size() ? a[next] : Json();
    ++next;
    out += kind == 'q' ? Json(shown(value)).dump() : shown(value);
  }
  return out;
}

std::string date(int days) {
  const std::time_t now = std::time(nullptr) + days * 86400;
  std::tm local{};
  localtime_r(&now, &local);
  char text[32];
  return {text, std::strftime(text, sizeof text, "%Y-%m-%d", &local)};
}

enum class Flow { on, leave, next, stop };

class Renderer {
 public:
  Renderer(const Json& data, bool cut) : root_(data), cut_(cut) {}

  std::string run(const GoNode& node) {
    list(node.body, root_);
    return std::move(out_);
  }

 private:
  void step() {
    if (++steps_ > kSteps) fail(ErrorCode::failure, "template: it runs for too long");
    if (out_.size() > kBytes) fail(ErrorCode::failure, "template: it makes more than {} bytes", kBytes);
  }

  Flow list(const std::vector<std::unique_ptr<GoNode>>& nodes, const Json& dot) {
    const size_t kept = variables_.size();
    Flow flow = Flow::on;
    for (const auto& node : nodes) {
      flow = one(*node, dot);
      if (flow != Flow::on) break;
    }
    variables_.resize(kept);
    return flow;
  }

  Flow one(const GoNode& n, const Json& dot) {
    step();
    if (cut_ && n.past_response) return Flow::stop;
    switch (n.kind) {
      case GoNode::Kind::text:
        out_ += n.text;
        return Flow::on;
      case GoNode::Kind::print:
        out_ += shown(value(n.pipeline, dot));
        return Flow::on;
      case GoNode::Kind::assign:
        set(n, value(n.pipeline, dot));
        return Flow::on;
      case GoNode::Kind::leave:
        return Flow::leave;
      case GoNode::Kind::next:
        return Flow::next;
      case GoNode::Kind::list:
        return list(n.body, dot);
      case GoNode::Kind::branch:
      case GoNode::Kind::with: {
        const size_t kept = variables_.size();
        const Json v = value(n.pipeline, dot);
        if (!n.first.empty()) set(n, v);
        const Flow flow = holds(v) ? list(n.body, n.kind == GoNode::Kind::with ? v : dot) : list(n.otherwise, dot);
        variables_.resize(kept);
        return flow;
      }
      case GoNode::Kind::range:
        return range(n, dot);
    }
    return Flow::on;
  }

  Flow range(const GoNode& n, const Json& dot) {
    const Json all = value(n.pipeline, dot);
    if (!holds(all)) return list(n.otherwise, dot);
    const size_t kept = variables_.size();
    const auto each = [&](const Json& key, const Json& item) {
      step();
      variables_.resize(kept);
      if (!n.second.empty()) variables_.emplace_back(n.first, key);
      if (!n.first.empty()) variables_.emplace_back(n.second.empty() ? n.first : n.second, item);
      return list(n.body, item);
    };
    Flow flow = Flow::on;
    if (all.is_object()) {
      for (const auto& [key, item] : all.items())
        if (flow = each(key, item); flow == Flow::leave || flow == Flow::stop) break;
    } else if (all.is_array()) {
      for (size_t i = 0; i < all.size(); ++i)
        if (flow = each(i, all[i]); flow == Flow::leave || flow == Flow::stop) break;
    } else if (all.is_number_integer()) {
      for (int64_t i = 0; i < all.get<int64_t>(); ++i)
        if (flow = each(i, i); flow == Flow::leave || flow == Flow::stop) break;
    } else {
      fail(ErrorCode::failure, "template: range over what is no list");
    }
    variables_.resize(kept);
    return flow == Flow::stop ? Flow::stop : Flow::on;
  }

  void set(const GoNode& n, const Json& v) {
    if (n.declares) {
      variables_.emplace_back(n.first, v);
      return;
    }
    for (auto it = variables_.rbegin(); it != variables_.rend(); ++it)
      if (it->first == n.first) {
        it->second = v;
        return;
      }
    fail(ErrorCode::failure, "template: the variable {} is not declared", n.first);
  }

  Json value(const GoPipeline& p, const Json& dot) {
    Json result;
    for (size_t i = 0; i < p.commands.size(); ++i) result = command(p.commands[i], dot, i > 0 ? &result : nullptr);
    return result;
  }

  Json command(const std::vector<GoOperand>& words, const Json& dot, const Json* piped) {
    step();
    const GoOperand& first = words[0];
    if (first.kind != GoOperand::Kind::function) {
      if (words.size() > 1 || piped) fail(ErrorCode::failure, "template: what is no function has arguments");
      return operand(first, dot);
    }
    const std::string& name = first.name;
    if (name == "and" || name == "or") {  // the rest is looked at only where it matters
      Json v;
      for (size_t i = 1; i < words.size(); ++i) {
        v = operand(words[i], dot);
        if (holds(v) == (name == "or")) return v;
      }
      return piped ? *piped : v;
    }
    std::vector<Json> a;
    for (size_t i = 1; i < words.size(); ++i) a.push_back(operand(words[i], dot));
    if (piped) a.push_back(*piped);
    return call(name, a);
  }

  static Json call(const std::string& name, const std::vector<Json>& a) {
    const auto need = [&](size_t count) {
      if (a.size() < count)
        fail(ErrorCode::failure, "template: {} has {} arguments, expected {}", name, a.size(), count);
    };
    if (name == "currentDate") return date(0);
    if (name == "yesterdayDate") return date(-1);
    if (name == "print" || name == "println") {
      std::string text;
      for (const Json& v : a) text += shown(v);
      return text + (name == "println" ? "\n" : "");
    }
    need(1);
    if (name == "not") return !holds(a[0]);
    if (name == "len")
      return a[0].is_string() ? a[0].get_ref<const std::string&>().size() : a[0].is_null() ? 0 : a[0].size();
    if (name == "json") return to_text(a[0]);
    if (name == "printf") return formatted(a);
    if (name == "index") {
      Json v = a[0];
      for (size_t i = 1; i < a.size(); ++i)
        v = v.is_object()                ? field_of(v, shown(a[i]))
            : v.is_array() && !v.empty() ? Json(v[index_of(a[i], v.size() - 1)])
                                         : Json();
      return v;
    }
    if (name == "slice") {
      const bool text = a[0].is_string();
      const size_t size = text ? a[0].get_ref<const std::string&>().size() : a[0].is_array() ? a[0].size() : 0;
      const size_t from = a.size() > 1 ? index_of(a[1], size) : 0, to = a.size() > 2 ? index_of(a[2], size) : size;
      if (from > to) fail(ErrorCode::failure, "template: a slice ends before it begins");
      if (text) return a[0].get_ref<const std::string&>().substr(from, to - from);
      Json part = Json::array();
      for (size_t i = from; i < to; ++i) part.push_back(a[0][i]);
      return part;
    }
    need(2);
    if (name == "eq")
      return std::any_of(a.begin() + 1, a.end(), [&](const Json& other) { return compare(a[0], other) == 0; });
    if (name == "ne") return compare(a[0], a[1]) != 0;
    if (name == "lt") return compare(a[0], a[1]) < 0;
    if (name == "le") return compare(a[0], a[1]) <= 0;
    if (name == "gt") return compare(a[0], a[1]) > 0;
    if (name == "ge") return compare(a[0], a[1]) >= 0;
    fail(ErrorCode::failure, "template: the function \"{}\" does not exist", name);
  }

  Json operand(const GoOperand& o, const Json& dot) {
    Json v;
    switch (o.kind) {
      case GoOperand::Kind::dot:
        v = dot;
        break;
      case GoOperand::Kind::constant:
        return o.value;
      case GoOperand::Kind::pipeline:
        v = value(*o.inner, dot);
        break;
      case GoOperand::Kind::function:
        v = call(o.name, {});
        break;
      case GoOperand::Kind::variable: {
        if (o.name == "$") {
          v = root_;
          break;
        }
        const auto it =
            std::find_if(variables_.rbegin(), variables_.rend(), [&](const auto& x) { return x.first == o.name; });
        if (it == variables_.rend()) fail(ErrorCode::failure, "template: the variable {} is not declared", o.name);
        v = it->second;
        break;
      }
    }
    for (const auto& field : o.fields) v = field_of(v, field);
    return v;
  }

  const Json& root_;
  const bool cut_;
  std::string out_;
  std::vector<std::pair<std::string, Json>> variables_;
  size_t steps_ = 0;
};

bool names_field(const GoOperand& o, std::string_view field);
bool names_field(const GoPipeline& p, std::string_view field) {
  return std::any_of(p.commands.begin(), p.commands.end(), [&](const auto& command) {
    return std::any_of(command.begin(), command.end(), [&](const GoOperand& o) { return names_field(o, field); });
  });
}
bool names_field(const GoOperand& o, std::string_view field) {
  return std::find(o.fields.begin(), o.fields.end(), field) != o.fields.end() ||
         (o.inner && names_field(*o.inner, field));
}
bool names_field(const GoNode& n, std::string_view field) {
  if (names_field(n.pipeline, field)) return true;
  for (const auto* list : {&n.body, &n.otherwise})
    for (const auto& node : *list)
      if (names_field(*node, field)) return true;
  return false;
}

}  // namespace

GoTemplate::~GoTemplate() = default;

std::shared_ptr<const GoTemplate> GoTemplate::parse(std::string_view text, const std::string& where) {
  auto made = std::shared_ptr<GoTemplate>(new GoTemplate());
  std::vector<std::string> fields;
  // A template that never says where the answer goes has it at its end.
  std::string whole(text);
  made->root_ = parse_go_template(whole, where, &fields);
  const auto has = [&](const char* name) { return std::find(fields.begin(), fields.end(), name) != fields.end(); };
  if (!has("Messages") && !has("Response")) {
    whole += "{{ .Response }}";
    made->root_ = parse_go_template(whole, where, &fields);
  }
  return made;
}

bool GoTemplate::uses(std::string_view field) const { return names_field(*root_, field); }

std::string GoTemplate::render(const Json& data, bool cut_at_response) const {
  return Renderer(data, cut_at_response).run(*root_);
}

std::string GoTemplate::fill_in(const std::string& prompt, const std::string& suffix) const {
  return render({{"Prompt", prompt}, {"Suffix", suffix}, {"Response", ""}}, false);
}

std::string GoTemplate::prompt(const Json& messages, const Json& tools, const Json& think) const {
  Json common = {{"Tools", tools.is_array() ? tools : Json::array()},
                 {"Think", think.is_string() || (think.is_boolean() && think.get<bool>())},
                 {"ThinkLevel", think.is_string() ? think : Json("")},
                 {"IsThinkSet", !think.is_null()},
                 {"Response", ""}};
  // Neighbours of one role become one message.
  Json all = Json::array();
  std::string system;
  for (const Json& m : messages) {
    const std::string role = m.value("role", ""), content = m.value("content", "");
    if (role == "system") system += (system.empty() ? "" : "\n\n") + content;
    if (!all.empty() && all.back()["role"] == role && !m.contains("tool_calls") && role != "tool") {
      if (!content.empty()) all.back()["content"] = all.back()["content"].get<std::string>() + "\n\n" + content;
      continue;
    }
    Json one = m;
    if (m.contains("reasoning_content")) one["thinking"] = m["reasoning_content"];
    if (m.contains("name")) one["tool_name"] = m["name"];
    all.push_back(std::move(one));
  }
  if (uses("Messages")) {
    common["System"] = system;
    common["Messages"] = all;
    return render(common, false);
  }
  std::string out, prompt, response;
  system.clear();
  const auto data = [&] {
    Json d = common;
    d["System"] = system;
    d["Prompt"] = prompt;
    d["Response"] = response;
    return d;
  };
  const auto turn = [&] {
    out += render(data(), false);
    system.clear();
    prompt.clear();
    response.clear();
  };
  for (const Json& m : all) {
    const std::string role = m.value("role", ""), content = m.value("content", "");
    if (role == "system") {
      if (!prompt.empty() || !response.empty()) turn();
      system = content;
    } else if (role == "user") {
      if (!response.empty()) turn();
      prompt = content;
    } else if (role == "assistant") {
      response = content;
    }
  }
  return out + render(data(), true) + response;
}

}  // namespace mynah::serve
