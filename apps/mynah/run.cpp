// mynah run MODEL [PROMPT]: one answer, or a chat on a terminal.
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>

#include "base/file.h"
#include "base/json.h"
#include "base/require.h"
#include "bundle/bundle.h"
#include "chat.h"
#include "cli.h"
#include "command.h"
#include "endpoint.h"
#include "generate/picture_chat.h"
#include "open_model.h"
#include "remote.h"
#include "standard_input.h"
#include "text/base64.h"

namespace mynah::app {
namespace {

constexpr size_t kMostPromptBytes = 64u << 20;

// What is piped in. A terminal, a socket, /dev/null and a closed stdin count as empty; with a prompt at hand, an open but silent
// pipe is waited for 200 ms only.
std::string piped_input(bool have_prompt) {
  struct stat info;
  if (fstat(STDIN_FILENO, &info) != 0 || isatty(STDIN_FILENO)) return "";
  if (S_ISREG(info.st_mode)) return read_standard_input(kMostPromptBytes);
  if (!S_ISFIFO(info.st_mode)) return "";
  if (have_prompt) {
    pollfd p{STDIN_FILENO, POLLIN, 0};
    if (poll(&p, 1, 200) <= 0) return "";
  }
  return read_standard_input(kMostPromptBytes);
}

Json timings(const Generated& g, double load_seconds) {
  const auto ns = [](double seconds) { return static_cast<int64_t>(seconds * 1e9); };
  return {{"done_reason", g.reason == FinishReason::length ? "length" : "stop"},
          {"total_duration", ns(load_seconds + g.prompt_seconds + g.decode_seconds)},
          {"load_duration", ns(load_seconds)},
          {"prompt_eval_count", g.prompt_tokens},
          {"prompt_eval_duration", ns(g.prompt_seconds)},
          {"eval_count", g.ids.size()},
          {"eval_duration", ns(g.decode_seconds)}};
}

// The prompt and the pictures it is about, as the model takes them.
GenerateInputs with_pictures(const ChatOptions& o, const std::string& prompt, const Model& model) {
  require(generation::sees(model), "run: {} does not support vision: it takes no image", o.model);
  std::vector<media::Image> pictures;
  for (const std::string& path : o.images) pictures.push_back(media::read_image(path, generation::alpha_of(model)));
  if (o.raw) return generation::picture_prompt(model, prompt, pictures);
  Json messages = Json::array(), parts = Json::array();
  if (!o.system.empty()) messages.push_back({{"role", "system"}, {"content", o.system}});
  for (size_t i = 0; i < pictures.size(); ++i) parts.push_back({{"type", "image"}});
  parts.push_back({{"type", "text"}, {"text", prompt}});
  messages.push_back({{"role", "user"}, {"content", parts}});
  const bundle::Bundle& b = model.bundle();
  std::function<std::string(const Json&)> render;
  if (b.chat_template) render = [&](const Json& all) { return bundle::render_chat(b, all, {}, true); };
  return generation::picture_chat(model, messages, pictures, render);
}

int answer_once(ChatOptions& o, const std::string& prompt, const Model& model, double load_seconds) {
  GenerateInputs inputs;
  if (!o.images.empty()) {
    inputs = with_pictures(o, prompt, model);
  } else if (o.raw) {
    require(model.tokenizer() != nullptr, "run: {} comes without a tokenizer", o.model);
    inputs.input_ids = {model.tokenizer()->encode_ids(prompt)};
  } else {
    std::vector<ChatMessage> messages;
    if (!o.system.empty()) messages.push_back({"system", o.system});
    messages.insert(messages.end(), o.examples.begin(), o.examples.end());
    messages.push_back({"user", prompt});
    inputs.input_ids = {prompt_ids(o, model, messages)};
  }
  bool first = true, ends_in_newline = false;
  double first_token = 0;
  const auto start = std::chrono::steady_clock::now();
  GenerationConfig config = o.settings(model);
  keep_to_context(o, inputs.input_ids.empty() ? 0 : static_cast<int64_t>(inputs.input_ids[0].size()), &config);
  const Generated g = Session(model).generate(inputs, config, [&](const std::string& piece) {
    if (first) first_token = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    first = false;
    if (!o.json) print_text(piece);
    ends_in_newline = piece.back() == '\n';
    return !interrupted();
  });
  if (o.json) {
    Json out = {{"model", o.model}, {"response", g.text}, {"done", true}};
    out.update(timings(g, load_seconds));
    print_json(out);
  } else {
    if (!ends_in_newline) print_text("\n");
    if (g.reason == FinishReason::length) fmt::print(stderr, "({})\n", limit_note(o, model, g, "--max-tokens N"));
    if (o.verbose) print_rates(g, load_seconds, first_token);
  }
  return g.reason == FinishReason::cancelled ? 130 : 0;
}

// The answer of a server: that of --remote or OLLAMA_HOST.
int answer_remotely(const ChatOptions& o, const std::string& prompt) {
  Json settings = Json::object(), body = {{"model", o.model}, {"prompt", prompt}, {"stream", !o.json}};
  if (o.temperature) settings["temperature"] = *o.temperature;
  if (o.top_p) settings["top_p"] = *o.top_p;
  if (o.top_k) settings["top_k"] = *o.top_k;
  if (o.seed) settings["seed"] = *o.seed;
  if (o.context) settings["num_ctx"] = *o.context;
  settings["num_predict"] = o.max_tokens.value_or(1024);
  body["options"] = settings;
  if (!o.system.empty()) body["system"] = o.system;
  if (o.raw) body["raw"] = true;
  for (const std::string& path : o.images) {
    const auto bytes = MappedFile::open(path);
    body["images"].push_back(text::encode_base64({reinterpret_cast<const char*>(bytes->bytes().data()), bytes->bytes().size()}));
  }
  if (o.format == "json") body["format"] = "json";
  else if (!o.format.empty()) body["format"] = read_json_file(o.format);
  const Remote server(o.remote);
  if (o.json) {
    print_json(server.call("POST", "/api/generate", body));
    return 0;
  }
  bool ends_in_newline = false;
  server.stream("/api/generate", body, [&](const Json& record) {
    if (record.contains("error")) fail(ErrorCode::failure, "server: {}", record["error"].dump());
    const std::string piece = record.value("response", "");
    print_text(piece);
    if (!piece.empty()) ends_in_newline = piece.back() == '\n';
    return !interrupted();
  });
  if (!ends_in_newline) print_text("\n");
  return interrupted() ? 130 : 0;
}

// The answer of a server that speaks OpenAI's chat: --endpoint, or Hugging Face's router for hf:org/name.
int answer_at_endpoint(const ChatOptions& o, const std::string& prompt) {
  if (o.raw) fail(ErrorCode::usage, "run: --raw does not go with hf: and --endpoint, which take chats");
  const Endpoint endpoint = chat_endpoint(o.model, o.endpoint);
  Json body = {{"model", endpoint.model}, {"messages", Json::array()}, {"max_tokens", o.max_tokens.value_or(1024)}, {"stream", !o.json}};
  if (!o.system.empty()) body["messages"].push_back({{"role", "system"}, {"content", o.system}});
  body["messages"].push_back({{"role", "user"}, {"content", prompt}});
  if (o.temperature) body["temperature"] = *o.temperature;
  if (o.top_p) body["top_p"] = *o.top_p;
  if (o.top_k) body["top_k"] = *o.top_k;
  if (o.seed) body["seed"] = *o.seed;
  if (o.format == "json") body["response_format"] = {{"type", "json_object"}};
  else if (!o.format.empty()) body["response_format"] = {{"type", "json_schema"}, {"json_schema", {{"name", "answer"}, {"schema", read_json_file(o.format)}}}};
  const auto start = std::chrono::steady_clock::now();
  if (o.json) {
    const Json answer = parse_json(post(endpoint, body), "server");
    const Json* choice = answer.is_object() && answer.contains("choices") && answer["choices"].is_array() && !answer["choices"].empty() ? &answer["choices"][0] : nullptr;
    if (!choice || !choice->contains("message")) fail(ErrorCode::failure, "run: the server's answer is no chat completion");
    const Json usage = answer.contains("usage") && answer["usage"].is_object() ? answer["usage"] : Json::object();
    const auto ns = std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now() - start).count();
    const Json& message = (*choice)["message"];
    const bool says = message.is_object() && message.contains("content") && message["content"].is_string();
    const bool cut = choice->contains("finish_reason") && (*choice)["finish_reason"] == "length";
    print_json({{"model", o.model}, {"response", says ? message["content"] : Json("")}, {"done", true}, {"done_reason", cut ? "length" : "stop"}, {"total_duration", ns},
                {"load_duration", 0}, {"prompt_eval_count", usage.value("prompt_tokens", 0)}, {"prompt_eval_duration", 0}, {"eval_count", usage.value("completion_tokens", 0)}, {"eval_duration", ns}});
    return 0;
  }
  bool ends_in_newline = false;
  post(endpoint, body, [&](const Json& event) {
    if (event.contains("error")) fail(ErrorCode::failure, "server: {}", event["error"].dump());
    const bool has_choice = event.contains("choices") && event["choices"].is_array() && !event["choices"].empty() && event["choices"][0].is_object();
    if (!has_choice || !event["choices"][0].contains("delta")) return !interrupted();
    const Json& delta = event["choices"][0]["delta"];
    if (!delta.is_object() || !delta.contains("content") || !delta["content"].is_string()) return !interrupted();
    const std::string piece = delta["content"];
    print_text(piece);
    if (!piece.empty()) ends_in_newline = piece.back() == '\n';
    return !interrupted();
  });
  if (!ends_in_newline) print_text("\n");
  return interrupted() ? 130 : 0;
}

int run_model(ChatOptions o, std::vector<std::string> words) {
  // A last word "-" asks for standard input, which otherwise is taken where something is piped in.
  const bool asked = !words.empty() && words.back() == "-";
  if (asked) words.pop_back();
  std::string prompt = text_of_words(words);
  const bool terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
  const std::string piped = asked ? read_standard_input(kMostPromptBytes) : piped_input(!prompt.empty());
  if (!piped.empty()) prompt += (prompt.empty() ? "" : "\n\n") + piped;
  if (prompt.empty() && o.images.empty() && (asked || !terminal)) fail(ErrorCode::usage, "run: no prompt; give one as an argument or on stdin, or start a chat on a terminal");
  if (!o.endpoint.empty() || !hosted_name(o.model).empty()) {
    if (prompt.empty()) fail(ErrorCode::usage, "run: chats on a terminal are held with models of this machine; give hf: and --endpoint a prompt");
    catch_interrupts();
    return answer_at_endpoint(o, prompt);
  }
  const char* host = std::getenv("OLLAMA_HOST");
  if ((!prompt.empty() || !o.images.empty()) && (!o.remote.empty() || (host && *host && !std::filesystem::exists(o.model)))) {
    catch_interrupts();
    return answer_remotely(o, prompt);
  }
  const auto start = std::chrono::steady_clock::now();
  const Model model = open_model(o.model, Precision::automatic);
  apply_modelfile(o);
  const double load_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  catch_interrupts();
  if (prompt.empty() && o.images.empty()) return chat(o, model);
  return answer_once(o, prompt, model, load_seconds);
}

}  // namespace

