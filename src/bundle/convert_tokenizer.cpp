#include "bundle/convert_tokenizer.h"
#include "base/require.h"
namespace mynah::bundle {
void tokenizer_to_gguf(const std::filesystem::path&, int64_t, formats::GgufWriter*) { fail(ErrorCode::failure, "provisional"); }
void tokenizer_to_folder(const formats::GgufFile&, const std::filesystem::path&) { fail(ErrorCode::failure, "provisional"); }
}
