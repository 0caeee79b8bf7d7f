#include "formats/pickle.h"

#include <bit>
#include <unordered_map>

#include "base/byte_reader.h"
#include "formats/pickle_globals.h"
#include "formats/quote.h"

namespace mynah::formats {
namespace {

using Kind = PickleValue::Kind;
using Role = PickleGlobal::Role;
using Items = std::vector<PickleValue>;

// A checkpoint needs about 40 operations per tensor. Each step costs at most some hundred bytes of memory, and every
// copy of a container that is reachable twice counts as steps, so that the file's size and this number bound the
// memory.
constexpr uint64_t kMaxSteps = 4'000'000;
constexpr uint64_t kStepsPerCopy = 16;
constexpr size_t kMaxArguments = 16, kMaxPickleDims = 64;

PickleValue make(Kind kind, int64_t integer = 0, std::string_view text = {}) {
  PickleValue value;
  value.kind = kind;
  value.integer = integer;
  value.text = text;
  return value;
}

// The stack machine. Marks are kept apart from the values: an operation can never reach below the last mark.
class Machine {
 public:
  Machine(std::span<const std::byte> bytes, std::string_view where) : reader_(bytes, where), where_(where) {}

  Pickle run() {
    do spend(1);
    while (!step(reader_.number<uint8_t>()));
    pickle_.result = pop();
    pickle_.bytes = reader_.position();
    return std::move(pickle_);
  }

 private:
  template <class... Args>
  [[noreturn]] void damaged(fmt::format_string<Args...> format, Args&&... args) const {
    fail(ErrorCode::integrity, "{}: pickle byte {}: {}; the file is damaged", where_, reader_.position(),
         fmt::format(format, std::forward<Args>(args)...));
  }
  [[noreturn]] void refuse(std::string_view what) const {
    fail(ErrorCode::failure,
         "{}: refuses to run code: {} is not data that weights need; convert the file to safetensors where it is "
         "trusted",
         where_, what);
  }

  void spend(uint64_t steps) {
    if (steps > budget_) damaged("more than {} operations", kMaxSteps);
    budget_ -= steps;
  }

  // One operation; true at the end. The letters are the format's own codes.
  bool step(uint8_t code) {
    switch (code) {
      case 0x80:
        reader_.take(1);
        break;  // protocol
      case 0x95:
        reader_.take(8);
        break;  // frame
      case '.':
        return true;
      case '(':
        marks_.push_back(stack_.size());
        break;
      case 'N':
        push(make(Kind::none));
        break;
      case 0x88:
        push(make(Kind::boolean, 1));
        break;
      case 0x89:
        push(make(Kind::boolean, 0));
        break;
      case 'J':
        push(make(Kind::integer, reader_.number<int32_t>()));
        break;
      case 'K':
        push(make(Kind::integer, reader_.number<uint8_t>()));
        break;
      case 'M':
        push(make(Kind::integer, reader_.number<uint16_t>()));
        break;
      case 0x8a:
        long_integer();
        break;
      case 'G':
        real();
        break;
      case 'X':
      case 'T':
      case 'B':
        push(make(Kind::string, 0, reader_.text(reader_.number<uint32_t>())));
        break;
      case 0x8c:
      case 'U':
      case 'C':
        push(make(Kind::string, 0, reader_.text(reader_.number<uint8_t>())));
        break;
      case 0x8d:
        push(make(Kind::string, 0, reader_.text(reader_.number<uint64_t>())));
        break;
      case ')':
        push_container(Kind::tuple, {});
        break;
      case ']':
        push_container(Kind::list, {});
        break;
      case '}':
        push_container(Kind::dict, {});
        break;
      case 't':
        push_container(Kind::tuple, pop_to_mark());
        break;
      case 0x85:
        push_container(Kind::tuple, pop_last(1));
        break;
      case 0x86:
        push_container(Kind::tuple, pop_last(2));
        break;
      case 0x87:
        push_container(Kind::tuple, pop_last(3));
        break;
      case 'a':
        extend(Kind::list, pop_last(1));
        break;
      case 'e':
        extend(Kind::list, pop_to_mark());
        break;
      case 's':
        extend(Kind::dict, pop_last(2));
        break;
      case 'u':
        extend(Kind::dict, pop_to_mark());
        break;
      case 'q':
        memo_[reader_.number<uint8_t>()] = top();
        break;
      case 'r':
        memo_[reader_.number<uint32_t>()] = top();
        break;
      case 0x94:
        memo_[static_cast<uint32_t>(memo_.size())] = top();
        break;
      case 'h':
        push_memo(reader_.number<uint8_t>());
        break;
      case 'j':
        push_memo(reader_.number<uint32_t>());
        break;
      case 'c':
        global_lines();
        break;
      case 0x93:
        global_from_stack();
        break;
      case 'Q':
        persistent(pop());
        break;
      case 'R':
        reduce();
        break;
      case 'b':
        build();
        break;
      default:
        refuse(fmt::format("the operation 0x{:02x}", static_cast<unsigned>(code)));
    }
    return false;
  }

