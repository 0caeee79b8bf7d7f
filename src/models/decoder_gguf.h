// GGUF names and metadata that decoders share.
#pragma once
#include "models/decoder.h"

namespace mynah {

// Metadata -> config.json by Llama's key names, which most families use.
Json decoder_config_from_gguf(const Json& metadata, const char* model_type, const char* architecture);
// The architecture "llama" stands for Llama, for Mistral (it has a window) and for Mixtral (it has experts).
Json config_of_llama_gguf(const Json& metadata);
// Whether the file has this tensor.
bool gguf_has(const Json& metadata, const char* tensor);
// The reverse of decoder_config_from_gguf. `eps_key`: "attention.layer_norm_rms_epsilon" or "attention.layer_norm_epsilon". Throws
// failure for what readers of GGUF could not know: another activation than `expected`, windows (unless `windows`), factors.
Json decoder_metadata(const Json& json, const DecoderConfig& config, Activation expected, const char* eps_key, bool windows = false);
// rope_freqs.weight, for the rope types that GGUF says by it.
NamedLists rope_lists(const Json& config);
// Throws failure, saying that a GGUF file of this family has no field for `what`.
[[noreturn]] void no_gguf_field(const char* what);

inline constexpr const char *kRmsEps = "attention.layer_norm_rms_epsilon", *kNormEps = "attention.layer_norm_epsilon";

// Tensors that hold no parameter.
inline const std::vector<std::string_view> kDecoderBuffers{"rotary_emb.inv_freq", "rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight"};

// Llama's names after a family's own, which win. `pairs`: rows of queries and keys are reordered, as for the architecture "llama".
std::vector<GgufRule> with_decoder_rules(std::vector<GgufRule> own, bool pairs = false);

}  // namespace mynah
