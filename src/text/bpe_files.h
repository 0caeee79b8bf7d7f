// Byte-pair models from the vocabularies and merges that files hold.
#pragma once
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "text/bpe.h"

namespace mynah::text {

using MergeList = std::vector<std::pair<std::string_view, std::string_view>>;

// A JSON object from token to id. Views point into `source` or `arena`.
Vocabulary read_vocabulary(std::string_view source, std::string_view where, TextArena& arena);
// "left right". Throws integrity when it is not two tokens.
std::pair<std::string_view, std::string_view> split_merge(std::string_view line);
// merges.txt: one merge a line. `versioned`: whatever the first line holds, it is no merge.
MergeList read_merge_lines(std::string_view text, bool versioned = true);

// Throws integrity when a merge needs a token that is not in the vocabulary.
std::unique_ptr<Model> make_bpe(Vocabulary vocabulary, const MergeList& merges, BpeOptions options);

}  // namespace mynah::text