  size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }
  void push(const PickleValue& value) { stack_.push_back(value); }
  const PickleValue& top() const {
    if (stack_.size() <= floor()) damaged("it takes a value from an empty stack");
    return stack_.back();
  }
  PickleValue pop() {
    const PickleValue value = top();
    stack_.pop_back();
    return value;
  }
  Items pop_from(size_t begin) {
    Items items(stack_.begin() + static_cast<std::ptrdiff_t>(begin), stack_.end());
    stack_.resize(begin);
    return items;
  }
  Items pop_last(size_t n) {
    if (stack_.size() - floor() < n) damaged("it takes {} values from a stack of {}", n, stack_.size() - floor());
    return pop_from(stack_.size() - n);
  }
  Items pop_to_mark() {
    if (marks_.empty()) damaged("a mark is missing");
    const size_t begin = marks_.back();
    marks_.pop_back();
    return pop_from(begin);
  }
  void push_memo(uint32_t index) {
    const auto found = memo_.find(index);
    if (found == memo_.end()) damaged("memo {} was never stored", index);
    push(found->second);
  }
  void push_container(Kind kind, Items items) {
    pickle_.containers.push_back(std::move(items));
    push(make(kind, static_cast<int64_t>(pickle_.containers.size()) - 1));
  }
  // Appends to the list or dictionary on top of the stack.
  void extend(Kind kind, const Items& items) {
    if (top().kind != kind)
      damaged("it puts items into something else than a {}", kind == Kind::list ? "list" : "dictionary");
    if (kind == Kind::dict && items.size() % 2 != 0) damaged("a dictionary key has no value");
    Items& to = pickle_.containers[static_cast<size_t>(top().integer)];
    to.insert(to.end(), items.begin(), items.end());
  }

  void long_integer() {
    const std::string_view bytes = reader_.text(reader_.number<uint8_t>());
    if (bytes.size() > 8) return push(make(Kind::big_integer, 0, bytes));
    uint64_t value = !bytes.empty() && (bytes.back() & 0x80) ? ~uint64_t{0} : 0;
    for (size_t i = bytes.size(); i-- > 0;) value = value << 8 | static_cast<uint8_t>(bytes[i]);
    push(make(Kind::integer, static_cast<int64_t>(value)));
  }
  void real() {  // big-endian, alone in the format
    uint64_t bits = 0;
    for (int i = 0; i < 8; ++i) bits = bits << 8 | reader_.number<uint8_t>();
    PickleValue value = make(Kind::real);
    value.real = std::bit_cast<double>(bits);
    push(value);
  }

  std::string_view line() {
    const size_t begin = reader_.position();
    while (reader_.number<char>() != '\n') {
    }
    const size_t length = reader_.position() - begin - 1;
    reader_.seek(begin);
    const std::string_view text = reader_.text(length);
    reader_.take(1);
    return text;
  }
  void global_lines() {
    const std::string_view module = line();
    push_global(module, line());
  }
  void global_from_stack() {
    const Items names = pop_last(2);
    if (names[0].kind != Kind::string || names[1].kind != Kind::string) damaged("a name that is no string");
    push_global(names[0].text, names[1].text);
  }
  void push_global(std::string_view module, std::string_view name) {
    const int index = find_pickle_global(module, name);
    if (index < 0)
      refuse("the name " + quote(std::string(module.substr(0, 100)) + "." + std::string(name.substr(0, 100))));
    push(make(Kind::global, index));
  }

  const PickleGlobal* as_global(const PickleValue& value, Role role) const {
    if (value.kind != Kind::global) return nullptr;
    const PickleGlobal& global = pickle_global(value.integer);
    return global.role == role ? &global : nullptr;
  }
  uint64_t as_size(const PickleValue& value) const {
    if (value.kind != Kind::integer || value.integer < 0) damaged("a size or stride that is no natural number");
    return static_cast<uint64_t>(value.integer);
  }
  std::vector<uint64_t> as_sizes(const PickleValue& value) const {
    if (value.kind != Kind::tuple && value.kind != Kind::list) damaged("a shape that is no tuple");
    if (pickle_.items(value).size() > kMaxPickleDims) damaged("a shape of {} dimensions", pickle_.items(value).size());
    std::vector<uint64_t> sizes;
    for (const PickleValue& item : pickle_.items(value)) sizes.push_back(as_size(item));
    return sizes;
  }

