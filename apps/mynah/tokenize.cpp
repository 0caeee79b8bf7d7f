// mynah tokenize MODEL: one JSON object for each line of stdin.
#include <iostream>

#include "base/file.h"
#include "base/require.h"
#include "bundle/bundle.h"
#include "cli.h"
#include "command.h"
#include "mynah/json.h"
#include "open_model.h"

namespace mynah::app {
namespace {

struct Options {
  std::string model, tools;
  bool pair = false, no_special_tokens = false, decode = false, chat = false, no_generation_prompt = false;
};

Json as_json(const Encoding& e) {
  Json offsets = Json::array();
  for (const auto& [begin, end] : e.offsets) offsets.push_back({begin, end});
  return {{"ids", e.ids}, {"tokens", e.tokens}, {"offsets", offsets}, {"type_ids", e.type_ids}};
}

// A line that parses as a JSON string is read as one, else it is the text.
std::string text_of(const std::string& line) {
  if (line.size() >= 2 && line.front() == '"' && line.back() == '"') {
    const Json v = Json::parse(line, nullptr, false);
    if (v.is_string()) return v.get<std::string>();
  }
  return line;
}

Json list_of(const std::string& line, size_t number, const char* what) {
  const Json v = Json::parse(line, nullptr, false);
  if (!v.is_array()) fail(ErrorCode::failure, "tokenize: line {}: expected {}", number, what);
  return v;
}

Json encode_chat(const bundle::Bundle& b, const Json& messages, const Json& tools, bool generation_prompt) {
  const std::string text = bundle::render_chat(b, messages, tools, generation_prompt);
  Json out = as_json(b.tokenizer->encode(text, false));
  out["text"] = text;
  return out;
}

Json answer(const Options& o, const bundle::Bundle& b, const Json& tools, const std::string& line, size_t number) {
  const Tokenizer& t = *b.tokenizer;
  if (o.chat) return encode_chat(b, list_of(line, number, "a JSON array of messages"), tools, !o.no_generation_prompt);
  if (o.decode) {
    std::vector<int32_t> ids;
    for (const Json& id : list_of(line, number, "a JSON array of ids")) {
      if (!id.is_number_integer() || id.get<int64_t>() < 0 || id.get<int64_t>() > INT32_MAX) fail(ErrorCode::failure, "tokenize: line {}: {} is not a token id", number, id.dump());
      ids.push_back(id.get<int32_t>());
    }
    return {{"text", t.decode(ids, o.no_special_tokens)}};
  }
  if (o.pair) {
    const Json two = list_of(line, number, "a JSON array of two strings");
    if (two.size() != 2 || !two[0].is_string() || !two[1].is_string()) fail(ErrorCode::failure, "tokenize: line {}: expected a JSON array of two strings", number);
    return as_json(t.encode_pair(two[0].get<std::string>(), two[1].get<std::string>(), !o.no_special_tokens));
  }
  return as_json(t.encode(text_of(line), !o.no_special_tokens));
}

int act(const Options& o) {
  const auto b = open_text(o.model);
  require(b->tokenizer != nullptr, "tokenize: {} has no tokenizer", o.model);
  const Json tools = o.tools.empty() ? Json() : read_json_file(o.tools);
  std::string line;
  for (size_t number = 1; std::getline(std::cin, line); ++number) print_json(answer(o, *b, tools, line, number));
  return 0;
}

}  // namespace

void add_tokenize(cli::App& parent, std::function<int()>& action) {
  cli::App* c = parent.add_subcommand("tokenize", "Encode or decode lines of stdin; one JSON object per line");
  auto o = std::make_shared<Options>();
  c->add_option("model", o->model, "folder (tokenizer files suffice), .gguf file or name")->required()->type_name("MODEL");
  c->add_flag("--pair", o->pair, "lines are JSON arrays of two strings");
  c->add_flag("--no-special-tokens", o->no_special_tokens, "do not add (with --decode: drop) special tokens");
  c->add_flag("--decode", o->decode, "lines are JSON arrays of ids");
  c->add_flag("--chat", o->chat, "lines are JSON arrays of messages, rendered by the chat template");
  c->add_flag("--no-generation-prompt", o->no_generation_prompt, "with --chat: end after the last message");
  c->add_option("--tools", o->tools, "with --chat: a JSON file of tools for the template")->type_name("FILE");
  c->add_flag_function("--json", [](int64_t) {}, "accepted: JSON is the only output");
  c->callback([o, &action] { action = [o] { return act(*o); }; });
}

}  // namespace mynah::app
