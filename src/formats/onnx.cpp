#include "formats/onnx.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <unordered_map>
#include <unordered_set>

#include "base/byte_reader.h"
#include "base/file.h"
#include "formats/element_type.h"
#include "formats/quote.h"

namespace mynah::formats {
namespace {

// A protobuf message: numbered fields, each a number, four or eight bytes, or a piece of bytes.
class Message {
 public:
  Message(std::span<const std::byte> bytes, std::string_view where) : reader_(bytes, where), where_(where) {}

  struct Field {
    uint64_t number = 0, value = 0;        // `value` of numbers and fixed ones
    std::span<const std::byte> bytes;      // of pieces
    bool piece = false;
    std::string text() const { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }
  };
  bool next(Field* field) {
    if (reader_.remaining() == 0) return false;
    const uint64_t key = varint();
    *field = {key >> 3, 0, {}, false};
    switch (key & 7) {
      case 0: field->value = varint(); break;
      case 1: field->value = reader_.number<uint64_t>(); break;
      case 2:
        field->bytes = reader_.take(varint());
        field->piece = true;
        break;
      case 5: field->value = reader_.number<uint32_t>(); break;
      default: fail(ErrorCode::integrity, "{}: byte {}: not a protobuf field; the file is damaged or not ONNX", where_, reader_.position());
    }
    return true;
  }
  uint64_t varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const auto byte = reader_.number<uint8_t>();
      value |= static_cast<uint64_t>(byte & 127) << shift;
      if (byte < 128) return value;
    }
    fail(ErrorCode::integrity, "{}: byte {}: a number of more than 64 bits; the file is damaged or not ONNX", where_, reader_.position());
  }
  bool at_end() const { return reader_.remaining() == 0; }

 private:
  ByteReader reader_;
  std::string_view where_;
};

struct Node {
  std::string name, op;
  std::vector<std::string> inputs;
  std::map<std::string, int64_t> integers;  // attributes
  std::map<std::string, std::vector<int64_t>> lists;
  int64_t integer(const char* key, int64_t otherwise) const {
    const auto it = integers.find(key);
    return it == integers.end() ? otherwise : it->second;
  }
};

std::optional<ElementType> onnx_type(uint64_t number) {
  switch (number) {
    case 1: return ElementType::f32;
    case 2: return ElementType::u8;
    case 3: return ElementType::i8;
    case 4: return ElementType::u16;
    case 5: return ElementType::i16;
    case 6: return ElementType::i32;
    case 7: return ElementType::i64;
    case 9: return ElementType::boolean;
    case 10: return ElementType::f16;
    case 11: return ElementType::f64;
    case 12: return ElementType::u32;
    case 13: return ElementType::u64;
    case 16: return ElementType::bf16;
    default: return {};
  }
}
std::string_view type_name(ElementType type) {
  switch (type) {
    case ElementType::f32: return "FLOAT";
    case ElementType::f16: return "FLOAT16";
    case ElementType::bf16: return "BFLOAT16";
    case ElementType::f64: return "DOUBLE";
    case ElementType::u8: return "UINT8";
    case ElementType::i8: return "INT8";
    case ElementType::i32: return "INT32";
    case ElementType::i64: return "INT64";
    default: return "INTEGER";
  }
}

bool anonymous(const std::string& name) { return name.starts_with("onnx::") || (!name.empty() && name.find_first_not_of("0123456789") == std::string::npos); }

// "/bert/encoder/layer.0/attention/self/query/MatMul_Q4" -> "bert.encoder.layer.0.attention.self.query.weight"
std::string weight_of_node(const std::string& node) {
  const size_t last = node.rfind('/');
  if (node.empty() || node[0] != '/' || last == 0) return "";
  std::string path = node.substr(1, last - 1);
  std::replace(path.begin(), path.end(), '/', '.');
  return path + ".weight";
}

std::string without_ending(const std::string& name, std::initializer_list<const char*> endings) {
  for (const std::string_view ending : endings)
    if (name.ends_with(ending)) return name.substr(0, name.size() - ending.size());
  return name;
}

}  // namespace

class OnnxReader {
 public:
  OnnxReader(OnnxFile& file, std::span<const std::byte> bytes) : file_(file), where_(file.where_) {
    bool graph = false;
    Message model(bytes, where_);
    for (Message::Field f; model.next(&f);)
      if (f.number == 7 && f.piece) {
        read_graph(f.bytes);
        graph = true;
      }
    if (!graph) fail(ErrorCode::integrity, "{}: no graph in it; the file is damaged or not ONNX", where_);
    place();
  }