  // ('storage', type, key, location, elements[, view]): the file's own memory behind a tensor.
  void persistent(const PickleValue& id) {
    if (id.kind != Kind::tuple) damaged("a storage that is no tuple");
    const Items& args = pickle_.items(id);
    if (args.size() < 5 || args.size() > 6 || args[0].kind != Kind::string || args[0].text != "storage" ||
        args[2].kind != Kind::string)
      damaged("not ('storage', type, key, location, size)");
    const PickleGlobal* type = as_global(args[1], Role::storage_type);
    if (!type) damaged("a storage of an unknown type");
    if (args.size() == 6 && args[5].kind != Kind::none)
      damaged("a view of a storage, as PyTorch before 0.4 wrote; save it again");
    pickle_.storages.push_back({type->name, type->type, args[2].text, as_size(args[4])});
    push(make(Kind::storage, static_cast<int64_t>(pickle_.storages.size()) - 1));
  }

  void reduce() {
    const PickleValue arguments = pop(), callee = pop();
    if (callee.kind != Kind::global || arguments.kind != Kind::tuple) damaged("a call of something that is no name");
    push(apply(pickle_global(callee.integer), arguments_of(arguments)));
  }

  Items arguments_of(const PickleValue& tuple) const {
    const Items& items = pickle_.items(tuple);
    if (items.size() > kMaxArguments) damaged("a call with {} arguments", items.size());
    return items;
  }

  PickleValue apply(const PickleGlobal& global, const Items& args) {
    const auto need = [&](bool ok) {
      if (!ok) damaged("{}.{} with unexpected arguments", global.module, global.name);
    };
    switch (global.role) {
      case Role::ordered_dict:
        return ordered_dict(args);
      case Role::size:
        need(args.size() == 1 && (args[0].kind == Kind::tuple || args[0].kind == Kind::list));
        return args[0];
      case Role::device:
        return make(Kind::none);
      case Role::parameter:
        need(!args.empty() && args[0].kind == Kind::tensor);
        return args[0];
      case Role::tensor_v1:
      case Role::tensor_v2:
        need(args.size() >= 4 && args[0].kind == Kind::storage);
        return tensor(args, nullptr);
      case Role::tensor_v3: {
        const PickleGlobal* dtype = args.size() >= 7 ? as_global(args[6], Role::dtype) : nullptr;
        need(dtype && args[0].kind == Kind::storage);
        return tensor(args, dtype);
      }
      case Role::from_type: {  // (function, class, arguments, state)
        need(args.size() == 4 && args[0].kind == Kind::global && as_global(args[1], Role::tensor_class) &&
             args[2].kind == Kind::tuple);
        const PickleGlobal& inner = pickle_global(args[0].integer);
        need(inner.role == Role::tensor_v2 || inner.role == Role::tensor_v3 || inner.role == Role::parameter);
        return apply(inner, arguments_of(args[2]));
      }
      case Role::tensor_class:
      case Role::storage_type:
      case Role::dtype:
        break;
    }
    refuse(fmt::format("a call of '{}.{}'", global.module, global.name));
  }

  PickleValue tensor(const Items& args, const PickleGlobal* dtype) {
    const PickledStorage& storage = pickle_.storages[static_cast<size_t>(args[0].integer)];
    PickledTensor t{static_cast<uint32_t>(args[0].integer),
                    dtype ? dtype->name : storage.type_name,
                    dtype ? dtype->type : storage.type,
                    as_size(args[1]),
                    as_sizes(args[2]),
                    as_sizes(args[3])};
    if (t.shape.size() != t.strides.size())
      damaged("a tensor of {} dimensions with {} strides", t.shape.size(), t.strides.size());
    pickle_.tensors.push_back(std::move(t));
    return make(Kind::tensor, static_cast<int64_t>(pickle_.tensors.size()) - 1);
  }

  PickleValue ordered_dict(const Items& args) {
    Items flat;
    if (args.size() > 1 || (args.size() == 1 && args[0].kind != Kind::list))
      damaged("OrderedDict with unexpected arguments");
    if (args.size() == 1) {
      spend(kStepsPerCopy * pickle_.items(args[0]).size());
      for (const PickleValue& pair : pickle_.items(args[0])) {
        const bool ok = (pair.kind == Kind::tuple || pair.kind == Kind::list) && pickle_.items(pair).size() == 2;
        if (!ok) damaged("OrderedDict of something else than pairs");
        flat.insert(flat.end(), pickle_.items(pair).begin(), pickle_.items(pair).end());
      }
    }
    pickle_.containers.push_back(std::move(flat));
    return make(Kind::dict, static_cast<int64_t>(pickle_.containers.size()) - 1);
  }

  // Attributes of an object: state dictionaries carry version numbers (_metadata), tensors Python attributes. Not
  // needed.
  void build() {
    pop();
    if (top().kind != Kind::dict && top().kind != Kind::tensor) refuse("setting the state of an object");
  }

  ByteReader reader_;
  std::string_view where_;
  Items stack_;
  std::vector<size_t> marks_;
  std::unordered_map<uint32_t, PickleValue> memo_;
  Pickle pickle_;
  uint64_t budget_ = kMaxSteps;
};

}  // namespace

Pickle read_pickle(std::span<const std::byte> bytes, std::string_view where) { return Machine(bytes, where).run(); }

}  // namespace mynah::formats
