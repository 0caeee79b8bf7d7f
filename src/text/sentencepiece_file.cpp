#include "text/sentencepiece_file.h"

#include <cstring>

#include "base/require.h"
#include "base/unicode.h"

namespace mynah::text {
namespace {

// One message of the protocol buffer format: fields one after the other.
class Message {
 public:
  Message(std::string_view bytes, std::string_view where) : bytes_(bytes), where_(where) {}

  // The next field; false at the end.
  bool next() {
    if (at_ == bytes_.size()) return false;
    const uint64_t key = varint();
    field = key >> 3;
    switch (key & 7) {
      case 0:
        number_ = varint();
        break;
      case 1:
        number_ = fixed<uint64_t>();
        break;
      case 2:
        text_ = take(varint());
        break;
      case 5:
        number_ = fixed<uint32_t>();
        break;
      default:
        broken();
    }
    wire_ = key & 7;
    return true;
  }

  uint64_t field = 0;

  std::string_view bytes() const {
    if (wire_ != 2) broken();
    return text_;
  }
  int32_t integer() const {
    if (wire_ != 0) broken();
    return static_cast<int32_t>(number_);
  }
  bool flag() const { return integer() != 0; }
  float real() const {
    if (wire_ != 5) broken();
    const auto bits = static_cast<uint32_t>(number_);
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
  }
  Message message() const { return Message(bytes(), where_); }

 private:
  [[noreturn]] void broken() const {
    fail(ErrorCode::integrity, "{}: not a SentencePiece model: broken at byte {} of a part of {} bytes", where_, at_,
         bytes_.size());
  }
  uint64_t varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (at_ == bytes_.size()) broken();
      const auto byte = static_cast<unsigned char>(bytes_[at_++]);
      value |= static_cast<uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return value;
    }
    broken();
  }
  std::string_view take(uint64_t size) {
    if (size > bytes_.size() - at_) broken();
    at_ += size;
    return bytes_.substr(at_ - size, size);
  }
  template <class T>
  uint64_t fixed() {
    T value;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }

  std::string_view bytes_, where_;
  size_t at_ = 0;
  uint64_t wire_ = 0, number_ = 0;
  std::string_view text_;
};

SentencePiece read_piece(Message m, std::string_view where) {
  SentencePiece piece;
  piece.text = std::string_view("", 0);
  while (m.next()) {
    if (m.field == 1) piece.text = m.bytes();
    if (m.field == 2) piece.score = m.real();
    if (m.field == 3) piece.type = static_cast<PieceType>(m.integer());
  }
  if (!unicode::is_valid(piece.text)) fail(ErrorCode::integrity, "{}: a piece is not valid UTF-8", where);
  if (!(piece.score > -1e30f && piece.score < 1e30f))
    fail(ErrorCode::integrity, "{}: the score of a piece is not a number", where);
  return piece;
}

void read_trainer(Message m, SentencePieceFile& out) {
  while (m.next()) switch (m.field) {
      case 3:
        out.model = static_cast<SentencePieceFile::Model>(m.integer());
        break;
      case 24:
        out.treat_whitespace_as_suffix = m.flag();
        break;
      case 35:
        out.byte_fallback = m.flag();
        break;
      case 40:
        out.unk_id = m.integer();
        break;
      case 41:
        out.bos_id = m.integer();
        break;
      case 42:
        out.eos_id = m.integer();
        break;
      case 43:
        out.pad_id = m.integer();
        break;
      case 45:
        out.unk_piece = m.bytes();
        break;
      default:
        break;
    }
}

void read_normalizer(Message m, SentencePieceFile& out) {
  while (m.next()) switch (m.field) {
      case 2:
        out.charsmap = m.bytes();
        break;
      case 3:
        out.add_dummy_prefix = m.flag();
        break;
      case 4:
        out.remove_extra_whitespaces = m.flag();
        break;
      case 5:
        out.escape_whitespaces = m.flag();
        break;
      default:
        break;
    }
}

}  // namespace

SentencePieceFile read_sentencepiece(std::string_view bytes, std::string_view where) {
  constexpr size_t kMostPieces = 16u << 20;
  SentencePieceFile out;
  Message m(bytes, where);
  while (m.next()) switch (m.field) {
      case 1:
        out.pieces.push_back(read_piece(m.message(), where));
        if (out.pieces.size() > kMostPieces) fail(ErrorCode::integrity, "{}: more than {} pieces", where, kMostPieces);
        break;
      case 2:
        read_trainer(m.message(), out);
        break;
      case 3:
        read_normalizer(m.message(), out);
        break;
      case 5:
        for (Message d = m.message(); d.next();)
          if (d.field == 2) out.denormalizer_charsmap = d.bytes();
        break;
      default:
        break;
    }
  if (out.pieces.empty()) fail(ErrorCode::integrity, "{}: not a SentencePiece model: it has no pieces", where);
  return out;
}

}  // namespace mynah::text
