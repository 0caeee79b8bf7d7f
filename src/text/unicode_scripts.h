// Scripts of characters, as far as the pre-tokenizer that cuts between them tells them apart.
#pragma once

namespace mynah::text {

constexpr int kAnyScript = -1;  // belongs to every script: spaces, characters that are not assigned
int unicode_script(char32_t code);

}  // namespace mynah::text
