// A JSON value: what nlohmann-json's ordered_json is to its users, by the same names, in a header that costs a tenth of its compile
// time (three files in four include this one). Reading text is nlohmann-json's work, see src/base/json_text.cpp.
//
//   Json answer = {{"label", "cat"}, {"scores", {0.9, 0.1}}};
//   for (const auto& [key, value] : answer.items()) ...
//   auto label = answer.at("label").get<std::string>();
//   double limit = options.value("limit", 0.5);
#pragma once
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <initializer_list>
#include <iosfwd>
#include <iterator>
#include <limits>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace mynah {

class Json;
struct JsonMember;

// Walks the values of an array or an object; key() is of an object's.
template <bool Const>
class JsonIterator {
 public:
  using Value = std::conditional_t<Const, const Json, Json>;
  using Entry = std::conditional_t<Const, const JsonMember, JsonMember>;
  using iterator_category = std::random_access_iterator_tag;
  using value_type = Json;
  using difference_type = std::ptrdiff_t;
  using pointer = Value*;
  using reference = Value&;

  JsonIterator() = default;
  explicit JsonIterator(Value* element) : element_(element) {}
  explicit JsonIterator(Entry* member) : member_(member) {}
  template <bool Other>
    requires(Const && !Other)
  JsonIterator(const JsonIterator<Other>& other) : element_(other.element_), member_(other.member_) {}

  reference operator*() const { return member_ ? member_->value : *element_; }
  pointer operator->() const { return &**this; }
  reference operator[](difference_type n) const { return *(*this + n); }
  const std::string& key() const { return member_->key; }
  reference value() const { return **this; }

  JsonIterator& operator+=(difference_type n) {
    if (member_) member_ += n;
    else element_ += n;
    return *this;
  }
  JsonIterator& operator-=(difference_type n) { return *this += -n; }
  JsonIterator& operator++() { return *this += 1; }
  JsonIterator& operator--() { return *this += -1; }
  JsonIterator operator++(int) {
    JsonIterator before = *this;
    ++*this;
    return before;
  }
  JsonIterator operator--(int) {
    JsonIterator before = *this;
    --*this;
    return before;
  }
  friend JsonIterator operator+(JsonIterator i, difference_type n) { return i += n; }
  friend JsonIterator operator+(difference_type n, JsonIterator i) { return i += n; }
  friend JsonIterator operator-(JsonIterator i, difference_type n) { return i -= n; }
  friend difference_type operator-(const JsonIterator& a, const JsonIterator& b) { return a.member_ ? a.member_ - b.member_ : a.element_ - b.element_; }
  friend bool operator==(const JsonIterator& a, const JsonIterator& b) = default;
  friend auto operator<=>(const JsonIterator& a, const JsonIterator& b) { return (a - b) <=> 0; }

 private:
  friend class Json;
  template <bool>
  friend class JsonIterator;
  Value* element_ = nullptr;
  Entry* member_ = nullptr;
};

template <class T>
concept JsonScalar = std::is_arithmetic_v<T>;

// The types that get<T>() can give beside scalars, texts and Json itself.
template <class T>
inline constexpr bool is_json_list = false;
template <class T>
inline constexpr bool is_json_list<std::vector<T>> = true;
template <class T>
inline constexpr bool is_json_map = false;
template <class T>
inline constexpr bool is_json_map<std::map<std::string, T>> = true;
template <class T>
inline constexpr bool is_json_pair = false;
template <class A, class B>
inline constexpr bool is_json_pair<std::pair<A, B>> = true;

class Json {
 public:
  enum class value_t : uint8_t { null, object, array, string, boolean, number_integer, number_unsigned, number_float, binary, discarded };
  // What dump does with text that is not UTF-8: an exception, or U+FFFD in the place of each broken sequence.
  enum class error_handler_t : uint8_t { strict, replace };

  // Thrown for a value of another type than was asked for, a missing key or place, text that is no JSON.
  class exception : public std::exception {
   public:
    explicit exception(std::string what) : what_(std::move(what)) {}
    const char* what() const noexcept override { return what_.c_str(); }

   private:
    std::string what_;
  };
  class parse_error : public exception {
   public:
    parse_error(size_t at, bool big, std::string what) : exception(std::move(what)), byte(at), overflow(big) {}
    size_t byte;    // where reading stopped, from 1
    bool overflow;  // a number that no type can hold
  };

  using Member = JsonMember;
  class Object;  // members in the order they were added, found by key
  using iterator = JsonIterator<false>;
  using const_iterator = JsonIterator<true>;
  class Item;
  using Items = std::initializer_list<Item>;
  using Binary = std::vector<uint8_t>;
  // For the assertions of test frameworks that look for them.
  using value_type = Json;
  using reference = Json&;
  using const_reference = const Json&;
  using size_type = size_t;
  using difference_type = std::ptrdiff_t;

