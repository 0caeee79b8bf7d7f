// Opens the bytes as a PyTorch file and reads every tensor. Bytes that are a bare pickle are put into a zip archive
// with two storages first, so that the fuzzer gets past the archive.
#include <cstring>

#include "formats/make_zip.h"
#include "formats/torch_pickle.h"
#include "fuzz/fuzz_bytes.h"
#include "mynah/error.h"

using namespace mynah;
using namespace mynah::formats;

namespace {

void read_all(const FuzzBytes& bytes) {
  try {
    const auto file = TorchFile::parse(bytes.span(), "fuzz", bytes.owner);
    for (const TensorInfo& info : file->tensors())
      if (info.dtype) file->tensor(info.name).to_vector();
  } catch (const Error& e) {
    if (e.code() == ErrorCode::internal) std::abort();
  }
}

}  // namespace

int pickle_fuzz(const uint8_t* data, size_t size) {
  const bool is_bare = size > 2 && data[0] == 0x80 && data[2] != 0x8a;
  if (is_bare) {
    const std::string pickle(reinterpret_cast<const char*>(data), size);
    const std::string zip =
        make_zip({{"m/data.pkl", pickle}, {"m/data/0", std::string(64, '\1')}, {"m/data/1", std::string(3, '\2')}});
    read_all(FuzzBytes(zip.data(), zip.size()));
  } else {
    read_all(FuzzBytes(data, size));
  }
  return 0;
}
