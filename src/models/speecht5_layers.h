// The transformer of SpeechT5: an encoder with relative positions and a decoder, without what stands before and behind
// them. Paper: arXiv:2110.07205. Shapes: B rows, T places, C hidden, H heads, D head size.
#pragma once
#include <memory>
#include <utility>
#include <vector>

#include "models/wav2vec2_layers.h"
#include "nn/cache.h"
#include "nn/layers.h"
#include "nn/model.h"
#include "nn/token_batch.h"

namespace mynah::speecht5 {

// config.json by its own key names.
struct Config : SoundFeatureConfig {
  int64_t vocab_size, hidden_size, encoder_layers, encoder_attention_heads, encoder_ffn_dim, decoder_layers,
      decoder_attention_heads, decoder_ffn_dim, encoder_max_relative_position, num_mel_bins,
      speech_decoder_prenet_layers, speech_decoder_prenet_units, speaker_embedding_dim, speech_decoder_postnet_layers,
      speech_decoder_postnet_units, speech_decoder_postnet_kernel, reduction_factor, guided_attention_loss_num_heads,
      pad_token_id, decoder_start_token_id, max_text_positions, max_speech_positions;
  bool scale_embedding, use_guided_attention_loss;
  Activation hidden_act;
  float layer_norm_eps, initializer_range, speech_decoder_prenet_dropout, guided_attention_loss_sigma,
      guided_attention_loss_scale;

  explicit Config(const Json& c);
  nn::Init init() const { return nn::Init::with_std(initializer_range); }
};

struct FeedForward {
  FeedForward(const Config& c, const nn::Weights& w, int64_t width)
      : dense(w, "intermediate_dense", c.hidden_size, width, c.init()),
        output(w, "output_dense", width, c.hidden_size, c.init()),
        act(c.hidden_act) {}
  Tensor operator()(const Tensor& x) const { return output(activate(dense(x), act)); }
  nn::Linear dense, output;
  Activation act;
};

class Encoder {
 public:
  Encoder(const Config& c, const nn::Weights& w);
  // x [B,T,C] -> [B,T,C]; mask [B*T], 0 hides a place, or empty. With `states`, appends what each layer reads and the
  // last output.
  Tensor operator()(const Tensor& x, const std::vector<uint8_t>& mask, std::vector<Tensor>* states) const;

 private:
  struct Layer {
    Layer(const Config& c, const nn::Weights& w);
    nn::JoinedLinear qkv;
    nn::Linear out_proj;
    nn::LayerNorm layer_norm;
    FeedForward feed_forward;
    nn::LayerNorm final_layer_norm;
  };
  Tensor attend(const Layer& layer, const Tensor& rows, const Shape& shape, const std::vector<uint8_t>& mask) const;

  int64_t heads_, head_dim_, reach_;
  nn::LayerNorm norm_;
  nn::Matrix distances_;  // an embedding of each distance
  std::vector<Layer> layers_;
};

// What the decoder reads of the encoder's output: keys and values of every layer [B,H,S,D], and what it may not see.
struct Memory {
  std::vector<Tensor> keys, values;
  Tensor hidden;  // added to the scores [B,1,1,S]: very negative where a place is hidden; or undefined
};

class Decoder {
 public:
  Decoder(const Config& c, const nn::Weights& w);
  Memory remember(const Tensor& encoded,
                  const std::vector<uint8_t>& mask) const;  // encoded [B,S,C], mask [B*S] or empty
  // x [B,T,C] -> [B,T,C]; mask [B*T] or empty. With `cache` (one row), x follows what it holds. With `weights`, appends
  // each layer's cross-attention [B,H,T,S].
  Tensor operator()(const Tensor& x, const std::vector<uint8_t>& mask, const Memory& memory, nn::Cache* cache,
                    std::vector<Tensor>* states, std::vector<Tensor>* weights) const;
  // The same over rows of several sequences, one after another, with what the batch knows of an encoder: for
  // generation.
  Tensor forward(Tensor rows, const nn::TokenBatch& batch, std::vector<Tensor>* states) const;
  void remember_rows(const Tensor& rows, nn::Cache* memory) const;
  nn::CacheShape cache_shape() const { return {static_cast<int>(layers_.size()), heads_, head_dim_}; }

 private:
  struct Layer {
    Layer(const Config& c, const nn::Weights& w);
    nn::JoinedLinear qkv;
    nn::Linear out_proj;
    nn::LayerNorm self_attn_layer_norm;
    nn::Linear q, k, v, cross_out;
    nn::LayerNorm encoder_attn_layer_norm;
    FeedForward feed_forward;
    nn::LayerNorm final_layer_norm;
  };
  Tensor by_head(const Tensor& x) const;  // [B,T,C] -> [B,H,T,D]
  std::pair<Tensor, Tensor> keys_values(const Layer& layer, const Tensor& rows) const;

  int64_t heads_, head_dim_;
  std::vector<Layer> layers_;
};

// SpeechT5ForSpeechToText (speecht5_hear.cpp).
std::unique_ptr<nn::Model> make_speech_to_text(const Json& config, const nn::Weights& w);

}  // namespace mynah::speecht5