  Json() = default;
  Json(std::nullptr_t) {}
  Json(value_t type);  // the empty value of a type
  template <std::same_as<bool> B>
  Json(B value) : type_(value_t::boolean) {
    data_.boolean = value;
  }
  template <std::integral I>
    requires(!std::same_as<I, bool>)
  Json(I value) : type_(std::is_signed_v<I> ? value_t::number_integer : value_t::number_unsigned) {
    if constexpr (std::is_signed_v<I>) data_.integer = value;
    else data_.natural = value;
  }
  template <std::floating_point F>
  Json(F value) : type_(value_t::number_float) {
    data_.real = static_cast<double>(value);
  }
  template <class E>
    requires std::is_enum_v<E>
  Json(E value) : Json(static_cast<std::underlying_type_t<E>>(value)) {}
  Json(const char* text);
  Json(std::string text);
  Json(std::string_view text);
  Json(std::vector<Json> values);
  template <class T>
    requires(!std::same_as<T, Json>)
  Json(const std::vector<T>& values) : Json(value_t::array) {
    take(values);
  }
  template <class T, size_t N>
  Json(std::span<T, N> values) : Json(value_t::array) {
    take(values);
  }
  template <class K, class T>
    requires std::convertible_to<K, std::string_view>
  Json(const std::map<K, T>& values) : Json(value_t::object) {
    for (const auto& [key, value] : values) (*this)[std::string_view(key)] = Json(value);
  }
  template <class A, class B>
  Json(const std::pair<A, B>& pair) : Json(value_t::array) {
    push_back(Json(pair.first)), push_back(Json(pair.second));
  }
  // An object if every item is a pair that begins with a text, otherwise an array.
  Json(Items items);
  Json(const Json& other);
  Json(Json&& other) noexcept : data_(other.data_), type_(other.type_) { other.type_ = value_t::null; }
  Json& operator=(Json other) noexcept {
    swap(other);
    return *this;
  }
  ~Json() {
    if (type_ != value_t::null) clear_all();
  }
  void swap(Json& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(type_, other.type_);
  }
  friend void swap(Json& a, Json& b) noexcept { a.swap(b); }

  static Json object() { return Json(value_t::object); }
  static Json array() { return Json(value_t::array); }
  static Json object(Items items);
  static Json array(Items items);
  static Json binary(Binary bytes);
  // UTF-8 JSON, at most 1000 deep; a key that comes twice keeps its place and takes the later value. Without `exceptions`, text that
  // is no JSON gives a value for which is_discarded(). parse_json (src/base/json.h) names its source and takes less depth.
  static Json parse(std::string_view text, std::nullptr_t callback = nullptr, bool exceptions = true);
  static bool accept(std::string_view text);
  // `indent` < 0: one line without blanks; `ascii`: escapes for all that is not ASCII.
  std::string dump(int indent = -1, char blank = ' ', bool ascii = false, error_handler_t broken = error_handler_t::strict) const;

  value_t type() const { return type_; }
  const char* type_name() const;
  bool is_null() const { return type_ == value_t::null; }
  bool is_object() const { return type_ == value_t::object; }
  bool is_array() const { return type_ == value_t::array; }
  bool is_structured() const { return is_object() || is_array(); }
  bool is_string() const { return type_ == value_t::string; }
  bool is_boolean() const { return type_ == value_t::boolean; }
  bool is_number() const { return is_number_integer() || is_number_float(); }
  bool is_number_integer() const { return type_ == value_t::number_integer || type_ == value_t::number_unsigned; }
  bool is_number_unsigned() const { return type_ == value_t::number_unsigned; }
  bool is_number_float() const { return type_ == value_t::number_float; }
  bool is_binary() const { return type_ == value_t::binary; }
  bool is_discarded() const { return type_ == value_t::discarded; }

  // The value as T: bool, any number (truncated as a cast does), std::string, Json, and vectors, pairs and maps from texts of them.
  template <class T>
  T get() const;
  template <class Ref>
  Ref get_ref() const
    requires std::same_as<Ref, const std::string&>
  {
    return text();
  }
  const Binary& get_binary() const;
  template <class T>
    requires(JsonScalar<T> && !std::same_as<T, char>) || std::same_as<T, std::string> || is_json_list<T> || is_json_map<T>
  operator T() const {
    return get<T>();
  }

  size_t size() const;   // members; 0 for null, 1 for what is no structure
  bool empty() const { return size() == 0; }
  bool contains(std::string_view key) const;
  Json& at(std::string_view key);
  const Json& at(std::string_view key) const;
  Json& operator[](std::string_view key);              // null becomes an object; adds the key
  const Json& operator[](std::string_view key) const;  // null if there is no such key
  template <std::integral I>
  Json& at(I index) {
    return element(static_cast<size_t>(index));
  }
  template <std::integral I>
  const Json& at(I index) const {
    return element(static_cast<size_t>(index));
  }
  template <std::integral I>
  Json& operator[](I index) {
    return grown(static_cast<size_t>(index));  // null becomes an array; adds nulls up to the index
  }
  template <std::integral I>
  const Json& operator[](I index) const {
    return element(static_cast<size_t>(index));
  }
  Json& front() { return *begin(); }
  const Json& front() const { return *begin(); }
  Json& back();
  const Json& back() const { return const_cast<Json*>(this)->back(); }
  // The member, or `otherwise` if there is none; of the type of `otherwise`.
  template <class T>
  T value(std::string_view key, const T& otherwise) const {
    const Json* found = look_up(key);
    return found ? found->get<T>() : otherwise;
  }
  std::string value(std::string_view key, const char* otherwise) const { return value(key, std::string(otherwise)); }

