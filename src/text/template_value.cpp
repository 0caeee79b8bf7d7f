#include "text/template_value.h"

#include <algorithm>
#include <cmath>

#include "text/template_string.h"

namespace mynah::jinja {

Budget*& current_budget() {
  thread_local Budget* budget = nullptr;
  return budget;
}

void charge_step() {
  if (Budget* b = current_budget(); b && ++b->steps > kMaxSteps) raise("more than {} steps", kMaxSteps);
}

void charge(size_t bytes) {
  Budget* b = current_budget();
  if (!b) return;
  b->work += static_cast<int64_t>(bytes);
  if (b->work > kMaxWorkBytes) raise("more than {} bytes of values", kMaxWorkBytes);
}

void charge_text(const Value& v) {
  if (v.is(Kind::string)) charge(4 * v.text().size());  // walking through code points is slower than copying bytes
}

namespace {

// Refuses a container that is too long or too deep; `child` counts as one of its items.
void limit_items(size_t items) {
  if (items > kMaxItems) raise("a list of more than {} items", kMaxItems);
  charge(items * sizeof(Value));
}
void deepen(Object& container, const Value& child) {
  container.depth = std::max(container.depth, child.depth() + 1);
  if (container.depth > kMaxValueDepth) raise("lists nested more than {} deep", kMaxValueDepth);
}

constexpr size_t kIndexFrom = 12;  // a dict with fewer items is searched

}  // namespace

Value::Value(std::string text) : kind_(Kind::string), integer_(0) {
  if (text.size() > kMaxValueBytes) raise("a text of more than {} bytes", kMaxValueBytes);
  charge(text.size() + sizeof(StringObject));
  auto object = std::make_shared<StringObject>();
  object->code_points = count_code_points(text);
  object->text = std::move(text);
  object_ = std::move(object);
}

Value::Value(ListType type, std::vector<Value> items) : kind_(Kind::list), integer_(0) {
  limit_items(items.size());
  auto object = std::make_shared<ListObject>();
  object->type = type;
  for (const Value& item : items) deepen(*object, item);
  object->items = std::move(items);
  object_ = std::move(object);
}

Value::Value(std::shared_ptr<DictObject> dict) : kind_(Kind::dict), integer_(0), object_(std::move(dict)) {}

Value Value::undefined(std::string hint) {
  auto object = std::make_shared<UndefinedObject>();
  object->hint = std::move(hint);
  Value v;
  v.kind_ = Kind::undefined;
  v.object_ = std::move(object);
  return v;
}

bool Value::is_list(ListType type) const { return kind_ == Kind::list && list().type == type; }
const std::string& Value::text() const { return static_cast<StringObject*>(object_.get())->text; }
size_t Value::length() const { return static_cast<StringObject*>(object_.get())->code_points; }
ListObject& Value::list() const { return *static_cast<ListObject*>(object_.get()); }
DictObject& Value::dict() const { return *static_cast<DictObject*>(object_.get()); }
const std::string& Value::hint() const { return static_cast<UndefinedObject*>(object_.get())->hint; }

std::string_view ListObject::type_name() const {
  switch (type) {
    case ListType::list:
      return "list";
    case ListType::tuple:
      return "tuple";
    case ListType::group:
      return "_GroupTuple";
    case ListType::keys:
      return "dict_keys";
    case ListType::values:
      return "dict_values";
    case ListType::items:
      return "dict_items";
    case ListType::range:
      return "range";
    case ListType::iterator:
      return "generator";
  }
  return "list";
}

const Value* DictObject::find(const Value& key) const {
  require_hashable(key);
  if (items.size() > kIndexFrom) {
    const auto hit = index_.find(key);
    return hit == index_.end() ? nullptr : &items[hit->second].second;
  }
  for (const auto& [k, v] : items)
    if (equal(k, key)) return &v;
  return nullptr;
}

const Value* DictObject::find(std::string_view key) const {
  if (items.size() > kIndexFrom) return find(Value(key));
  for (const auto& [k, v] : items)
    if (k.is(Kind::string) && k.text() == key) return &v;
  return nullptr;
}

void DictObject::set(const Value& key, Value value) {
  deepen(*this, key);
  deepen(*this, value);
  if (const Value* old = find(key)) {
    *const_cast<Value*>(old) = std::move(value);
    return;
  }
  if (items.size() >= kMaxItems) raise("a dict of more than {} items", kMaxItems);
  charge(4 * sizeof(Value));
  items.emplace_back(key, std::move(value));
  if (items.size() == kIndexFrom + 1)
    for (size_t i = 0; i < items.size(); ++i) index_.emplace(items[i].first, i);
  else if (items.size() > kIndexFrom)
    index_.emplace(key, items.size() - 1);
}

const Value* unhashable_part(const Value& v) {
  if (v.is(Kind::dict)) return &v;
  if (!v.is(Kind::list) || v.is_list(ListType::range) || v.is_list(ListType::iterator)) return nullptr;
  if (!v.is_list(ListType::tuple) && !v.is_list(ListType::group)) return &v;
  for (const Value& item : v.list().items) {
    charge_step();
    if (const Value* part = unhashable_part(item)) return part;
  }
  return nullptr;
}

void require_hashable(const Value& v) {
  if (const Value* part = unhashable_part(v)) raise("unhashable type: '{}'", type_name(*part));
}

size_t ValueHash::operator()(const Value& v) const {
  switch (v.kind()) {
    case Kind::undefined:
      return 1;
    case Kind::none:
      return 2;
    case Kind::boolean:
    case Kind::integer:
    case Kind::real:
      return std::hash<double>()(v.real());  // 1, 1.0 and true are one key
    case Kind::string:
      charge(v.text().size());
      return std::hash<std::string>()(v.text());
    case Kind::list: {
      if (v.is_list(ListType::iterator)) return std::hash<const void*>()(v.object());
      size_t h = 3;
      for (const Value& item : v.list().items) {
        charge_step();
        h = h * 1000003 + (*this)(item);
      }
      return h;
    }
    default:
      return std::hash<const void*>()(v.object());
  }
}
bool ValueEqual::operator()(const Value& a, const Value& b) const { return equal(a, b); }

std::string_view type_name(const Value& v) {
  switch (v.kind()) {
    case Kind::none:
      return "NoneType";
    case Kind::boolean:
      return "bool";
    case Kind::integer:
      return "int";
    case Kind::real:
      return "float";
    default:
      return v.object()->type_name();
  }
}

void require_defined(const Value& v) {
  if (v.is(Kind::undefined)) raise("{}", v.hint());
}

bool truth(const Value& v) {
  switch (v.kind()) {
    case Kind::undefined:
    case Kind::none:
      return false;
    case Kind::boolean:
    case Kind::integer:
      return v.integer() != 0;
    case Kind::real:
      return v.real() != 0;
    case Kind::string:
      return !v.text().empty();
    case Kind::list:
      return v.list().type == ListType::iterator || !v.list().items.empty();
    case Kind::dict:
      return !v.dict().items.empty();
    case Kind::object:
      return true;
  }
  return true;
}

namespace {

// Exact also where an int has no double: long double holds every int64 on the machines we build for.
int compare_numbers(const Value& a, const Value& b) {
  if (a.is_integral() && b.is_integral()) return a.integer() < b.integer() ? -1 : a.integer() > b.integer();
  const auto wide = [](const Value& v) {
    return v.is(Kind::real) ? static_cast<long double>(v.real()) : static_cast<long double>(v.integer());
  };
  const long double x = wide(a), y = wide(b);
  if (std::isnan(x) || std::isnan(y)) return 2;
  return x < y ? -1 : x > y;
}

bool is_tuple(const ListObject& l) { return l.type == ListType::tuple || l.type == ListType::group; }
bool same_sequence_type(const ListObject& a, const ListObject& b) {
  return (is_tuple(a) && is_tuple(b)) || (a.type == b.type && (a.type == ListType::list || a.type == ListType::range));
}

bool equal_lists(const ListObject& a, const ListObject& b) {
  if (&a == &b) return true;
  if (a.type == ListType::keys && b.type == ListType::keys) {
    if (a.items.size() != b.items.size()) return false;
    return std::all_of(a.items.begin(), a.items.end(), [&](const Value& x) {
      return std::any_of(b.items.begin(), b.items.end(), [&](const Value& y) { return equal(x, y); });
    });
  }
  return same_sequence_type(a, b) && a.items.size() == b.items.size() &&
         std::equal(a.items.begin(), a.items.end(), b.items.begin(), equal);
}

bool equal_dicts(const DictObject& a, const DictObject& b) {
  if (a.items.size() != b.items.size()) return false;
  for (const auto& [key, value] : a.items) {
    const Value* other = b.find(key);
    if (!other || !equal(value, *other)) return false;
  }
  return true;
}

}  // namespace

bool equal(const Value& a, const Value& b) {
  charge_step();
  if (a.is_number() && b.is_number()) return compare_numbers(a, b) == 0;
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case Kind::string:
      if (a.text().size() != b.text().size()) return false;
      charge(a.text().size());
      return a.text() == b.text();
    case Kind::list:
      return equal_lists(a.list(), b.list());
    case Kind::dict:
      return equal_dicts(a.dict(), b.dict());
    case Kind::object:
      return a.object() == b.object();
    default:
      return true;
  }
}

