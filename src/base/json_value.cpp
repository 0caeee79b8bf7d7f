// The JSON value: storage, access and conversion. Text in and out: json_text.cpp.
#include <algorithm>
#include <functional>

#include "base/json_object.h"

namespace mynah {
namespace {

const Json kNull;

const char* name_of(Json::value_t type) {
  switch (type) {
    case Json::value_t::null: return "null";
    case Json::value_t::object: return "object";
    case Json::value_t::array: return "array";
    case Json::value_t::string: return "string";
    case Json::value_t::boolean: return "boolean";
    case Json::value_t::binary: return "binary";
    case Json::value_t::discarded: return "discarded";
    default: return "number";
  }
}

}  // namespace

Json::Member* Json::Object::find(std::string_view key) {
  if (places_.empty()) {
    for (Member& member : members_)
      if (member.key == key) return &member;
    return nullptr;
  }
  const uint32_t place = places_[slot_of(key)];
  return place == kFree ? nullptr : &members_[place];
}

Json& Json::Object::add(std::string_view key) {
  members_.push_back({std::string(key), Json()});
  if (members_.size() * 2 > places_.size()) index();
  else places_[slot_of(key)] = static_cast<uint32_t>(members_.size() - 1);
  return members_.back().value;
}

void Json::Object::erase(size_t at) {
  members_.erase(members_.begin() + static_cast<std::ptrdiff_t>(at));
  index();
}

size_t Json::Object::slot_of(std::string_view key) const {
  size_t slot = std::hash<std::string_view>()(key) & (places_.size() - 1);
  while (places_[slot] != kFree && members_[places_[slot]].key != key) slot = (slot + 1) & (places_.size() - 1);
  return slot;
}

void Json::Object::index() {
  places_.clear();
  if (members_.size() < kIndexed) return;
  size_t slots = 4 * kIndexed;
  while (slots < 4 * members_.size()) slots *= 2;
  places_.assign(slots, kFree);
  for (size_t i = 0; i < members_.size(); ++i) places_[slot_of(members_[i].key)] = static_cast<uint32_t>(i);
}

Json::Json(value_t type) : type_(type) {
  switch (type) {
    case value_t::object: data_.object = new Object; break;
    case value_t::array: data_.array = new std::vector<Json>; break;
    case value_t::string: data_.text = new std::string; break;
    case value_t::binary: data_.binary = new Binary; break;
    default: break;
  }
}
Json::Json(const char* text) : Json(std::string(text)) {}
Json::Json(std::string text) : type_(value_t::string) { data_.text = new std::string(std::move(text)); }
Json::Json(std::string_view text) : Json(std::string(text)) {}
Json::Json(std::vector<Json> values) : type_(value_t::array) { data_.array = new std::vector<Json>(std::move(values)); }

Json::Json(Items items) {
  const bool pairs = std::all_of(items.begin(), items.end(), [](const Item& item) {
    return item.value_.is_array() && item.value_.size() == 2 && item.value_.list()[0].is_string();
  });
  *this = pairs ? object(items) : array(items);
}

Json Json::array(Items items) {
  Json out(value_t::array);
  out.data_.array->reserve(items.size());
  for (const Item& item : items) out.data_.array->push_back(std::move(item.value_));
  return out;
}

Json Json::object(Items items) {
  Json out(value_t::object);
  for (const Item& item : items) {
    if (!item.value_.is_array() || item.value_.size() != 2 || !item.value_.list()[0].is_string()) wrong_shape("expected pairs of a key and a value");
    out.emplace(item.value_.list()[0].text(), std::move(item.value_[1]));
  }
  return out;
}

Json Json::binary(Binary bytes) {
  Json out(value_t::binary);
  *out.data_.binary = std::move(bytes);
  return out;
}

Json::Json(const Json& other) : data_(other.data_), type_(other.type_) {
  switch (type_) {
    case value_t::object: data_.object = new Object(*other.data_.object); break;
    case value_t::array: data_.array = new std::vector<Json>(*other.data_.array); break;
    case value_t::string: data_.text = new std::string(*other.data_.text); break;
    case value_t::binary: data_.binary = new Binary(*other.data_.binary); break;
    default: break;
  }
}

void Json::clear_all() noexcept {
  switch (type_) {
    case value_t::object: delete data_.object; break;
    case value_t::array: delete data_.array; break;
    case value_t::string: delete data_.text; break;
    case value_t::binary: delete data_.binary; break;
    default: break;
  }
  data_ = {};
  type_ = value_t::null;
}

void Json::wrong_type(const char* expected) const { throw exception(std::string("got ") + type_name() + ", expected " + expected); }
void Json::wrong_shape(const char* what) { throw exception(what); }

const char* Json::type_name() const { return name_of(type_); }

const std::string& Json::text() const {
  if (!is_string()) wrong_type("string");
  return *data_.text;
}
bool Json::truth() const {
  if (!is_boolean()) wrong_type("boolean");
  return data_.boolean;
}
const std::vector<Json>& Json::list() const {
  if (!is_array()) wrong_type("array");
  return *data_.array;
}
const Json::Binary& Json::get_binary() const {
  if (!is_binary()) wrong_type("binary");
  return *data_.binary;
}

// A number outside T becomes infinity of T: a cast would be undefined.
double Json::real(double lowest, double highest) const {
  switch (type_) {
    case value_t::number_integer: return static_cast<double>(data_.integer);
    case value_t::number_unsigned: return static_cast<double>(data_.natural);
    case value_t::number_float:
      if (data_.real < lowest) return -std::numeric_limits<double>::infinity();
      if (data_.real > highest) return std::numeric_limits<double>::infinity();
      return data_.real;
    default: wrong_type("number");
  }
}

int64_t Json::integer() const {
  switch (type_) {
    case value_t::number_integer: return data_.integer;
    case value_t::number_unsigned: return static_cast<int64_t>(data_.natural);
    case value_t::number_float:
      if (!(data_.real >= -0x1p63 && data_.real < 0x1p63)) return data_.real < 0 ? INT64_MIN : INT64_MAX;
      return static_cast<int64_t>(data_.real);
    default: wrong_type("number");
  }
}

uint64_t Json::natural() const {
  if (type_ == value_t::number_unsigned) return data_.natural;
  if (type_ == value_t::number_float && data_.real >= 0x1p63 && data_.real < 0x1p64) return static_cast<uint64_t>(data_.real);
  return static_cast<uint64_t>(integer());
}

size_t Json::size() const {
  switch (type_) {
    case value_t::null: return 0;
    case value_t::object: return data_.object->members().size();
    case value_t::array: return data_.array->size();
    default: return 1;
  }
}

bool Json::contains(std::string_view key) const { return is_object() && data_.object->find(key); }

const Json* Json::look_up(std::string_view key) const {
  if (!is_object()) wrong_type("object");
  const Member* found = data_.object->find(key);
  return found ? &found->value : nullptr;
}

const Json& Json::at(std::string_view key) const {
  const Json* found = look_up(key);
  if (!found) throw exception("key '" + std::string(key) + "' not found");
  return *found;
}
Json& Json::at(std::string_view key) { return const_cast<Json&>(std::as_const(*this).at(key)); }

Json& Json::operator[](std::string_view key) {
  if (is_null()) *this = object();
  if (const Json* found = look_up(key)) return const_cast<Json&>(*found);
  return data_.object->add(key);
}
const Json& Json::operator[](std::string_view key) const {
  const Json* found = look_up(key);
  return found ? *found : kNull;
}

Json& Json::element(size_t index) {
  if (index >= list().size()) throw exception("index " + std::to_string(index) + " of an array of " + std::to_string(size()));
  return (*data_.array)[index];
}

Json& Json::grown(size_t index) {
  std::vector<Json>& values = own_list();
  if (index >= values.size()) values.resize(index + 1);
  return values[index];
}

std::vector<Json>& Json::own_list() {
  if (is_null()) *this = array();
  if (!is_array()) wrong_type("array");
  return *data_.array;
}

Json& Json::back() {
  if (empty()) wrong_shape("the last element of an empty value");
  return *(end() - 1);
}

void Json::push_back(Json value) { own_list().push_back(std::move(value)); }

std::pair<Json::iterator, bool> Json::emplace(std::string_view key, Json value) {
  if (is_null()) *this = object();
  if (look_up(key)) return {find(key), false};
  data_.object->add(key) = std::move(value);
  return {end() - 1, true};
}

void Json::update(const Json& members) {
  if (!members.is_object()) members.wrong_type("object");
  for (const auto& [key, value] : members.items()) (*this)[key] = value;
}

Json::iterator Json::insert(const_iterator before, Json value) {
  const auto at = before - std::as_const(*this).begin();
  std::vector<Json>& values = own_list();
  values.insert(values.begin() + at, std::move(value));
  return begin() + at;
}

size_t Json::erase(std::string_view key) {
  const auto at = find(key);
  if (at == end()) return 0;
  data_.object->erase(static_cast<size_t>(at - begin()));
  return 1;
}

void Json::erase_element(size_t index) {
  element(index);
  data_.array->erase(data_.array->begin() + static_cast<std::ptrdiff_t>(index));
}

Json::iterator Json::find(std::string_view key) {
  Member* found = is_object() ? data_.object->find(key) : nullptr;
  return found ? iterator(found) : end();
}

// What is no structure is walked as an array of itself.
Json::iterator Json::begin() {
  if (is_object()) return iterator(data_.object->members().data());
  if (is_array()) return iterator(data_.array->data());
  return iterator(this);
}
Json::iterator Json::end() { return begin() + static_cast<std::ptrdiff_t>(size()); }

std::span<Json::Member> Json::items() {
  if (!is_object()) return {};
  return data_.object->members();
}

bool Json::equal(const Json& a, const Json& b) {
  if (a.is_number() && b.is_number()) {
    if (a.is_number_float() || b.is_number_float()) return a.get<double>() == b.get<double>();
    const auto negative = [](const Json& v) { return v.type_ == value_t::number_integer && v.data_.integer < 0; };
    return negative(a) == negative(b) && a.data_.natural == b.data_.natural;
  }
  if (a.type_ != b.type_) return false;
  switch (a.type_) {
    case value_t::object:
      return std::equal(a.items().begin(), a.items().end(), b.items().begin(), b.items().end(),
                        [](const Member& x, const Member& y) { return x.key == y.key && x.value == y.value; });
    case value_t::array: return *a.data_.array == *b.data_.array;
    case value_t::string: return *a.data_.text == *b.data_.text;
    case value_t::boolean: return a.data_.boolean == b.data_.boolean;
    case value_t::binary: return *a.data_.binary == *b.data_.binary;
    case value_t::discarded: return false;
    default: return true;
  }
}

}  // namespace mynah