void add_run(cli::App& parent, std::function<int()>& action) {
  cli::App* c = parent.add_subcommand("run", "Answer a prompt, or chat");
  auto o = std::make_shared<ChatOptions>();
  auto words = std::make_shared<std::vector<std::string>>();
  c->add_option("model", o->model, "name, folder or .gguf file; a name that is not stored is pulled; hf:org/name is asked at Hugging Face")->required()->type_name("MODEL");
  c->add_option("prompt", *words, "the prompt; piped input is added to it; - waits for standard input; without one, a chat on a terminal")->type_name("PROMPT");
  c->add_option("--system", o->system, "system message")->type_name("TEXT");
  const auto setting = [&](const std::string& option, const char* name, const char* help) {
    c->add_option_function(option, [o, name, option](const std::string& text) { o->set(name, text, option); }, help)->type_name("N");
  };
  setting("--temperature", "temperature", "0: always the likeliest token");
  setting("--top-k", "top_k", "draw from the k likeliest tokens");
  setting("--top-p", "top_p", "draw from the likeliest tokens up to this probability");
  setting("--seed", "seed", "same seed, same answer");
  setting("--max-tokens", "max_tokens", "most tokens of an answer (1024)");
  setting("--ctx", "context", "most tokens of prompt and answer");
  c->add_option("--image", o->images, "picture that the prompt is about; repeat for several")->type_name("FILE")->allow_extra_args(false);
  c->add_option("--format", o->format, "json, or the file of a JSON Schema that the answer keeps to")->type_name("json|FILE");
  c->add_option("--remote", o->remote, "let this server answer the prompt (OLLAMA_HOST without the option)")->type_name("URL");
  c->add_option("--endpoint", o->endpoint, "let this server of OpenAI's dialect answer the prompt; hf:org/name means Hugging Face's")->type_name("URL");
  c->add_flag("--raw", o->raw, "apply no chat template");
  c->add_flag("--json", o->json, "one JSON object with the answer and its timings");
  c->add_flag("--verbose", o->verbose, "print speeds after each answer");
  c->callback([o, words, &action] { action = [o, words] { return run_model(*o, *words); }; });
}

}  // namespace mynah::app
