// Opens the bytes as a GGUF file, reads all metadata and every tensor.
#include "formats/gguf.h"
#include "fuzz/fuzz_bytes.h"
#include "mynah/error.h"

using namespace mynah;
using namespace mynah::formats;

namespace {

void read_value(const GgufValue& value) {
  value.text();
  if (!value.is_array()) return;
  if (value.element_type() == GgufType::string) {
    size_t count = 0;
    volatile char last = 0;
    for (const std::string_view text : value.strings()) {
      if (!text.empty()) last = text.back();
      ++count;
    }
    (void)last;
    if (count != value.strings().size()) std::abort();
  } else if (value.element_type() == GgufType::f32 || value.element_type() == GgufType::f64) {
    value.floats().to_vector();
  } else {
    value.ints().to_vector();
  }
}

}  // namespace

int gguf_fuzz(const uint8_t* data, size_t size) {
  const FuzzBytes bytes(data, size);
  try {
    const auto file = GgufFile::parse(bytes.span(), "fuzz", bytes.owner);
    for (const GgufValue& value : file->metadata()) {
      try {
        read_value(value);
        file->get<int>(value.key(), 0);
      } catch (const Error&) {
      }
    }
    for (const TensorInfo& info : file->tensors())
      if (info.dtype) file->tensor(info.name).to_vector();
  } catch (const Error& e) {
    if (e.code() == ErrorCode::internal) std::abort();
  }
  return 0;
}
