// Decoders: a stack of layers of attention and a feed-forward part, and an output matrix. Families differ by switches, and their
// checkpoints by names: each family has a file that fills DecoderConfig from its config.json.
// Shapes: N tokens of all sequences, C hidden, H heads, K kv heads, D head size, I intermediate, V vocabulary.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "models/experts.h"
#include "models/model_entry.h"
#include "nn/causal_lm.h"
#include "nn/config.h"
#include "nn/layers.h"
#include "nn/rope.h"

namespace mynah {

// Queries, keys and values come from: three matrices; one with the rows of all queries, all keys, all values; or one with the
// rows [K, H/K + 2, D]: for each kv head its queries, its key, its value.
enum class Projection { apart, joined, grouped };

// Norms of queries and keys before they turn: none; one weight [D] for all heads; one [H * D] over all heads together; a weight
// for each head, in one tensor [H, D] or in H tensors "norms.N".
enum class QkNorm { none, heads, rows, each_head, each_head_apart };

// What a family's configuration class fills in where config.json says nothing. Zero: kv_heads as heads, head_dim hidden / heads.
struct DecoderDefaults {
  int64_t vocab, hidden, intermediate, layers, heads, kv_heads, head_dim, positions;
  double eps = 1e-6, theta = 10000;  // no theta: no rope
  const char* activation = "silu";
  bool tied = false;
  int pad = -1;
  const char* eps_key = "rms_norm_eps";
};

// A number of config.json in the precision of the weights.
inline float config_float(const Json& json, const char* key, double otherwise) { return static_cast<float>(nn::config_number(json, key, otherwise)); }

// Where the checkpoint keeps what. Defaults are Llama's. An empty module name: its parts lie directly in the layer.
struct DecoderNames {
  std::string base = "model", embed = "embed_tokens", positions, layers = "layers", embed_norm, final_norm = "norm", head = "lm_head";
  std::string attention = "self_attn", q = "q_proj", k = "k_proj", v = "v_proj", qkv = "qkv_proj", o = "o_proj", q_norm = "q_norm", k_norm = "k_norm";
  std::string mlp = "mlp", gate = "gate_proj", up = "up_proj", gate_up = "gate_up_proj", down = "down_proj";
  // Norms of a layer: before and after attention, before and after the feed-forward part; empty where there is none.
  std::string before_attention = "input_layernorm", after_attention, before_mlp = "post_attention_layernorm", after_mlp;
  std::string token_classifier = "score";
  // Attention to an encoder's rows, between the layer's own and its feed-forward part; its norm; its queries; its keys and values.
  std::string cross = "crossattention", before_cross = "ln_cross_attn", cross_q = "q_attn", cross_kv = "c_attn";
};

struct DecoderConfig {
  DecoderConfig() = default;
  // Reads the keys that most families share, by the names that Llama gives them, and its rope.
  DecoderConfig(const Json& c, const DecoderDefaults& defaults);
  nn::Init init() const { return nn::Init::with_std(initializer_range); }

  int64_t vocab_size = 0, hidden_size = 0, intermediate_size = 0, num_hidden_layers = 0, num_attention_heads = 0, num_key_value_heads = 0, head_dim = 0,
          max_position_embeddings = 0;
  int32_t pad_token_id = -1;
  float initializer_range = 0.02f;
  float residual_init = 0;                // > 0: what the projections that end in the residual stream start with
  bool tie_word_embeddings = false, transposed = false;  // transposed: matrices are stored as [in, out]
  DecoderNames names;

  nn::NormKind norm = nn::NormKind::rms;
  float norm_eps = 0;
  bool parallel = false;                  // attention and feed-forward part read the layer's input, their outputs are added together
  bool norm_after_sum = false;            // after_attention and after_mlp norm the sum with the residual stream, not what is added
  bool residual_is_normed = false;        // what a part is added to is its normed input

  Projection projection = Projection::apart;
  bool qkv_bias = false, o_bias = false;
  QkNorm qk_norm = QkNorm::none;
  nn::NormKind qk_norm_kind = nn::NormKind::rms;
  AttentionConfig attention;              // of every layer, but for the window
  bool scale_by_layer = false;            // scores of layer i (from 0) are divided by i + 1
  float clip_qkv = 0;                     // > 0: projections are clamped to this
  std::vector<int64_t> windows;           // of each layer, 0 for none; empty: none anywhere

