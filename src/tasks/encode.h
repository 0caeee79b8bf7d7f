// Texts to model inputs and through the network, for tasks that read whole texts.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "tasks/task_entry.h"

namespace mynah::tasks {

// A text, or a pair {"text": ..., "text_pair": ...}.
struct TextInput {
  std::string text;
  std::optional<std::string> pair;
};
// Whether a value is such an object.
bool is_text_object(const Json& input);
// Says that an input is not what was expected, or that there is none.
// last_hidden_state, which a model of texts gives; refuses one that does not.
const Tensor& hidden_states(const OpenTask& task, const nn::NamedTensors& outputs);

[[noreturn]] void refuse_input(const OpenTask& task, const Json& input, const char* expected);
// Throws failure for anything else.
TextInput text_input(const OpenTask& task, const Json& input);
// One text alone.
std::string one_text(const OpenTask& task, const Json& input);
// Whether a value is a conversation: messages, each with a role and content.
bool is_chat(const Json& input);

// Tokenizer arguments of the reference among `options`: truncation (true, false, "only_first", ...), max_length,
// add_special_tokens, padding (which changes no result). `always`: truncation where none is asked for.
EncodeOptions encode_options(const Json& options, Truncation always = Truncation::none);

// The text cut as `options` ask for it; what was cut off is said in the log.
Encoding encode(const OpenTask& task, const TextInput& input, EncodeOptions options);

// Says in the log how much of the input an encoding of `most` tokens lacks, if it does.
void warn_if_cut(const OpenTask& task, const Encoding& e, const TextInput& input, std::optional<int64_t> most, std::string_view advice = {});

// Runs the network over encodings, those of like length together, and calls `take(row, outputs, place)`: `place` is the row's place
// in the batch. The order of the calls is not that of the rows. `most_tokens`: of one batch with its padding.
using TakeOutputs = std::function<void(size_t row, const nn::NamedTensors& outputs, int64_t place)>;
// `add` gives a batch what its model reads beside the tokens.
using AddInputs = std::function<void(const std::vector<const Encoding*>& rows, nn::NamedTensors* inputs)>;
void forward_encodings(const OpenTask& task, const std::vector<Encoding>& encodings, const TakeOutputs& take, int64_t most_tokens = 4096, const AddInputs& add = {});

// Row `place` of [B, ...] as numbers. With `tokens`, only that many rows of [B, T, ...].
std::vector<float> row_values(const Tensor& batch, int64_t place, int64_t tokens = -1);

}  // namespace mynah::tasks
