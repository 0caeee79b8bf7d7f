// The bytes up to the last zero that is followed by a text of printable characters are a SentencePiece model; the first
// byte chooses the tokenizer class that reads it.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string_view>

#include "base/unicode.h"
#include "mynah/error.h"
#include "mynah/tokenizer.h"

using namespace mynah;

namespace {

// One folder for a process, since the loaders read files.
struct Scratch {
  std::filesystem::path path;
  Scratch() {
    std::string name = (std::filesystem::temp_directory_path() / "mynah_fuzz_XXXXXX").string();
    if (!mkdtemp(name.data())) std::abort();
    path = name;
  }
  ~Scratch() { std::filesystem::remove_all(path); }
  void write(const char* name, std::string_view bytes) const {
    std::ofstream(path / name, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  }
};

struct Reader {
  const char *name, *file;
};
constexpr Reader kReaders[] = {{"T5Tokenizer", "spiece.model"},
                               {"LlamaTokenizer", "tokenizer.model"},
                               {"GemmaTokenizer", "tokenizer.model"},
                               {"AlbertTokenizer", "spiece.model"},
                               {"XLMRobertaTokenizer", "sentencepiece.bpe.model"},
                               {"BertGenerationTokenizer", "spiece.model"},
                               {"SiglipTokenizer", "spiece.model"},
                               {"SpeechT5Tokenizer", "spm_char.model"}};

void encode_and_decode(const Tokenizer& tokenizer, std::string_view text) {
  const Encoding e = tokenizer.encode(text);
  if (e.tokens.size() != e.ids.size() || e.offsets.size() != e.ids.size()) std::abort();
  if (tokenizer.encode_ids(text) != e.ids) std::abort();
  if (!unicode::is_valid(tokenizer.decode(e.ids, false))) std::abort();
}

}  // namespace

int sentencepiece_fuzz(const uint8_t* data, size_t size) {
  static const Scratch scratch;
  if (size == 0) return 0;
  const Reader& reader = kReaders[data[0] % std::size(kReaders)];
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const size_t zero = bytes.rfind('\0');
  const std::string_view text = zero == std::string_view::npos ? "a b" : bytes.substr(zero + 1);
  scratch.write("tokenizer_config.json", std::string("{\"tokenizer_class\":\"") + reader.name + "\",\"extra_ids\":3}");
  scratch.write(reader.file, bytes.substr(0, zero));
  try {
    encode_and_decode(*Tokenizer::from_folder(scratch.path), text);
  } catch (const Error& e) {
    if (std::string_view(e.what()).find('\n') != std::string_view::npos) std::abort();
  }
  std::filesystem::remove(scratch.path / reader.file);
  return 0;
}
