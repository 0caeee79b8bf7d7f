// Encoders (BERT and its relatives): what a family implements, and the reference's forward pass made from it for every head.
#pragma once
#include <cstdint>
#include <vector>

#include "mynah/json.h"
#include "nn/inputs.h"
#include "nn/model.h"
#include "nn/token_batch.h"

namespace mynah::nn {

class EncoderModel : public Model {
 public:
  HeadKind kind() const override { return kind_; }

  // Head outputs: `tokens` have a row per token [N, ...], `sequences` a row per sequence [B, ...].
  struct Outputs {
    NamedTensors tokens, sequences;
  };

  // Inputs: input_ids [B,T] (multiple choice: [B,choices,T]); optional attention_mask, token_type_ids, position_ids of that shape,
  // labels, next_sentence_label (ALBERT: sentence_order_label), start_positions, end_positions. Outputs by kind: last_hidden_state [B,T,C],
  // pooler_output [B,C]; logits; start_logits and end_logits [B,T]; prediction_logits and seq_relationship_logits (ALBERT: sop_logits);
  // loss; hidden_states.N [B,T,C].
  // Hidden tokens at the end of a row are not computed (their outputs are 0) unless they have labels.
  NamedTensors forward(const NamedTensors& inputs, const ForwardOptions& options) const override;

 protected:
  explicit EncoderModel(const Json& config) : config_(config), kind_(head_kind(config)) {}

  // Hidden rows [N,C], or those that the batch says are read alone. With `states`, appends the embedding output and each layer's output.
  virtual Tensor body(const TokenBatch& batch, std::vector<Tensor>* states) const = 0;
  // What the head of kind() makes of them. Question answering gives token output "logits" [N,2].
  virtual Outputs head(const Tensor& hidden, const TokenBatch& batch) const = 0;
  virtual int64_t vocabulary_size() const = 0;
  // Whether `head` looks at the rows of first_tokens alone.
  virtual bool reads_first_tokens() const { return false; }
  // Positions of a row of tokens; by default 0, 1, 2 ...
  virtual std::vector<int32_t> positions(const std::vector<int32_t>& ids, int64_t rows, int64_t length) const;
  // Loss of a sequence classifier's logits [B,L] with inputs["labels"].
  virtual Tensor sequence_loss(const Tensor& logits, const Inputs& in) const;

  const Json config_;  // for losses: problem_type

 private:
  HeadKind kind_;
};

// The hidden row of each sequence's first token: [N,C], or those rows alone, -> [B,C].
Tensor first_tokens(const Tensor& hidden, const TokenBatch& batch);

}  // namespace mynah::nn
