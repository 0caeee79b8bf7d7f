// Opens the bytes as an ONNX file and reads every tensor.
#include "formats/onnx.h"
#include "fuzz/fuzz_bytes.h"
#include "mynah/error.h"

using namespace mynah;
using namespace mynah::formats;

int onnx_fuzz(const uint8_t* data, size_t size) {
  const FuzzBytes bytes(data, size);
  try {
    const auto file = OnnxFile::parse(bytes.span(), "fuzz", bytes.owner);
    for (const TensorInfo& info : file->tensors())
      if (info.dtype) file->tensor(info.name).to_vector();
  } catch (const Error& e) {
    if (e.code() == ErrorCode::internal) std::abort();
  }
  return 0;
}