bool less(const Value& a, const Value& b) {
  charge_step();
  require_defined(a);
  require_defined(b);
  if (a.is_number() && b.is_number()) return compare_numbers(a, b) == -1;
  if (a.is(Kind::string) && b.is(Kind::string)) {
    charge(std::min(a.text().size(), b.text().size()));
    return a.text() < b.text();
  }
  if (a.is(Kind::list) && b.is(Kind::list) && same_sequence_type(a.list(), b.list()) && !a.is_list(ListType::range)) {
    const auto &x = a.list().items, &y = b.list().items;
    for (size_t i = 0; i < std::min(x.size(), y.size()); ++i)
      if (!equal(x[i], y[i])) return less(x[i], y[i]);
    return x.size() < y.size();
  }
  raise("no order between '{}' and '{}'", type_name(a), type_name(b));
}

std::string to_text(const Value& v) {
  if (v.is(Kind::string)) return v.text();
  if (v.is(Kind::undefined)) return {};
  return repr(v);
}

std::vector<Value> iterate(const Value& v) {
  std::vector<Value> out;
  switch (v.kind()) {
    case Kind::undefined:
      return out;
    case Kind::string:
      limit_items(v.length());
      for (size_t at = 0; at < v.text().size();) {
        const size_t begin = at;
        next_code_point(v.text(), at);
        out.emplace_back(v.text().substr(begin, at - begin));
      }
      return out;
    case Kind::dict:
      charge(v.dict().items.size() * sizeof(Value));
      for (const auto& item : v.dict().items) out.push_back(item.first);
      return out;
    case Kind::list: {
      ListObject& list = v.list();
      charge(list.items.size() * sizeof(Value));
      if (list.type != ListType::iterator) return list.items;
      out.assign(list.items.begin() + static_cast<std::ptrdiff_t>(list.next), list.items.end());
      list.next = list.items.size();
      return out;
    }
    default:
      raise("'{}' object is not iterable", type_name(v));
  }
}

bool contains(const Value& container, const Value& x) {
  switch (container.kind()) {
    case Kind::string:
      if (!x.is(Kind::string)) {
        require_defined(x);
        raise("'in <string>' requires string as left operand, not {}", type_name(x));
      }
      return find(container.text(), x.text()) != std::string::npos;
    case Kind::dict:
      return container.dict().find(x) != nullptr;
    case Kind::list: {
      ListObject& list = container.list();
      size_t& at = list.next;
      if (list.type != ListType::iterator) at = 0;
      for (; at < list.items.size(); ++at)
        if (equal(list.items[at], x)) return ++at, true;
      return false;
    }
    case Kind::undefined:
      return false;
    default:
      raise("argument of type '{}' is not iterable", type_name(container));
  }
}

}  // namespace mynah::jinja