  std::vector<nn::Rope> ropes;            // none: positions come from a table or from slopes
  std::vector<int> rope_of_layer;         // index into ropes, -1 for no rotation; empty: the first everywhere
  bool reads_anew = false;                // PositionSwitch::anew
  std::vector<int64_t> axis_sections;     // how many frequencies turn by TokenBatch's first axis, the second, the third; empty: all by positions
  bool interleaved_rope = false;          // neighbouring elements turn together, not those half a head apart
  int64_t position_rows = 0, position_offset = 0;        // of the table of positions
  bool positions_skip_padding = false;    // positions count what the mask shows (hidden tokens have -1)
  bool packs = true;                      // positions without a mask may mean packed sequences
  enum class Slopes { none, exact, bf16 } slopes = Slopes::none;  // arXiv:2108.12409; bf16: slopes and products are rounded so

  // While training: of attention's weights; of what each part adds, `mlp_dropout` where the feed-forward part has its own; of what
  // enters the first layer; of whole layers.
  float attention_dropout = 0, residual_dropout = 0, embedding_dropout = 0, layer_dropout = 0;
  std::optional<float> mlp_dropout;
  bool drops_sum = false;                 // parallel parts are dropped together, as the feed-forward part is

  Activation hidden_act = Activation::silu;
  bool mlp_bias = false, gated = true, joined_gate_up = false;
  std::optional<ExpertsConfig> experts;
  std::vector<bool> sparse_layers;        // which layers have experts; empty: all if there are any

  int64_t embed_size = 0;                 // > 0: the width of embeddings and output, when it is not hidden_size: project_in, project_out
  float embedding_scale = 1, residual_scale = 1, logit_scale = 1, logit_softcap = 0;
  bool head_bias = false;
  bool crosses = false;                   // layers also attend to an encoder's rows [M, C]
};

// An optional limit of config.json: null means 0 (none), a missing key `otherwise`.
int64_t config_limit(const Json& config, const char* key, int64_t otherwise);
float config_cap(const Json& config, const char* key, float otherwise);
// The window of each layer: `window` where layer_types says sliding_attention or, without that key, where `slides(i)`. Throws
// failure for another layer type, and for sliding layers without a window.
std::vector<int64_t> layer_windows(const Json& config, int64_t layers, int64_t window, bool (*slides)(const Json& config, int64_t layer));
// Question answerers of some families keep their body under "transformer", all else under "model".
std::string decoder_base(const Json& config);

class Decoder : public nn::CausalLM {
 public:
  Decoder(const Json& json, DecoderConfig config, const nn::Weights& w);
  ~Decoder() override;

  Tensor body(const nn::TokenBatch& batch, std::vector<Tensor>* states) const override;
  Tensor head(const Tensor& hidden) const override;
  nn::CacheShape cache_shape() const override;
  int64_t vocabulary_size() const override { return c_.vocab_size; }
  int64_t max_positions() const override { return c_.max_position_embeddings; }
  Tensor auxiliary_loss(const nn::TokenBatch& batch) const override;
  float auxiliary_weight() const override { return c_.experts ? c_.experts->balance_weight : 0; }
  bool packs() const override { return c_.packs; }
  PositionSwitch position_switch() const override {
    const int64_t length = c_.ropes.empty() ? 0 : c_.ropes.front().switch_length();
    return {length, c_.reads_anew && length > 0};
  }
  bool takes_media() const override { return true; }
  void remember(const Tensor& rows, nn::Cache* memory) const override;
  nn::CacheShape memory_shape() const override { return {static_cast<int>(c_.num_hidden_layers), c_.num_attention_heads, c_.head_dim}; }

 private:
  struct Layer;
  Tensor embed(const nn::TokenBatch& batch) const;

  DecoderConfig c_;
  nn::Matrix embed_, head_;
  nn::Linear project_in_, project_out_;
  nn::Norm embed_norm_, norm_;
  Tensor positions_, head_bias_;
  std::vector<Layer> layers_;
};

// `make` of a family that needs nothing but its configuration.
template <DecoderConfig (*config)(const Json&)>
std::unique_ptr<nn::Model> make_decoder(const Json& json, const nn::Weights& w) {
  return std::make_unique<Decoder>(json, config(json), w);
}

}  // namespace mynah
