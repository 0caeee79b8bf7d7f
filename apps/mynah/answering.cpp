#include "answering.h"

namespace mynah::app {

GenerationConfig likeliest_settings(const Model& model, int64_t max_tokens) {
  GenerationConfig config = generation_defaults(model);
  config.do_sample = false;
  config.num_beams = 1;
  config.max_new_tokens = max_tokens;
  return config;
}

int64_t prompt_room(const Model& model, int64_t answer_tokens) {
  constexpr int64_t kUnlimited = 1 << 30;
  return model.context_length() > 0 ? model.context_length() - answer_tokens : kUnlimited;
}

}  // namespace mynah::app
