#include <array>

#include "mynah/tensor.h"

namespace mynah {
namespace {

struct Info {
  std::string_view name;
  size_t elements, bytes;
};
// Block sizes of the quantised types are those of the GGUF file format.
constexpr std::array<Info, 19> kInfo = {{
    {"f32", 1, 4},      {"bf16", 1, 2},     {"f16", 1, 2},      {"i64", 1, 8},      {"i32", 1, 4},
    {"i8", 1, 1},       {"u8", 1, 1},       {"bool", 1, 1},     {"q4_0", 32, 18},   {"q4_1", 32, 20},
    {"q5_0", 32, 22},   {"q5_1", 32, 24},   {"q8_0", 32, 34},   {"q2_k", 256, 84},  {"q3_k", 256, 110},
    {"q4_k", 256, 144}, {"q5_k", 256, 176}, {"q6_k", 256, 210}, {"iq4_nl", 32, 18},
}};
const Info& info(DType d) { return kInfo[static_cast<size_t>(d)]; }

}  // namespace

std::string_view name(DType d) { return info(d).name; }
bool is_quantized(DType d) { return info(d).elements > 1; }
bool is_floating(DType d) { return d == DType::f32 || d == DType::bf16 || d == DType::f16; }
size_t block_elements(DType d) { return info(d).elements; }
size_t block_bytes(DType d) { return info(d).bytes; }

}  // namespace mynah