 private:
  using Stored = OnnxFile::Stored;
  using Place = OnnxFile::Place;

  void read_graph(std::span<const std::byte> bytes) {
    Message graph(bytes, where_);
    for (Message::Field f; graph.next(&f);) {
      if (!f.piece) continue;
      if (f.number == 1) read_node(f.bytes);
      if (f.number == 5) read_initialiser(f.bytes);
    }
  }

  void read_node(std::span<const std::byte> bytes) {
    Node node;
    Message message(bytes, where_);
    for (Message::Field f; message.next(&f);) {
      if (!f.piece) continue;
      if (f.number == 1) node.inputs.push_back(f.text());
      if (f.number == 3) node.name = f.text();
      if (f.number == 4) node.op = f.text();
      if (f.number != 5) continue;
      std::string name;
      int64_t value = 0;
      std::vector<int64_t> list;
      Message attribute(f.bytes, where_);
      for (Message::Field a; attribute.next(&a);) {
        if (a.number == 1 && a.piece) name = a.text();
        if (a.number == 3 && !a.piece) value = static_cast<int64_t>(a.value);
        if (a.number == 8) numbers(a, [&](uint64_t v) { list.push_back(static_cast<int64_t>(v)); });
      }
      node.integers[name] = value;
      node.lists[name] = std::move(list);
    }
    for (const char* op : {"MatMul", "MatMulNBits", "Conv", "ConvTranspose", "Gather"})
      if (node.op == op) return nodes_.push_back(std::move(node));
  }

  // Integers of a typed field, each once or packed.
  template <class Put>
  void numbers(const Message::Field& f, const Put& put) const {
    if (!f.piece) return put(f.value);
    Message packed(f.bytes, where_);
    while (!packed.at_end()) put(packed.varint());
  }

  void read_initialiser(std::span<const std::byte> bytes) {
    std::string name;
    std::vector<uint64_t> dims;
    std::optional<ElementType> type;
    std::span<const std::byte> data;
    std::vector<std::byte> single;  // numbers of the typed fields
    uint64_t type_number = 0;
    Message message(bytes, where_);
    const auto append = [&](const void* p, size_t size) {
      const auto* b = static_cast<const std::byte*>(p);
      single.insert(single.end(), b, b + size);
    };
    std::vector<uint64_t> integers;
    for (Message::Field f; message.next(&f);) switch (f.number) {
        case 1: numbers(f, [&](uint64_t v) { dims.push_back(v); }); break;
        case 2: type_number = f.value; break;
        case 4:
          if (f.piece) append(f.bytes.data(), f.bytes.size());
          else append(&f.value, sizeof(float));
          break;
        case 5:
        case 7: numbers(f, [&](uint64_t v) { integers.push_back(v); }); break;
        case 8: name = f.text(); break;
        case 9: data = f.bytes; break;
        case 10:
          if (f.piece) append(f.bytes.data(), f.bytes.size());
          else append(&f.value, sizeof(double));
          break;
        case 13: fail(ErrorCode::failure, "{}: tensor {} is kept in another file, which is not supported; export the model into one file", where_, quote(name));
        default: break;
      }
    type = onnx_type(type_number);
    if (!type) return;  // strings and the like are no weights
    for (const uint64_t v : integers) append(&v, bytes_of(*type));
    std::shared_ptr<const void> owner = file_.owner_;
    if (data.empty() && !single.empty()) {
      const auto numbers_one_by_one = std::make_shared<const std::vector<std::byte>>(std::move(single));
      data = *numbers_one_by_one;
      owner = numbers_one_by_one;
    }
    const Shape shape = checked_shape(dims, where_, name);
    const uint64_t expected = static_cast<uint64_t>(shape.numel()) * bytes_of(*type);
    if (data.size() != expected)
      fail(ErrorCode::integrity, "{}: tensor {}: {} bytes, its shape {} needs {}; the file is damaged", where_, quote(name), data.size(), shape.str(), expected);
    if (!stored_.emplace(name, Stored{*type, shape, data, std::move(owner)}).second) fail(ErrorCode::integrity, "{}: tensor {} occurs twice", where_, quote(name));
    order_.push_back(name);
  }

  const Stored* find(const std::string& name) const {
    const auto it = stored_.find(name);
    return it == stored_.end() ? nullptr : &it->second;
  }

  void add(const std::string& name, const Shape& shape, std::string_view type, std::optional<DType> dtype, const Place& place) {
    if (!taken_.insert(name).second) return;  // a weight that several nodes read
    uint64_t bytes = place.value.data.size() + place.scale.data.size() + place.zero.data.size();
    file_.tensors_.push_back({name, shape, type, dtype, bytes});
    file_.places_.push_back(place);
  }

