#include "nn/head_kind.h"

#include "base/require.h"
#include "mynah/json.h"
#include "nn/config.h"

namespace mynah::nn {

HeadKind head_kind(const Json& config) {
  const auto it = config.find("architectures");
  if (it == config.end() || !it->is_array() || it->empty() || !(*it)[0].is_string()) return HeadKind::bare;
  const std::string name = (*it)[0].get<std::string>();
  constexpr std::pair<std::string_view, HeadKind> endings[] = {
      {"ForCausalLM", HeadKind::causal_lm},
      {"LMHeadModel", HeadKind::causal_lm},
      {"ForMaskedLM", HeadKind::masked_lm},
      {"LlavaForConditionalGeneration", HeadKind::image_text},
      {"Idefics3ForConditionalGeneration", HeadKind::image_text},
      {"SmolVLMForConditionalGeneration", HeadKind::image_text},
      {"Qwen2VLForConditionalGeneration", HeadKind::image_text},
      {"BlipForConditionalGeneration", HeadKind::image_text},
      {"BlipForQuestionAnswering", HeadKind::image_text},
      {"ForImageTextRetrieval", HeadKind::image_text_matching},
      {"VisionEncoderDecoderModel", HeadKind::image_text},
      {"ForVisionText2Text", HeadKind::image_text},
      {"ForConditionalGeneration", HeadKind::seq2seq_lm},
      {"MTModel", HeadKind::seq2seq_lm},
      {"ElectraForPreTraining", HeadKind::replaced_tokens},
      {"ForPreTraining", HeadKind::pretraining},
      {"ForNextSentencePrediction", HeadKind::next_sentence},
      {"ForSequenceClassification", HeadKind::sequence_classification},
      {"ForAudioClassification", HeadKind::sequence_classification},
      {"ForTokenClassification", HeadKind::token_classification},
      {"XLNetForQuestionAnswering", HeadKind::question_answering_beams},
      {"TapasForQuestionAnswering", HeadKind::table_question_answering},
      {"ForQuestionAnswering", HeadKind::question_answering},
      {"ForQuestionAnsweringSimple", HeadKind::question_answering},
      {"ForMultipleChoice", HeadKind::multiple_choice},
      {"ForImageClassification", HeadKind::image_classification},
      {"ForVideoClassification", HeadKind::image_classification},
      {"ForImageClassificationWithTeacher", HeadKind::image_classification},
      {"ForObjectDetection", HeadKind::object_detection},
      {"ForSegmentation", HeadKind::image_segmentation},
      {"ForSemanticSegmentation", HeadKind::image_segmentation},
      {"ForDepthEstimation", HeadKind::depth_estimation},
      {"ForCTC", HeadKind::ctc},
      {"ForSpeechToText", HeadKind::seq2seq_lm},
      {"ForTextToSpeech", HeadKind::bare},
      {"HifiGan", HeadKind::bare},
      {"ModelWithProjection", HeadKind::bare},
      {"Model", HeadKind::bare},
  };
  for (const auto& [ending, kind] : endings)
    if (name.ends_with(ending)) return kind;
  fail(ErrorCode::failure, "config.json: architecture \"{}\" has a head that is not known", name);
}

int64_t label_count(const Json& config, int64_t otherwise) {
  if (config.contains("num_labels") && !config["num_labels"].is_null()) return config_int(config, "num_labels");
  const auto it = config.find("id2label");
  if (it == config.end() || it->is_null()) return otherwise;
  require(it->is_object() && !it->empty(), "config.json: id2label has no labels, expected {{\"0\": \"NAME\", ...}}");
  return static_cast<int64_t>(it->size());
}

std::string label_name(const Json& config, int64_t index) {
  const std::string key = std::to_string(index);
  if (const auto it = config.find("id2label"); it != config.end() && it->is_object() && it->contains(key) && (*it)[key].is_string())
    return (*it)[key].get<std::string>();
  return "LABEL_" + key;
}

}  // namespace mynah::nn
