// SentencePiece's .model files: a serialized ModelProto (github.com/google/sentencepiece, sentencepiece_model.proto).
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mynah::text {

enum class PieceType : int32_t { normal = 1, unknown = 2, control = 3, user_defined = 4, unused = 5, byte = 6 };

struct SentencePiece {
  std::string_view text;
  float score = 0;
  PieceType type = PieceType::normal;
};

struct SentencePieceFile {
  enum class Model : int32_t { unigram = 1, bpe = 2, word = 3, character = 4 };

  std::vector<SentencePiece> pieces;  // by id
  Model model = Model::unigram;
  bool byte_fallback = false, treat_whitespace_as_suffix = false;
  int32_t unk_id = 0, bos_id = 1, eos_id = 2, pad_id = -1;
  std::string_view unk_piece = "<unk>";

  // A normalizer's table of replacements (precompiled.h), and what happens to spaces.
  std::string_view charsmap, denormalizer_charsmap;
  bool add_dummy_prefix = true, remove_extra_whitespaces = true, escape_whitespaces = true;
};

// Views point into `bytes`. Throws integrity when they are not such a file; `where` names it.
SentencePieceFile read_sentencepiece(std::string_view bytes, std::string_view where);

}  // namespace mynah::text
