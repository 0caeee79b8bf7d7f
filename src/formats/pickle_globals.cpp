#include "formats/pickle_globals.h"

#include <array>

namespace mynah::formats {
namespace {

using Role = PickleGlobal::Role;
using enum ElementType;

constexpr std::array kGlobals = {
    PickleGlobal{"collections", "OrderedDict", Role::ordered_dict},
    PickleGlobal{"torch", "Size", Role::size},
    PickleGlobal{"torch", "device", Role::device},
    PickleGlobal{"torch", "Tensor", Role::tensor_class},
    PickleGlobal{"torch.nn.parameter", "Parameter", Role::tensor_class},
    PickleGlobal{"torch._utils", "_rebuild_tensor", Role::tensor_v1},
    PickleGlobal{"torch._utils", "_rebuild_tensor_v2", Role::tensor_v2},
    PickleGlobal{"torch._utils", "_rebuild_tensor_v3", Role::tensor_v3},
    PickleGlobal{"torch._utils", "_rebuild_parameter", Role::parameter},
    PickleGlobal{"torch._utils", "_rebuild_parameter_with_state", Role::parameter},
    PickleGlobal{"torch._tensor", "_rebuild_from_type_v2", Role::from_type},
    PickleGlobal{"torch", "FloatStorage", Role::storage_type, f32},
    PickleGlobal{"torch", "HalfStorage", Role::storage_type, f16},
    PickleGlobal{"torch", "BFloat16Storage", Role::storage_type, bf16},
    PickleGlobal{"torch", "DoubleStorage", Role::storage_type, f64},
    PickleGlobal{"torch", "LongStorage", Role::storage_type, i64},
    PickleGlobal{"torch", "IntStorage", Role::storage_type, i32},
    PickleGlobal{"torch", "ShortStorage", Role::storage_type, i16},
    PickleGlobal{"torch", "CharStorage", Role::storage_type, i8},
    PickleGlobal{"torch", "ByteStorage", Role::storage_type, u8},
    PickleGlobal{"torch", "BoolStorage", Role::storage_type, boolean},
    PickleGlobal{"torch", "ComplexFloatStorage", Role::storage_type, c64},
    PickleGlobal{"torch", "ComplexDoubleStorage", Role::storage_type, c128},
    PickleGlobal{"torch", "UntypedStorage", Role::storage_type, u8},
    PickleGlobal{"torch.storage", "UntypedStorage", Role::storage_type, u8},
    PickleGlobal{"torch", "float32", Role::dtype, f32},
    PickleGlobal{"torch", "float16", Role::dtype, f16},
    PickleGlobal{"torch", "bfloat16", Role::dtype, bf16},
    PickleGlobal{"torch", "float64", Role::dtype, f64},
    PickleGlobal{"torch", "int64", Role::dtype, i64},
    PickleGlobal{"torch", "int32", Role::dtype, i32},
    PickleGlobal{"torch", "int16", Role::dtype, i16},
    PickleGlobal{"torch", "int8", Role::dtype, i8},
    PickleGlobal{"torch", "uint64", Role::dtype, u64},
    PickleGlobal{"torch", "uint32", Role::dtype, u32},
    PickleGlobal{"torch", "uint16", Role::dtype, u16},
    PickleGlobal{"torch", "uint8", Role::dtype, u8},
    PickleGlobal{"torch", "bool", Role::dtype, boolean},
    PickleGlobal{"torch", "complex64", Role::dtype, c64},
    PickleGlobal{"torch", "complex128", Role::dtype, c128},
    PickleGlobal{"torch", "float8_e4m3fn", Role::dtype, f8_e4m3},
    PickleGlobal{"torch", "float8_e5m2", Role::dtype, f8_e5m2},
    PickleGlobal{"torch", "float8_e8m0fnu", Role::dtype, f8_e8m0},
};

}  // namespace

int find_pickle_global(std::string_view module, std::string_view name) {
  for (size_t i = 0; i < kGlobals.size(); ++i)
    if (kGlobals[i].module == module && kGlobals[i].name == name) return static_cast<int>(i);
  return -1;
}

const PickleGlobal& pickle_global(int64_t index) { return kGlobals[static_cast<size_t>(index)]; }

}  // namespace mynah::formats
