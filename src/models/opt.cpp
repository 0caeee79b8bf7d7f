// OPT (arXiv:2205.01068): learned positions that skip padding, biases, relu; the 350M size norms after each sum and keeps narrower
// embeddings behind projections.

#include "base/require.h"
#include "models/decoder.h"
#include "mynah/json.h"
#include "nn/config.h"
#include "nn/dropout.h"

namespace mynah {
namespace {

DecoderConfig opt(const Json& json) {
  Json full = json;
  if (json.contains("init_std")) full["initializer_range"] = json["init_std"];
  if (json.contains("ffn_dim")) full["intermediate_size"] = json["ffn_dim"];
  full["hidden_act"] = nn::config_string(json, "activation_function", "relu");
  DecoderConfig c(full, {50272, 768, 3072, 12, 12, 0, 0, 2048, 1e-5, 0, "relu", true, 1});
  require(c.hidden_size == c.head_dim * c.num_attention_heads, "config.json: hidden_size {} is not a multiple of {} heads", c.hidden_size, c.num_attention_heads);
  c.norm_eps = 1e-5f;
  c.residual_dropout = nn::dropout_rate(json, "dropout", 0.1);
  c.layer_dropout = nn::dropout_rate(json, "layerdrop", 0);
  require(nn::config_bool(json, "layer_norm_elementwise_affine", true), "config.json: layer_norm_elementwise_affine false is not supported for opt");
  c.norm = nn::NormKind::layer;
  c.position_offset = 2;  // rows 0 and 1 of the table belong to no position; hidden tokens read row 1
  c.position_rows = c.max_position_embeddings + c.position_offset;
  c.positions_skip_padding = true;
  c.packs = false;
  c.gated = false;
  c.qkv_bias = c.o_bias = c.mlp_bias = nn::config_bool(json, "enable_bias", true);
  c.embed_size = nn::config_int(json, "word_embed_proj_dim", c.hidden_size);
  c.names = {.base = "model.decoder", .positions = "embed_positions", .final_norm = "final_layer_norm", .o = "out_proj", .mlp = "", .up = "fc1", .down = "fc2",
             .before_attention = "self_attn_layer_norm", .before_mlp = "final_layer_norm"};
  if (!nn::config_bool(json, "do_layer_norm_before", true)) {
    std::swap(c.names.before_attention, c.names.after_attention);
    std::swap(c.names.before_mlp, c.names.after_mlp);
    c.norm_after_sum = true;
    c.names.final_norm = "";
  }
  if (nn::config_bool(json, "_remove_final_layer_norm", false)) c.names.final_norm = "";
  return c;
}

}  // namespace

extern const ModelEntry model_opt{
    "opt", {"OPTForCausalLM", "OPTModel", "OPTForSequenceClassification", "OPTForQuestionAnswering"}, make_decoder<opt>, "model.", {}, {}};

}  // namespace mynah