  void push_back(Json value);
  Json& emplace_back(Json value) {
    push_back(std::move(value));
    return back();
  }
  // Adds the member if there is none of that key; tells whether it did.
  std::pair<iterator, bool> emplace(std::string_view key, Json value);
  void update(const Json& members);
  iterator insert(const_iterator before, Json value);
  size_t erase(std::string_view key);
  template <std::integral I>
  void erase(I index) {
    erase_element(static_cast<size_t>(index));
  }

  iterator find(std::string_view key);
  const_iterator find(std::string_view key) const;
  iterator begin();
  iterator end();
  const_iterator begin() const { return const_cast<Json*>(this)->begin(); }
  const_iterator end() const { return const_cast<Json*>(this)->end(); }
  // Members of an object; nothing for other values.
  std::span<Member> items();
  std::span<const Member> items() const { return const_cast<Json*>(this)->items(); }

  friend bool operator==(const Json& a, const Json& b) { return equal(a, b); }
  template <JsonScalar T>
  friend bool operator==(const Json& a, T b) {
    return equal(a, Json(b));
  }
  friend bool operator==(const Json& a, const char* b) { return a.is_string() && a.text() == b; }
  friend bool operator==(const Json& a, const std::string& b) { return a.is_string() && a.text() == b; }
  friend bool operator==(const Json& a, std::nullptr_t) { return a.is_null(); }
  friend std::ostream& operator<<(std::ostream& out, const Json& value);

 private:
  template <class Range>
  void take(const Range& values) {
    for (auto&& value : values) {
      if constexpr (std::same_as<std::remove_cvref_t<decltype(value)>, bool> || std::same_as<std::remove_cvref_t<decltype(value)>, std::vector<bool>::reference>)
        push_back(Json(static_cast<bool>(value)));
      else
        push_back(Json(value));
    }
  }
  static bool equal(const Json& a, const Json& b);
  void clear_all() noexcept;
  const std::string& text() const;
  bool truth() const;
  double real(double lowest, double highest) const;  // any number
  int64_t integer() const;                            // any number; a fraction is cut off
  uint64_t natural() const;
  const std::vector<Json>& list() const;
  const Json* look_up(std::string_view key) const;  // the value must be an object
  Json& element(size_t index);
  const Json& element(size_t index) const { return const_cast<Json*>(this)->element(index); }
  Json& grown(size_t index);
  void erase_element(size_t index);
  std::vector<Json>& own_list();
  [[noreturn]] void wrong_type(const char* expected) const;
  [[noreturn]] static void wrong_shape(const char* what);

  union Data {
    bool boolean;
    int64_t integer;
    uint64_t natural;
    double real;
    std::string* text;
    std::vector<Json>* array;
    Object* object;
    Binary* binary;
  };
  Data data_{};
  value_t type_ = value_t::null;
};

struct JsonMember {
  std::string key;
  Json value;
};

// One item of a braced list: anything that makes a Json, handed on without a copy.
class Json::Item {
 public:
  template <class T>
    requires std::constructible_from<Json, T>
  Item(T&& value) : value_(std::forward<T>(value)) {}
  Item(Items items) : value_(items) {}

 private:
  friend class Json;
  mutable Json value_;  // std::initializer_list shows its items as const only
};

inline Json::const_iterator Json::find(std::string_view key) const { return const_cast<Json*>(this)->find(key); }

template <class T>
T Json::get() const {
  if constexpr (std::same_as<T, Json>) {
    return *this;
  } else if constexpr (std::same_as<T, bool>) {
    return truth();
  } else if constexpr (std::floating_point<T>) {
    return static_cast<T>(real(std::numeric_limits<T>::lowest(), std::numeric_limits<T>::max()));
  } else if constexpr (std::unsigned_integral<T>) {
    return static_cast<T>(natural());
  } else if constexpr (std::integral<T>) {
    return static_cast<T>(integer());
  } else if constexpr (std::same_as<T, std::string>) {
    return text();
  } else if constexpr (is_json_list<T>) {
    T out;
    out.reserve(list().size());
    for (const Json& value : list()) out.push_back(value.get<typename T::value_type>());
    return out;
  } else if constexpr (is_json_pair<T>) {
    if (list().size() != 2) wrong_shape("expected an array of two");
    return {list()[0].get<typename T::first_type>(), list()[1].get<typename T::second_type>()};
  } else {
    static_assert(is_json_map<T>, "Json::get: no such type");
    if (!is_object()) wrong_type("an object");
    T out;
    for (const auto& [key, value] : items()) out.emplace(key, value.template get<typename T::mapped_type>());
    return out;
  }
}

}  // namespace mynah
