// Opens the bytes as a CTranslate2 file and reads every tensor.
#include "formats/ctranslate2.h"
#include "fuzz/fuzz_bytes.h"
#include "mynah/error.h"

using namespace mynah;
using namespace mynah::formats;

int ctranslate2_fuzz(const uint8_t* data, size_t size) {
  const FuzzBytes bytes(data, size);
  try {
    const auto file = Ctranslate2File::parse(bytes.span(), "fuzz", bytes.owner);
    for (const TensorInfo& info : file->tensors())
      if (info.dtype) file->tensor(info.name).to_vector();
  } catch (const Error& e) {
    if (e.code() == ErrorCode::internal) std::abort();
  }
  return 0;
}
