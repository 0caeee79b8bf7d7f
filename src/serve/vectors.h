// Vectors of texts: what embedding routes of every dialect are made of.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "serve/models.h"
#include "serve/notes.h"
#include "serve/turn.h"

namespace mynah::serve {

struct Call;

struct Vectors {
  std::vector<std::vector<float>> rows;
  int64_t tokens = 0;
};

struct VectorOptions {
  VectorOptions() = default;
  explicit VectorOptions(const Call& call);

  bool normalize = true;
  bool truncate = true;                    // else a text that does not fit is refused
  std::optional<int64_t> dimensions;       // cut to so many, then normalised again
  std::optional<std::string> prompt_name;  // of sentence-transformers' settings; their default one without
  ClientLeft left;                         // looked at between batches
  std::shared_ptr<RequestNotes> notes;     // where the tokens are counted; null: nowhere
};

// One vector for each text: pooled as the model's own files say (1_Pooling/config.json), else the mean of the tokens;
// of a model that generates, the last token's. Throws ApiError 400.
Vectors vectors_of(const LoadedModel& model, const std::vector<std::vector<int32_t>>& texts,
                   const VectorOptions& options);
// The same for texts; a folder that lists sentence-transformers' modules is computed by them.
Vectors vectors_of_texts(LoadedModel& model, const std::vector<std::string>& texts, const VectorOptions& options);
// The most tokens of a text: of the model, and of sentence-transformers' settings; 0 if unlimited.
int64_t most_tokens(const LoadedModel& model);
std::vector<int32_t> vector_ids(const LoadedModel& model, const std::string& text);
// A row for each token, special ones included, neither pooled nor normalised.
std::vector<std::vector<float>> token_vectors(const LoadedModel& model, const std::vector<int32_t>& ids, const ClientLeft& left);

float cosine(const std::vector<float>& a, const std::vector<float>& b);

}  // namespace mynah::serve
