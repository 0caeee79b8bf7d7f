// What a configuration asks for and a family does not know is refused in one clear line.
#include <gtest/gtest.h>

#include <algorithm>

#include "mynah/error.h"
#include "mynah/model.h"

namespace mynah {
namespace {

struct Refusal {
  const char* name;
  const char* config;
  const char* says;
};

class Refusals : public testing::TestWithParam<Refusal> {};

TEST_P(Refusals, SayWhatIsNotKnown) {
  const std::string sizes = R"("vocab_size":20,"hidden_size":8,"num_hidden_layers":2,"num_attention_heads":2,"num_key_value_heads":2,"intermediate_size":8,)";
  try {
    Model::create("{" + sizes + GetParam().config + "}", 1);
    FAIL() << "was accepted";
  } catch (const Error& e) {
    const std::string message = e.what();
    EXPECT_NE(message.find(GetParam().says), std::string::npos) << message;
    EXPECT_EQ(std::count(message.begin(), message.end(), '\n'), 0) << message;
  }
}

constexpr Refusal kRefusals[] = {
    {"LayerType", R"("model_type":"qwen2","layer_types":["full_attention","chunked_attention"])", "layer type \"chunked_attention\" is not known"},
    {"LayerTypes", R"("model_type":"qwen2","layer_types":["full_attention"])", "layer_types must name 2 layers"},
    {"NoWindow", R"("model_type":"qwen2","layer_types":["full_attention","sliding_attention"])", "there is no sliding_window"},
    {"RopeType", R"("model_type":"mistral","rope_scaling":{"rope_type":"spiral","factor":2})", "rope type \"spiral\" is not known"},
    {"Activation", R"("model_type":"gemma2","head_dim":4,"hidden_activation":"swoosh")", "swoosh"},
    {"NeoLayer", R"("model_type":"gpt_neo","num_layers":2,"num_heads":2,"attention_types":[[["global","sparse"],1]])", "attention type \"sparse\" is not known"},
    {"NeoCount", R"("model_type":"gpt_neo","num_layers":2,"num_heads":2,"attention_types":[[["global"],1]])", "attention_types names 1 layers, there are 2"},
    {"Experts", R"("model_type":"mixtral","num_key_value_heads":1,"num_local_experts":2,"num_experts_per_tok":3)", "3 experts for each token, there are 2"},
    {"FalconNorms", R"("model_type":"falcon","num_ln_in_parallel_attn":2)", "needs new_decoder_architecture"},
    {"Heads", R"("model_type":"llama","num_key_value_heads":3)", "2 heads cannot share 3 key-value heads"},
    {"Head", R"("model_type":"llama","architectures":["LlamaForRanking"])", "architecture \"LlamaForRanking\" is not known; of llama there are LlamaForCausalLM"},
    {"NearlyAHead", R"("model_type":"llamas","architectures":["LlamaForCausalML"])", "architecture \"LlamaForCausalML\" is not known, did you mean LlamaForCausalLM?"},
    {"Family", R"("model_type":"bird","architectures":["BirdForSinging"])", "architecture \"BirdForSinging\" is not known; docs/models.md lists those that are"},
};

INSTANTIATE_TEST_SUITE_P(Configs, Refusals, testing::ValuesIn(kRefusals), [](const auto& test) { return std::string(test.param.name); });

}  // namespace
}  // namespace mynah
