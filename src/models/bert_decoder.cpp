#include "models/bert_decoder.h"

#include "base/require.h"

namespace mynah {

BertDecoder::BertDecoder(const Json& json, const BertConfig& c, const nn::Weights& w, const BertFamily& family,
                         const BertDecoding& decoding)
    : CausalLM(json),
      c_(c),
      causal_(decoding.causal),
      embeddings_(c_, w / family.base / "embeddings", c_.hidden_size),
      stack_(c_, w / family.base / family.stack, family.layer, decoding),
      head_(json, w, family.heads.masked_lm, c_.hidden_size, embeddings_.word,
            family.heads.masked_lm_act.value_or(c_.hidden_act), c_.layer_norm_eps, c_.init()) {
  require(c_.position_embedding_type == BertConfig::Positions::absolute,
          "config.json: decoders of this family have absolute positions only");
}

void BertDecoder::remember(const Tensor& rows, nn::Cache* memory) const {
  for (size_t i = 0; i < stack_.layers.size(); ++i) {
    if (!stack_.layers[i].cross) return CausalLM::remember(rows, memory);
    const auto [k, v] = stack_.layers[i].cross->keys_values(rows);
    nn::append_rows(memory->layer(static_cast<int>(i)), k, v, 0, rows.size(0));
  }
}

}  // namespace mynah