  void add_blocks(const Node& node) {
    if (node.inputs.size() < 3) return;
    const Stored *value = find(node.inputs[1]), *scale = find(node.inputs[2]);
    if (!value || !scale) return;
    const std::string name = anonymous(node.inputs[1]) ? weight_of_node(node.name) : without_ending(node.inputs[1], {"_Q4", "_quantized", "_quant"});
    Place p{*value, false, node.integer("bits", 4), node.integer("block_size", 32), *scale, {}, false};
    const int64_t k = node.integer("K", 0), n = node.integer("N", 0);
    require_place(k > 0 && n > 0 && p.block > 0 && p.block <= 4096 && p.block % 2 == 0, node, "K, N and block_size are positive");
    const int64_t blocks = (k + p.block - 1) / p.block;
    require_place(p.bits == 4 && value->type == ElementType::u8, node, "4 bits in bytes");
    require_place(static_cast<uint64_t>(value->shape.numel()) == checked_mul(checked_mul(static_cast<uint64_t>(n), static_cast<uint64_t>(blocks), where_), static_cast<uint64_t>(p.block / 2), where_), node,
                  "N x blocks x block_size / 2 bytes");
    require_place(scale->type == ElementType::f32 && scale->shape.numel() == n * blocks, node, "an f32 scale per block");
    used_.insert(node.inputs[1]);
    used_.insert(node.inputs[2]);
    if (node.inputs.size() > 3 && !node.inputs[3].empty()) {
      const Stored* zero = find(node.inputs[3]);
      require_place(zero && zero->type == ElementType::u8 && zero->shape.numel() == n * ((blocks + 1) / 2), node, "zero points of 4 bits");
      p.zero = *zero;
      used_.insert(node.inputs[3]);
    }
    if (!name.empty()) add(name, {n, k}, "MATMUL_4BITS", DType::f32, p);
  }

  void require_place(bool condition, const Node& node, const char* expected) const {
    if (!condition) fail(ErrorCode::integrity, "{}: node {}: its quantised matrix does not fit, expected {}", where_, quote(node.name), expected);
  }

  // The window of a convolution, and the table of a lookup whose name says nothing, are named after the module.
  void add_named(const Node& node) {
    const bool lookup = node.op == "Gather";
    if (node.inputs.size() < 2) return;
    const std::string& stored = node.inputs[lookup ? 0 : 1];
    const Stored* value = find(stored);
    if (!value) return;
    std::string name = stored;
    if (lookup) {
      if (value->shape.rank() != 2 || stored.find('.') != std::string::npos || !readable_as(value->type)) return;
      name = weight_of_node(node.name);
    } else if (anonymous(stored)) {
      const std::string bias = node.inputs.size() > 2 ? without_ending(node.inputs[2], {".bias"}) : "";
      name = bias.empty() || anonymous(bias) || bias == node.inputs[2] ? weight_of_node(node.name) : bias + ".weight";
    }
    if (name.empty()) return;
    if (name != stored) {
      used_.insert(stored);
      add(name, value->shape, type_name(value->type), readable_as(value->type), {*value, false, 0, 0, {}, {}, false});
    }
    if (!lookup) file_.windows_[name] = {node.lists.count("strides") ? node.lists.at("strides") : std::vector<int64_t>(),
                                         node.lists.count("dilations") ? node.lists.at("dilations") : std::vector<int64_t>()};
  }

  // Decides what each stored tensor is.
  void place() {
    for (const Node& node : nodes_) {
      if (node.op == "MatMulNBits") {
        add_blocks(node);
        continue;
      }
      if (node.op != "MatMul") {
        add_named(node);
        continue;
      }
      if (node.inputs.size() != 2 || !anonymous(node.inputs[1])) continue;
      const Stored* value = find(node.inputs[1]);
      const std::string name = weight_of_node(node.name);
      if (!value || value->shape.rank() != 2 || name.empty()) continue;
      used_.insert(node.inputs[1]);
      add(name, {value->shape[1], value->shape[0]}, type_name(value->type), readable_as(value->type), {*value, true, 0, 0, {}, {}, false});
    }
    for (const std::string& name : order_) {
      const std::string base = without_ending(name, {"_quantized"});
      const Stored *scale = base == name ? nullptr : find(base + "_scale"), *zero = base == name ? nullptr : find(base + "_zero_point");
      if (!scale || used_.count(name)) continue;
      const Stored& value = stored_.at(name);
      const bool fits = (value.type == ElementType::u8 || value.type == ElementType::i8) && scale->type == ElementType::f32 && scale->shape.numel() == 1 &&
                        (!zero || (zero->type == value.type && zero->shape.numel() == 1));
      if (!fits) continue;
      for (const std::string& part : {name, base + "_scale", base + "_zero_point"}) used_.insert(part);
      add(base, value.shape, "DEQUANTIZED", DType::f32, {value, false, 0, 0, *scale, zero ? *zero : Stored{}, true});
    }
    for (const std::string& name : order_) {
      if (used_.count(name)) continue;
      const Stored& value = stored_.at(name);
      add(name, value.shape, type_name(value.type), readable_as(value.type), {value, false, 0, 0, {}, {}, false});
    }
    file_.index_tensors();
  }

