// SHA-256 digests as a type that can hold nothing else, so that no text from a registry ever becomes part of a path.
#pragma once
#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace mynah::store {

class Digest {
 public:
  // Accepts 64 hexadecimal digits, alone or after "sha256:" or "sha256-".
  static std::optional<Digest> try_parse(std::string_view text);
  // The same; throws integrity naming `where`.
  static Digest parse(std::string_view text, std::string_view where);

  // 64 lower-case hexadecimal digits.
  const std::string& hex() const { return hex_; }
  std::string with_prefix() const { return "sha256:" + hex_; }
  bool operator==(const Digest&) const = default;
  auto operator<=>(const Digest&) const = default;

 private:
  friend class Hasher;
  explicit Digest(std::string hex) : hex_(std::move(hex)) {}
  std::string hex_;
};

// SHA-256 over bytes as they come.
class Hasher {
 public:
  Hasher();
  ~Hasher();
  Hasher(const Hasher&) = delete;
  Hasher& operator=(const Hasher&) = delete;
  void add(const void* data, size_t size);
  void add(std::string_view text) { add(text.data(), text.size()); }
  // May be called once.
  Digest finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

Digest digest_of_text(std::string_view text);
Digest digest_of_file(const std::filesystem::path& path);

// The object name that git gives a file's content: SHA-1 over "blob <size>\0" and the bytes, 40 hexadecimal digits.
// Hubs name small files by it.
std::string git_object_name(const std::filesystem::path& path);

}  // namespace mynah::store
