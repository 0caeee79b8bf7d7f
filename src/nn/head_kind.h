// What a checkpoint's head computes, named by the end of architectures[0] in config.json.
#pragma once
#include <string>

#include "base/json.h"

namespace mynah::nn {

enum class HeadKind {
  bare,                     // BertModel, T5EncoderModel: last_hidden_state
  causal_lm,                // GPT2LMHeadModel, LlamaForCausalLM
  masked_lm,                // BertForMaskedLM
  seq2seq_lm,               // T5ForConditionalGeneration, MarianMTModel
  pretraining,              // BertForPreTraining: masked LM and next sentence
  replaced_tokens,          // ElectraForPreTraining: a logit per token
  next_sentence,            // BertForNextSentencePrediction
  sequence_classification,  // one row of logits per sequence
  token_classification,     // one row of logits per token
  question_answering,       // start and end logits per token
  question_answering_beams, // likely starts and the likely ends of each: XLNetForQuestionAnswering
  table_question_answering, // which cells of a table answer, and how: TapasForQuestionAnswering
  multiple_choice,          // one logit per choice
  image_classification,     // one row of logits per image
  object_detection,         // logits and boxes per image
  image_text,               // text that answers images, and a text before it: LLaVA, BLIP, ViT with GPT-2
  image_text_matching,      // how well an image and a text belong together: BlipForImageTextRetrieval
  image_segmentation,       // classes of pixels, or logits, boxes and masks per image
  depth_estimation,         // a depth per pixel
  ctc,                      // one row of logits per frame of sound
};

// bare without architectures. Throws failure for an ending that no head here has.
HeadKind head_kind(const Json& config);
// Output labels of a classifier: num_labels, else the length of id2label, else `otherwise`.
int64_t label_count(const Json& config, int64_t otherwise = 2);
// The name of a class in id2label, "LABEL_i" without one.
std::string label_name(const Json& config, int64_t index);

}  // namespace mynah::nn
