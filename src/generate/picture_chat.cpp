#include "generate/picture_chat.h"

#include "base/require.h"
#include "bundle/bundle.h"
#include "bundle/text_image_processor.h"

namespace mynah::generation {
namespace {

std::vector<std::vector<int32_t>> rows_of(const Tensor& t) {
  require(t.rank() == 2, "processor: ids of shape {}, expected [batch, tokens]", t.shape().str());
  std::vector<std::vector<int32_t>> rows;
  const std::vector<float> values = t.to_vector();
  for (int64_t b = 0; b < t.size(0); ++b) {
    rows.emplace_back();
    for (int64_t i = 0; i < t.size(1); ++i)
      rows.back().push_back(static_cast<int32_t>(values[static_cast<size_t>(b * t.size(1) + i)]));
  }
  return rows;
}

int64_t count_of(const std::string& text, const std::string& what) {
  int64_t count = 0;
  for (size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += what.size()) ++count;
  return count;
}

// The texts of a message's content, with `sign` for every picture.
std::string flat_content(const Json& content, const std::string& sign) {
  if (!content.is_array()) return content.is_string() ? content.get<std::string>() : "";
  std::string text;
  for (const Json& part : content)
    text += part.value("type", "") == "image" ? (sign.empty() ? "" : sign + "\n") : part.value("text", "");
  return text;
}

bundle::TextImageProcessor processor_of(const Model& model) {
  return bundle::TextImageProcessor(model.bundle().path, model.bundle().tokenizer);
}

// Inputs of a whole prompt. Captioners may answer a picture alone.
GenerateInputs processed(const Model& model, const bundle::TextImageProcessor& processor, const std::string& text,
                         std::span<const media::Image> pictures, bool special) {
  const nn::Seq2SeqLM* pair = model.bundle().causal_lm().seq2seq_lm();
  std::vector<std::string> texts;
  if (!text.empty() && !pair) texts.push_back(text);
  return as_inputs(processor(texts, pictures, special));
}

}  // namespace

GenerateInputs as_inputs(nn::NamedTensors all) {
  GenerateInputs in;
  if (const auto ids = all.extract("input_ids"); !ids.empty()) {
    in.input_ids = rows_of(ids.mapped());
    if (const auto mask = all.extract("attention_mask"); !mask.empty()) in.attention_mask = rows_of(mask.mapped());
  }
  in.media = std::move(all);
  return in;
}

bool sees(const Model& model) {
  return model.bundle().network && model.bundle().network->kind() == nn::HeadKind::image_text;
}

media::Alpha alpha_of(const Model& model) { return processor_of(model).alpha(); }

GenerateInputs picture_prompt(const Model& model, std::string text, std::span<const media::Image> pictures) {
  const bundle::TextImageProcessor processor = processor_of(model);
  const std::string& sign = processor.image_token();
  if (!sign.empty() && count_of(text, sign) == 0) {
    std::string before;
    for (size_t i = 0; i < pictures.size(); ++i) before += processor.image_before_text();
    text = before + text;
  }
  return processed(model, processor, text, pictures, true);
}

GenerateInputs picture_chat(const Model& model, const Json& messages, std::span<const media::Image> pictures,
                            const std::function<std::string(const Json&)>& render) {
  const bundle::TextImageProcessor processor = processor_of(model);
  const std::string& sign = processor.image_token();
  if (sign.empty() || !render) {
    require(!messages.empty(), "chat: there are no messages");
    return picture_prompt(model, flat_content(messages.back().value("content", Json()), sign), pictures);
  }
  const auto wanted = static_cast<int64_t>(pictures.size());
  std::string text;
  try {
    text = render(messages);
  } catch (const std::exception&) {  // a template for texts alone may fail at lists
  }
  if (count_of(text, sign) != wanted) {
    Json flat = messages;
    for (Json& message : flat) message["content"] = flat_content(message.value("content", Json()), sign);
    text = render(flat);
  }
  require(count_of(text, sign) == wanted, "chat: the prompt has places for {} pictures, {} are given",
          count_of(text, sign), wanted);
  const auto& tokenizer = model.bundle().tokenizer;
  require(tokenizer != nullptr, "chat: the model comes without a tokenizer");
  const auto bos = tokenizer->bos_id();
  return processed(model, processor, text, pictures, !(bos && text.starts_with(tokenizer->token_text(*bos))));
}

}  // namespace mynah::generation
