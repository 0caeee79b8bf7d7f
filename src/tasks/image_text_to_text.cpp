// image-text-to-text: a text or a chat with pictures goes on.
#include <algorithm>

#include "base/require.h"
#include "tasks/encode.h"
#include "tasks/image_text.h"
#include "tasks/options.h"
#include "tasks/pictures.h"
#include "tasks/show.h"

namespace mynah {
namespace {
namespace t = tasks;

bool is_pair(const Json& value) { return value.is_object() && value.contains("text"); }
bool reads_json(const Json& value) { return t::is_chat(value) || is_pair(value); }

Json as_list(const Json& value) {
  return value.is_null() ? Json::array() : value.is_array() ? value : Json::array({value});
}

// Where a part of a message has its picture; null if it has none.
Json picture_of(const Json& part) {
  for (const char* key : {"image", "url", "path", "base64"})
    if (part.contains(key)) return part[key];
  return nullptr;
}

// The chat with `pictures` in the places for pictures that name none, and OpenAI's spelling of pictures as the
// reference's.
Json with_pictures(Json chat, const Json& pictures) {
  size_t used = 0;
  for (Json& message : chat) {
    if (!message["content"].is_array()) continue;
    for (Json& part : message["content"]) {
      if (!part.is_object()) continue;
      const std::string type = part.value("type", "");
      if (type == "image_url") {
        require(part["image_url"].is_object() && part["image_url"].contains("url"),
                "image-text-to-text: image_url is {}, expected {{\"url\": ...}}", part["image_url"].dump());
        const Json url = part["image_url"]["url"];
        part.erase("image_url");
        part["type"] = "image";
        part["image"] = url;
      } else if (type == "image" && picture_of(part).is_null()) {
        require(used < pictures.size(), "image-text-to-text: the chat has more places for pictures than the {} given",
                pictures.size());
        part["image"] = pictures[used++];
      }
    }
  }
  require(used == pictures.size(), "image-text-to-text: {} pictures are given, the chat has places for {}",
          pictures.size(), used);
  return chat;
}

// Jobs: {"chat": messages}, or {"images": [...], "text": TEXT or [TEXT, ...]}.
std::vector<Json> jobs(const Json& inputs, const Json& options, bool* one) {
  Json text = inputs, images;
  for (const char* name : {"image", "images"})
    if (const auto names = t::texts(options, name); !names.empty()) images = names;
  if (t::has(options, "text")) {
    if (!inputs.is_null()) images = inputs;
    text = options["text"];
  }
  *one = true;
  if (t::is_chat(text)) return {{{"chat", with_pictures(text, as_list(images))}}};
  if (text.is_array() && !text.empty() && std::all_of(text.begin(), text.end(), t::is_chat)) {
    *one = false;
    std::vector<Json> all;
    for (size_t i = 0; i < text.size(); ++i)
      all.push_back({{"chat", with_pictures(text[i], images.is_array() && i < images.size() ? as_list(images[i])
                                                                                            : Json::array())}});
    return all;
  }
  if (is_pair(text))
    return {{{"images", as_list(text.value("images", text.value("image", Json())))}, {"text", text["text"]}}};
  if (text.is_null()) fail(ErrorCode::usage, "image-text-to-text: give a text, or a chat");
  if (!images.is_null()) return {{{"images", as_list(images)}, {"text", text}}};
  *one = !text.is_array();
  std::vector<Json> all;
  for (const Json& each : as_list(text)) all.push_back({{"images", Json::array()}, {"text", each}});
  return all;
}

struct Prompts {
  std::vector<Json> said;  // what each row answers: a text, or a chat
  nn::NamedTensors inputs;
  bool continues = false;  // the answer goes on with the chat's last message
};

Prompts prompts_of(const t::OpenTask& task, const bundle::TextImageProcessor& processor, const Json& job,
                   const Json& options) {
  Prompts p;
  std::vector<std::string> texts;
  std::vector<media::Image> pictures;
  bool special = true;
  if (job.contains("chat")) {
    const Json& chat = job["chat"];
    require(task.bundle().chat_template != nullptr, "image-text-to-text: the model has no chat template; give a text");
    p.continues = t::boolean(options, "continue_final_message", chat.back()["role"] == "assistant");
    std::string text = bundle::render_chat(task.bundle(), chat, nullptr, !p.continues);
    if (p.continues) {
      const Json& content = chat.back()["content"];
      const std::string last = content.is_string() ? content.get<std::string>() : content.back().value("text", "");
      const size_t at = text.rfind(last);
      require(at != std::string::npos,
              "image-text-to-text: the chat template does not show_image_text_to_text the last message as it is; continue_final_message "
              "cannot be");
      text.resize(at + last.size());
    }
    for (const Json& message : chat)
      if (message["content"].is_array())
        for (const Json& part : message["content"])
          if (part.is_object() && part.value("type", "") == "image")
            pictures.push_back(t::read_picture(task, picture_of(part)));
    const auto bos = task.tokenizer().bos_id();
    special = !(bos && text.starts_with(task.tokenizer().token_text(*bos)));
    texts = {std::move(text)};
    p.said = {chat};
  } else {
    for (const Json& text : as_list(job["text"])) {
      if (!text.is_string())
        fail(ErrorCode::failure, "image-text-to-text: a text is {}, expected a string", text.dump());
      texts.push_back(text);
      p.said.push_back(text);
    }
    for (const Json& each : job["images"])  // of all texts, or a list for each
      for (const Json& picture : as_list(each)) pictures.push_back(t::read_picture(task, picture));
  }
  p.inputs = processor(texts, pictures, special);
  return p;
}

// Without the prompt, which may have a character or two before it.
std::string answer_of(const std::string& text, const std::string& prompt) {
  const size_t at = text.find(prompt);
  if (at == std::string::npos ||
      std::count_if(text.begin(), text.begin() + static_cast<long>(at), [](char c) { return (c & 0xC0) != 0x80; }) > 2)
    return text;
  return text.substr(at + prompt.size());
}

Json full_answer(const Json& said, const std::string& answer, bool continues) {
  if (said.is_string()) return said.get<std::string>() + answer;
  Json chat = said;
  if (!continues) {
    chat.push_back({{"role", "assistant"}, {"content", answer}});
    return chat;
  }
  Json& content = chat.back()["content"];
  if (content.is_string())
    content = content.get<std::string>() + answer;
  else
    content.back()["text"] = content.back().value("text", "") + answer;
  return chat;
}

std::vector<Json> run_image_text_to_text(const t::OpenTask& task, const std::vector<Json>& inputs, const Json& options) {
  GenerationConfig config = t::answer_config(task, options);
  if (const auto stop = t::text(options, "stop_sequence")) {
    const auto ids = task.tokenizer().encode_ids(*stop, false);
    if (ids.empty()) fail(ErrorCode::usage, "image-text-to-text: stop_sequence is empty");
    config.eos_token_id = {ids[0]};
  }
  const bundle::TextImageProcessor processor(task.bundle().path, task.bundle().tokenizer);
  const bool tokens = t::boolean(options, "return_tensors", false),
             full = t::boolean(options, "return_full_text", true),
             skip = t::boolean(options, "skip_special_tokens", true);
  std::optional<bool> clean;
  if (t::has(options, "clean_up_tokenization_spaces"))
    clean = t::boolean(options, "clean_up_tokenization_spaces", false);
  std::vector<Json> results;
  for (const Json& job : inputs) {
    const Prompts prompts = prompts_of(task, processor, job, options);
    const GenerateInputs in = generation::as_inputs(prompts.inputs);
    const auto sequences = generate(task.model, in, config).sequences;
    Json records = Json::array();
    for (size_t i = 0; i < prompts.said.size() && i < sequences.size(); ++i) {
      Json record = {{"input_text", prompts.said[i]}};
      if (tokens) {
        record["generated_token_ids"] = sequences[i];
      } else {
        const std::string answer = answer_of(task.tokenizer().decode(sequences[i], skip, clean),
                                             task.tokenizer().decode(in.input_ids[i], skip, clean));
        record["generated_text"] = full ? full_answer(prompts.said[i], answer, prompts.continues) : Json(answer);
      }
      records.push_back(std::move(record));
    }
    results.push_back(std::move(records));
  }
  return results;
}

std::string show_image_text_to_text(const Json&, const Json& result, const t::Style& style) {
  std::string text;
  for (const Json& record : result) {
    if (!record.contains("generated_text")) {
      text += record.dump() + "\n";
      continue;
    }
    const Json& said = record["generated_text"];
    if (said.is_array()) {
      const Json& content = said.back()["content"];
      text += (content.is_string() ? content.get<std::string>() : content.back().value("text", "")) + "\n";
      continue;
    }
    const std::string all = said.get<std::string>(),
                      prompt = record["input_text"].is_string() ? record["input_text"].get<std::string>() : "";
    text += (all.starts_with(prompt) ? t::dimmed(prompt, style) + all.substr(prompt.size()) : all) + "\n";
  }
  return text;
}

}  // namespace

extern const TaskEntry task_image_text_to_text{
    .name = "image-text-to-text",
    .help = "a text or a chat with pictures goes on",
    .input = "TEXT, or a JSON list of messages",
    .reads_json = reads_json,
    .heads = {nn::HeadKind::image_text},
    .options = {t::kImageOption,
                {"images", t::OptionType::texts, "the same as image"},
                {"text", t::OptionType::json, "the text or chat, where the inputs are pictures"},
                {"return_full_text", t::OptionType::boolean, "the prompt too (true)"},
                {"return_tensors", t::OptionType::boolean, "token ids instead of text"},
                {"clean_up_tokenization_spaces", t::OptionType::boolean, "join punctuation to the word before"},
                {"skip_special_tokens", t::OptionType::boolean, "leave special tokens out of the text (true)"},
                {"stop_sequence", t::OptionType::text, "end with its first token"},
                {"continue_final_message", t::OptionType::boolean,
                 "go on with the last message of a chat (if it is the assistant's)"},
                t::kTimeoutOption},
    .generates = true,
    .suggestion = "good ones to pull: llava-hf/llava-interleave-qwen-0.5b-hf, HuggingFaceTB/SmolVLM-256M-Instruct",
    .run = run_image_text_to_text,
    .inputs = jobs,
    .show = show_image_text_to_text,
    .medium = t::Medium::picture};

}  // namespace mynah
