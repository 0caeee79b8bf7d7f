// The Unicode normalisation forms with the origin of every character.
#pragma once
#include "base/unicode.h"
#include "text/pieces.h"

namespace mynah::text {

// Puts the normal form of a piece. Offsets follow the reference: a composite comes from its first character, the parts
// of a decomposition from theirs.
void normalize_piece(const Pieces& pieces, const Piece& piece, unicode::Form form, Rewriter& out);

}  // namespace mynah::text
