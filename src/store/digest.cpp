#include "store/digest.h"

#include <openssl/evp.h>

#include <array>

#include "base/file.h"
#include "base/require.h"

namespace mynah::store {
namespace {

std::string to_hex(const unsigned char* bytes, size_t size) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (size_t i = 0; i < size; ++i) {
    text += kDigits[bytes[i] >> 4];
    text += kDigits[bytes[i] & 15];
  }
  return text;
}

// One OpenSSL digest computation; throws internal if the library refuses, which it does only without memory.
class Context {
 public:
  explicit Context(const EVP_MD* kind) : context_(EVP_MD_CTX_new()) {
    MYNAH_CHECK(context_ && EVP_DigestInit_ex(context_, kind, nullptr) == 1);
  }
  ~Context() { EVP_MD_CTX_free(context_); }
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
  void add(const void* data, size_t size) { MYNAH_CHECK(EVP_DigestUpdate(context_, data, size) == 1); }
  std::string finish() {
    std::array<unsigned char, EVP_MAX_MD_SIZE> bytes;
    unsigned size = 0;
    MYNAH_CHECK(EVP_DigestFinal_ex(context_, bytes.data(), &size) == 1);
    return to_hex(bytes.data(), size);
  }

 private:
  EVP_MD_CTX* context_;
};

// Large files are hashed piece by piece, and each piece is dropped from memory again.
void add_file(Context& context, const MappedFile& file) {
  constexpr size_t kPiece = 16u << 20;
  const auto bytes = file.bytes();
  for (size_t at = 0; at < bytes.size(); at += kPiece) {
    const auto piece = bytes.subspan(at, std::min(kPiece, bytes.size() - at));
    context.add(piece.data(), piece.size());
    file.drop(piece.data(), piece.size());
  }
}

}  // namespace

std::optional<Digest> Digest::try_parse(std::string_view text) {
  if (text.starts_with("sha256:") || text.starts_with("sha256-")) text.remove_prefix(7);
  if (text.size() != 64) return std::nullopt;
  std::string hex;
  for (char c : text) {
    if (c >= 'A' && c <= 'F') c = static_cast<char>(c - 'A' + 'a');
    if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) return std::nullopt;
    hex += c;
  }
  return Digest(std::move(hex));
}

Digest Digest::parse(std::string_view text, std::string_view where) {
  if (auto digest = try_parse(text)) return *digest;
  fail(ErrorCode::integrity, "{}: got a digest of {} characters, expected sha256: and 64 hexadecimal digits", where,
       text.size());
}

struct Hasher::State {
  Context context{EVP_sha256()};
};

Hasher::Hasher() : state_(std::make_unique<State>()) {}
Hasher::~Hasher() = default;
void Hasher::add(const void* data, size_t size) { state_->context.add(data, size); }
Digest Hasher::finish() { return Digest(state_->context.finish()); }

Digest digest_of_text(std::string_view text) {
  Hasher hasher;
  hasher.add(text);
  return hasher.finish();
}

Digest digest_of_file(const std::filesystem::path& path) {
  Context context(EVP_sha256());
  add_file(context, *MappedFile::open(path));
  return Digest::parse(context.finish(), "digest");
}

std::string git_object_name(const std::filesystem::path& path) {
  const auto file = MappedFile::open(path);
  Context context(EVP_sha1());
  const std::string header = fmt::format("blob {}", file->bytes().size());
  context.add(header.c_str(), header.size() + 1);
  add_file(context, *file);
  return context.finish();
}

}  // namespace mynah::store
