// A family's own way to generate: it asks a generator for answers to prompts, several together and as often as it needs, and makes
// its results of them. generate() takes it where Seq2SeqLM::decoding() gives one, and knows nothing else of the family.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/json.h"
#include "mynah/speech.h"
#include "nn/cache.h"
#include "nn/model.h"

namespace mynah::nn {

// Prompts that are answered together. Settings that are not named here are the caller's of generate().
struct DecodingCall {
  struct Row {
    std::shared_ptr<const Cache> source;  // what the decoder attends to (Seq2SeqLM::remember)
    std::vector<int32_t> tokens;          // the decoder's prompt, equally long in all rows
    std::vector<int32_t> seen;            // those of them that are not padding
    uint64_t stream = 0;                  // of random numbers
  };
  std::vector<Row> rows;
  int64_t num_beams = 1;
  float temperature = 0;          // above 0: sampled
  bool log_probabilities = false; // asks for DecodingAnswer's
  // Changes the scores [V] of the next token in place, after the settings' own processors; logits, or log-probabilities of beams.
  std::function<void(std::span<const int32_t> tokens, int64_t prompt_length, std::span<float> scores)> process;
};

struct DecodingAnswer {
  std::vector<int32_t> tokens;      // without the prompt; with the end token, if one ended it
  double log_probability = 0;       // sum over the tokens, of what the processors left, as at temperature 1
};

class Generator {
 public:
  virtual ~Generator() = default;
  virtual std::vector<DecodingAnswer> answer(const DecodingCall& call) = 0;
};

// A call of generate(), as its caller made it.
struct DecodingRequest {
  const NamedTensors& media;
  const std::vector<std::vector<int32_t>>& decoder_input_ids;  // empty, or the first prompts
  const Json& settings;                                        // generation_config.json
  const Json& config;                                          // config.json
  const SpeechSettings& speech;
  int64_t num_beams = 1, num_return_sequences = 1;
  int32_t start = -1, end = -1, pad = -1;                      // tokens; -1: none
  std::vector<int32_t> suppress_tokens = {};
};

class Decoding {
 public:
  virtual ~Decoding() = default;
  // num_return_sequences results for each row of media. Throws failure for inputs that do not fit the model, usage for settings that do not.
  virtual std::vector<Transcript> run(const DecodingRequest& request, Generator& generator) const = 0;
};

}  // namespace mynah::nn
