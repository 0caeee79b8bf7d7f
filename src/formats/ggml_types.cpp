#include "formats/ggml_types.h"

#include <array>

namespace mynah::formats {
namespace {

constexpr GgmlType plain(uint32_t id, std::string_view name, uint32_t bytes, ElementType type) {
  return {id, name, 1, bytes, type, std::nullopt};
}
constexpr GgmlType block(uint32_t id, std::string_view name, uint32_t elements, uint32_t bytes,
                         std::optional<DType> dtype = {}) {
  return {id, name, elements, bytes, std::nullopt, dtype};
}

// Types without a DType are known by size only, so that the layout of a file that has them can be checked.
constexpr std::array kGgmlTypes = {
    plain(0, "F32", 4, ElementType::f32),
    plain(1, "F16", 2, ElementType::f16),
    block(2, "Q4_0", 32, 18, DType::q4_0),
    block(3, "Q4_1", 32, 20, DType::q4_1),
    block(6, "Q5_0", 32, 22, DType::q5_0),
    block(7, "Q5_1", 32, 24, DType::q5_1),
    block(8, "Q8_0", 32, 34, DType::q8_0),
    block(9, "Q8_1", 32, 36),
    block(10, "Q2_K", 256, 84, DType::q2_k),
    block(11, "Q3_K", 256, 110, DType::q3_k),
    block(12, "Q4_K", 256, 144, DType::q4_k),
    block(13, "Q5_K", 256, 176, DType::q5_k),
    block(14, "Q6_K", 256, 210, DType::q6_k),
    block(15, "Q8_K", 256, 292),
    block(16, "IQ2_XXS", 256, 66),
    block(17, "IQ2_XS", 256, 74),
    block(18, "IQ3_XXS", 256, 98),
    block(19, "IQ1_S", 256, 50),
    block(20, "IQ4_NL", 32, 18, DType::iq4_nl),
    block(21, "IQ3_S", 256, 110),
    block(22, "IQ2_S", 256, 82),
    block(23, "IQ4_XS", 256, 136),
    plain(24, "I8", 1, ElementType::i8),
    plain(25, "I16", 2, ElementType::i16),
    plain(26, "I32", 4, ElementType::i32),
    plain(27, "I64", 8, ElementType::i64),
    plain(28, "F64", 8, ElementType::f64),
    block(29, "IQ1_M", 256, 56),
    plain(30, "BF16", 2, ElementType::bf16),
    block(34, "TQ1_0", 256, 54),
    block(35, "TQ2_0", 256, 66),
    block(39, "MXFP4", 32, 17),
    block(40, "NVFP4", 64, 36),
    block(41, "Q1_0", 128, 18),
    block(42, "Q2_0", 64, 18),
};

}  // namespace

const GgmlType* find_ggml_type(uint32_t id) {
  for (const GgmlType& type : kGgmlTypes)
    if (type.id == id) return &type;
  return nullptr;
}

const GgmlType* ggml_type_of(DType dtype) {
  for (const GgmlType& type : kGgmlTypes) {
    if (type.quantized == dtype) return &type;
    if (type.plain && readable_as(*type.plain) == dtype && bytes_of(*type.plain) == block_bytes(dtype)) return &type;
  }
  return nullptr;
}

}  // namespace mynah::formats