  OnnxFile& file_;
  const std::string& where_;
  std::vector<Node> nodes_;
  std::unordered_map<std::string, Stored> stored_;
  std::vector<std::string> order_;
  std::unordered_set<std::string> used_, taken_;
};

namespace {

float number_at(std::span<const std::byte> data, int64_t index) {
  float value;
  std::memcpy(&value, data.data() + static_cast<size_t>(index) * sizeof value, sizeof value);
  return value;
}
int nibble(std::span<const std::byte> data, int64_t index) {
  const int byte = std::to_integer<int>(data[static_cast<size_t>(index / 2)]);
  return index % 2 ? byte >> 4 : byte & 15;
}

}  // namespace

const OnnxFile::Window* OnnxFile::window(const std::string& weight) const {
  const auto it = windows_.find(weight);
  return it == windows_.end() ? nullptr : &it->second;
}

Tensor OnnxFile::load(size_t index) const {
  const Place& p = places_[index];
  const Shape& shape = tensors_[index].shape;
  if (p.bits > 0) {
    Tensor out = Tensor::empty(shape);
    const int64_t n = shape[0], k = shape[1], blocks = (k + p.block - 1) / p.block, zero_row = (blocks + 1) / 2 * 2;
    float* to = out.data<float>();
    for (int64_t row = 0; row < n; ++row)
      for (int64_t i = 0; i < k; ++i) {
        const int64_t b = i / p.block, at = row * blocks + b;
        const int zero = p.zero.data.empty() ? 8 : nibble(p.zero.data, row * zero_row + b);
        *to++ = static_cast<float>(nibble(p.value.data, at * p.block + i % p.block) - zero) * number_at(p.scale.data, at);
      }
    return out;
  }
  if (p.scaled) {
    Tensor out = Tensor::empty(shape);
    const bool with_sign = p.value.type == ElementType::i8;
    const auto integer = [&](std::byte b) { return with_sign ? static_cast<int>(static_cast<int8_t>(b)) : std::to_integer<int>(b); };
    const int zero = p.zero.data.empty() ? 0 : integer(p.zero.data[0]);
    const float scale = number_at(p.scale.data, 0);
    for (size_t i = 0; i < p.value.data.size(); ++i) out.data<float>()[i] = static_cast<float>(integer(p.value.data[i]) - zero) * scale;
    return out;
  }
  const Tensor stored = to_tensor(p.value.data.data(), p.value.type, p.value.shape, p.value.owner);
  if (!p.transposed) return stored;
  Tensor out = Tensor::empty(shape, stored.dtype());
  const auto* from = static_cast<const std::byte*>(stored.raw());
  auto* to = static_cast<std::byte*>(out.raw());
  const size_t size = stored.nbytes() / static_cast<size_t>(std::max<int64_t>(1, stored.numel()));
  for (int64_t i = 0; i < shape[0]; ++i)
    for (int64_t j = 0; j < shape[1]; ++j)
      std::memcpy(to + static_cast<size_t>(i * shape[1] + j) * size, from + static_cast<size_t>(j * shape[0] + i) * size, size);
  return out;
}

std::shared_ptr<const OnnxFile> OnnxFile::parse(std::span<const std::byte> bytes, std::string where, std::shared_ptr<const void> owner) {
  auto file = std::shared_ptr<OnnxFile>(new OnnxFile(std::move(where)));
  file->owner_ = std::move(owner);
  OnnxReader(*file, bytes);
  return file;
}

std::shared_ptr<const OnnxFile> OnnxFile::open(const std::filesystem::path& path) {
  const auto mapping = MappedFile::open(path);
  return parse(mapping->bytes(), path.string(), mapping);
}

}  // namespace mynah::formats
