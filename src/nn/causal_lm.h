// Decoder-only language models: what a family implements, and the reference's forward pass made from it.
#pragma once
#include <cstdint>
#include <string_view>
#include <vector>

#include "mynah/json.h"
#include "nn/inputs.h"
#include "nn/layers.h"
#include "nn/model.h"
#include "nn/token_batch.h"

namespace mynah::nn {

class CausalLM : public Model {
 public:
  HeadKind kind() const override { return kind_; }

  // Hidden rows [N, C] after the final norm, or those that the batch says are read alone (wanted_rows). With `states`, appends the embedding output and each layer's output (the last one
  // after the final norm), as the reference's hidden_states. With caches, this batch's keys and values are appended.
  virtual Tensor body(const TokenBatch& batch, std::vector<Tensor>* states) const = 0;
  // Logits [n, V] of hidden rows [n, C].
  virtual Tensor head(const Tensor& hidden) const = 0;
  virtual CacheShape cache_shape() const = 0;  // the type is cache_type()'s affair
  // An empty cache for one sequence.
  Cache new_cache() const { return Cache(typed(cache_shape())); }
  virtual int64_t vocabulary_size() const = 0;
  // Positions that the model has, 0 if there is no limit.
  virtual int64_t max_positions() const = 0;
  // Whether what the cache holds of a token depends on tokens behind it: then no other text may begin with a cache's prefix.
  virtual bool sees_ahead() const { return false; }
  // The length of texts beyond which all their positions turn otherwise (longrope); 0: none. A text that grows beyond it keeps what was
  // computed of its beginning or, `anew`, is read once more from the start.
  struct PositionSwitch {
    int64_t length = 0;
    bool anew = false;
  };
  virtual PositionSwitch position_switch() const { return {}; }
  // Whether a text of `length` tokens may begin with what a cache of a text of `cached` tokens holds.
  bool may_share(int64_t cached, int64_t length) const;
  // Whether a label stands where it is predicted, not one place further as for language models (BartForCausalLM).
  virtual bool labels_in_place() const { return false; }
  // Whether positions without a mask may mean packed sequences; the reference does not ask that of all families.
  virtual bool packs() const { return true; }
  // Names of the inputs beside the text's that the family reads: pixel_values ...
  virtual std::vector<std::string_view> media_names() const { return {}; }
  // Reads them for a batch of rows of one length, whose ids, positions, lengths and mask are set: fills TokenBatch::media or memory.
  // Returns outputs that come of it (image_hidden_states).
  virtual NamedTensors read_media(const Inputs&, TokenBatch*) const { return {}; }
  // Where answers do not begin with input_ids as they are: makes of `ids` and `mask`, which are empty if there are none, the `count` rows
  // that they begin with.
  using Rows = std::vector<std::vector<int32_t>>;
  virtual void start_rows(int64_t, Rows*, Rows*) const {}
  // Whether body looks at TokenBatch::media.
  virtual bool takes_media() const { return false; }
  // For decoders that attend to other rows: puts keys and values of one sequence's memory rows [n,C] into a cache that
  // TokenBatch::memory_caches reads, for every layer that looks at them.
  virtual void remember(const Tensor& rows, Cache* memory) const;
  // The shape of that cache; by default the decoder's own.
  virtual CacheShape memory_shape() const { return cache_shape(); }
  // An empty one.
  Cache new_memory() const { return Cache(typed(memory_shape())); }
  // The loss that balances experts, from what body left in batch.router_logits; undefined for none.
  virtual Tensor auxiliary_loss(const TokenBatch&) const { return {}; }
  // Its part in the loss.
  virtual float auxiliary_weight() const { return 0; }

  // Inputs: input_ids [B,T]; optional attention_mask, position_ids, token_type_ids, labels. Outputs by kind: logits [B,T,V] and
  // the next-token loss; last_hidden_state [B,T,C]; logits [B,L] of the last token that is not padding; logits [B,T,L];
  // start_logits and end_logits [B,T]; loss [] with labels; hidden_states.N [B,T,C]; aux_loss []. Positions count from 0 whatever the mask;
  // given positions without a mask mean packed sequences, a new one wherever they do not go on by one; both as in the reference.
  NamedTensors forward(const NamedTensors& inputs, const ForwardOptions& options) const override;
  // The classifier's logits [N, L] of hidden rows [N, C], for a model that is one.
  Tensor classify_rows(const Tensor& hidden) const { return classifier_(hidden); }
  // Also of a bare model: its output head is the tied embedding, or the one that the file holds.
  const CausalLM* causal_lm() const override {
    return kind_ == HeadKind::causal_lm || kind_ == HeadKind::seq2seq_lm || kind_ == HeadKind::image_text || kind_ == HeadKind::bare ? this : nullptr;
  }

 protected:
  CacheShape typed(CacheShape shape) const {
    shape.dtype = cache_type();
    return shape;
  }
  explicit CausalLM(const Json& config) : config_(config), kind_(head_kind(config)) {}
  // Loads the head of a classifier: `score` without bias for sequences, `token_head` ("score", "classifier") and qa_outputs with
  // one. Call it last in the constructor; does nothing for language models and bare ones.
  void load_classifier(const Weights& w, int64_t hidden_size, std::string_view token_head, Init init);

  // The output matrix: `embedding` if the config ties them or the file holds no other. Undefined for classifiers.
  Matrix load_head(const Weights& w, std::string_view name, const Matrix& embedding, bool tied, Init init) const;
  // Whether the model has an output head: it is a language model or bare.
  bool generates() const { return causal_lm() != nullptr; }

  const Json config_;

 private:
  HeadKind kind_;
  Linear classifier_;
};

}  // namespace mynah::nn
