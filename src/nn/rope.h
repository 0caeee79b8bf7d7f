// Rotary position embedding: frequencies of every rope type that checkpoints name, and the tables of cosines and sines.
// Types and formulas: arXiv:2104.09864 (default), arXiv:2309.00071 (yarn), arXiv:2402.13753 (longrope), Llama 3.1 (llama3).
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/json.h"
#include "mynah/tensor.h"

namespace mynah::nn {

// rope_parameters or rope_scaling of a config, an empty object if there is neither; and the type it names, "default" for none.
Json rope_settings(const Json& config);
std::string rope_type(const Json& settings);

class Rope {
 public:
  // Reads rope_theta, rope_scaling / rope_parameters, partial_rotary_factor, max_position_embeddings and
  // original_max_position_embeddings of a Hugging Face config. `head_dim`: elements of a head. Throws failure for an unknown
  // type or a missing or misshapen field.
  Rope(const Json& config, int64_t head_dim, double default_theta = 10000.0);

  // cos and sin [positions, R/2], R the turned elements of a head. Types that depend on the length (dynamic, longrope) go by each
  // sequence's last position or, where it is more, by its `reach` (TokenBatch; may be empty).
  std::pair<Tensor, Tensor> tables(std::span<const int32_t> positions, std::span<const int64_t> sequence_lengths, std::span<const int64_t> reach = {}) const;
  // The same for tokens with three places each: the first sections[0] frequencies turn by the first of them, the next sections[1] by the
  // second, the rest by the third (arXiv:2409.12191). Only for types that do not depend on the length.
  std::pair<Tensor, Tensor> tables(std::span<const std::array<int32_t, 3>> axes, std::span<const int64_t> sections) const;
  int64_t rotary_dim() const { return rotary_; }
  int64_t max_positions() const { return max_positions_; }
  double theta() const { return theta_; }
  // Multiplies cos and sin.
  float attention_factor() const { return attention_factor_; }
  // Radians per position [R/2], as they are for types that do not depend on the length.
  std::span<const float> inverse_frequencies() const { return inverse_frequencies_; }
  // Texts longer than this turn otherwise (longrope); 0: all turn alike.
  int64_t switch_length() const { return type_ == Type::longrope ? original_positions_ : 0; }

 private:
  std::vector<float> frequencies(int64_t length) const;

  enum class Type { plain, dynamic, longrope } type_ = Type::plain;
  int64_t rotary_ = 0, max_positions_ = 0, original_positions_ = 0;
  double theta_ = 0, factor_ = 1;
  float attention_factor_ = 1;
  std::vector<float> inverse_frequencies_; // of the plain types
  std::vector<float> short_factors_, long_factors_;
};

}  // namespace mynah::nn
