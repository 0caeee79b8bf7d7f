#include "train/samples.h"

#include "mynah/autograd.h"
#include "mynah/generate.h"
#include "ops/gemm.h"

namespace mynah::train {

std::function<Json(const Arguments&)> sampler(const std::shared_ptr<bundle::Bundle>& b) {
  const bool writes = b->network->kind() == nn::HeadKind::causal_lm && b->network->causal_lm() && !b->network->seq2seq_lm() && b->tokenizer;
  if (!writes) return {};
  return [b](const Arguments& a) {
    const NoGrad no_grad;
    const ops::ProductScope products(false);  // generation has its own precision
    const Model model(b);
    GenerationConfig config = generation_defaults(model);
    config.max_new_tokens = a.sample_max_new_tokens;
    config.max_length.reset();
    config.seed = a.seed;
    if (!config.do_sample) {
      config.do_sample = true;
      config.temperature = 0.7f;
      config.top_p = 0.9f;
    }
    std::vector<std::vector<int32_t>> prompts;
    for (const std::string& text : a.sample_prompts) prompts.push_back(b->chat_template ? chat_prompt(model, {{"user", text}}) : b->tokenizer->encode_ids(text));
    const std::vector<Generated> answers = generate(model, prompts, config);
    Json samples = Json::array();
    for (size_t i = 0; i < answers.size(); ++i) samples.push_back({{"prompt", a.sample_prompts[i]}, {"text", answers[i].text}});
    return samples;
  };
}

}  // namespace mynah::train
