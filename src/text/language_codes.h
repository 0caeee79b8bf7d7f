// The languages that multilingual models name by a token, in the order of their ids.
#pragma once
#include <span>
#include <string_view>

namespace mynah::text {

std::span<const std::string_view> mbart_codes();    // "en_XX"
std::span<const std::string_view> mbart50_codes();  // "en_XX"
std::span<const std::string_view> nllb_codes();     // "eng_Latn"
std::span<const std::string_view> m2m100_codes();   // "en", as a token "__en__"
std::span<const std::string_view> wmt21_codes();

}  // namespace mynah::text
