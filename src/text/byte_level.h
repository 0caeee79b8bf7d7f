// GPT-2's spelling of bytes as printable characters: printable bytes stand for themselves, the others for the
// characters from U+0100 on. Vocabularies of byte-level BPE are written in it.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace mynah::text {

// The character of each byte.
const std::array<char32_t, 256>& byte_characters();
// The byte of a character, -1 if it stands for none.
int byte_of_character(char32_t code);
// Appends the spelling of `bytes`.
void append_byte_spelling(std::string& out, std::string_view bytes);
// Appends the bytes that `spelled` stands for; a text with a character that stands for no byte is appended as it is.
void append_spelled_bytes(std::string& out, std::string_view spelled);

}  // namespace mynah::text
