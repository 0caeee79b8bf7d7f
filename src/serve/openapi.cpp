// GET /openapi.json: every route of the table, with the fields of its request.
#include <fmt/core.h>

#include <algorithm>
#include <iterator>

#include "serve/router.h"

namespace mynah::serve {
namespace {

struct Said {
  const char *method, *path, *summary;
  const char* fields;  // "name:type! ..." in the request's object; ! marks those that must be there; "" for none
};

constexpr const char* kSampling =
    " temperature:number top_p:number top_k:integer min_p:number seed:integer stop:texts presence_penalty:number "
    "frequency_penalty:number repeat_penalty:number logit_bias:object num_ctx:integer keep_alive:any options:object";

const Said kSaid[] = {
    {"GET", "/", "The page for browsers, \"Ollama is running\" for others", ""},
    {"GET", "/health", "Whether the server answers; needs no key", ""},
    {"GET", "/ready", "Whether the server takes requests", ""},
    {"GET", "/metrics", "Numbers for Prometheus", ""},
    {"GET", "/openapi.json", "This document", ""},
    {"POST", "/api/generate", "Continue or answer a prompt",
     "model:string! prompt:string suffix:string system:string template:string context:array stream:boolean raw:boolean "
     "format:any keep_alive:any images:array options:object think:any truncate:boolean shift:boolean logprobs:boolean "
     "top_logprobs:integer"},
    {"POST", "/api/chat", "Answer a conversation",
     "model:string! messages:array tools:array stream:boolean format:any keep_alive:any options:object think:any "
     "truncate:boolean shift:boolean logprobs:boolean top_logprobs:integer"},
    {"POST", "/api/embed", "Vectors of texts, of length 1",
     "model:string! input:texts truncate:boolean dimensions:integer keep_alive:any options:object"},
    {"POST", "/api/embeddings", "The vector of one text", "model:string! prompt:string keep_alive:any options:object"},
    {"GET", "/api/tags", "The stored models", ""},
    {"GET", "/api/ps", "The loaded models", ""},
    {"GET", "/api/version", "The version", ""},
    {"GET", "/api/status", "Whether a cloud is used: never", ""},
    {"POST", "/api/show", "What there is to say of a model", "model:string! verbose:boolean"},
    {"POST", "/api/copy", "Give a model a second name", "source:string! destination:string!"},
    {"DELETE", "/api/delete", "Remove a model", "model:string!"},
    {"POST", "/api/pull", "Fetch a model", "model:string! insecure:boolean stream:boolean"},
    {"POST", "/api/push", "Send a model to a registry", "model:string! insecure:boolean stream:boolean"},
    {"POST", "/api/create", "Make a model of another or of blobs",
     "model:string! from:string files:object template:string system:string parameters:object messages:array "
     "license:texts quantize:string stream:boolean"},
    {"POST", "/api/blobs/{}", "Send a file, the digest being its name", "raw"},
    {"HEAD", "/api/blobs/{}", "Whether a file is here", ""},
    {"POST", "/api/me", "There are no accounts", ""},
    {"POST", "/api/signout", "There are no accounts", ""},
    {"POST", "/v1/chat/completions", "Answer a conversation",
     "model:string! messages:array! stream:boolean stream_options:object n:integer max_tokens:integer "
     "max_completion_tokens:integer tools:array tool_choice:any response_format:object logprobs:boolean "
     "top_logprobs:integer reasoning_effort:string SAMPLING"},
    {"POST", "/v1/completions", "Continue texts or token ids",
     "model:string! prompt:any! stream:boolean stream_options:object n:integer best_of:integer echo:boolean "
     "logprobs:any max_tokens:integer response_format:object SAMPLING"},
    {"POST", "/v1/embeddings", "Vectors of texts or token ids",
     "model:string! input:any! encoding_format:string dimensions:integer"},
    {"GET", "/v1/models", "The models", ""},
    {"GET", "/v1/models/{...}", "One model", ""},
    {"POST", "/v1/responses", "Answer a conversation that may be kept",
     "model:string! input:any! instructions:string previous_response_id:string store:boolean stream:boolean "
     "max_output_tokens:integer tools:array tool_choice:any text:object reasoning:object metadata:object SAMPLING"},
    {"GET", "/v1/responses/{}", "A kept answer", ""},
    {"DELETE", "/v1/responses/{}", "Forget a kept answer", ""},
    {"GET", "/v1/responses/{}/input_items", "What a kept answer answered", ""},
    {"POST", "/v1/responses/{}/cancel", "Refused: no answer is made in the background", ""},
    {"POST", "/v1/audio/transcriptions", "What is said in a sound: a form with its file", "form"},
    {"POST", "/v1/audio/translations", "The same in English", "form"},
    {"POST", "/v1/audio/speech", "Speak a text",
     "model:string! input:string! voice:any response_format:string speed:number stream_format:string"},
    {"POST", "/v1/rerank", "Texts by how well they fit a query",
     "model:string query:string! texts:array documents:array raw_scores:boolean return_text:boolean"},
    {"POST", "/v1/messages", "Answer a conversation",
     "model:string! messages:array! max_tokens:integer! system:any stream:boolean stop_sequences:array "
     "temperature:number top_p:number top_k:integer tools:array tool_choice:object thinking:object "
     "output_config:object"},
    {"POST", "/v1/messages/count_tokens", "Count the tokens of a conversation",
     "model:string! messages:array! system:any tools:array"},
    {"GET", "/api/v0/models", "The models", ""},
    {"GET", "/api/v0/models/{...}", "One model", ""},
    {"POST", "/api/v0/chat/completions", "As /v1/chat/completions, with statistics",
     "model:string! messages:array! SAMPLING"},
    {"POST", "/api/v0/completions", "As /v1/completions", "model:string! prompt:any! SAMPLING"},
    {"POST", "/api/v0/embeddings", "As /v1/embeddings", "model:string! input:any!"},
    {"POST", "/api/v1/chat", "Answer a text; conversations are kept by response_id",
     "model:string! input:any! system_prompt:string previous_response_id:string store:boolean stream:boolean "
     "max_output_tokens:integer context_length:integer reasoning:string SAMPLING"},
    {"GET", "/api/v1/models", "The models and which of them are loaded", ""},
    {"POST", "/api/v1/models/load", "Load a model", "model:string! context_length:integer echo_load_config:boolean"},
    {"POST", "/api/v1/models/unload", "Give a model up", "instance_id:string!"},
    {"POST", "/", "A task of the server's own model", "inputs:any! parameters:object options:object stream:boolean"},
    {"POST", "/invocations", "As POST /", "inputs:any! parameters:object stream:boolean"},
    {"POST", "/models/{...}",
     "A task of the model; /pipeline/TASK, /generate, /generate_stream, /tokenize, /v1/... may follow its name",
     "inputs:any! parameters:object options:object stream:boolean"},
    {"GET", "/models/{...}", "The state of the model; /info and /health may follow its name", ""},
    {"POST", "/hf-inference/models/{...}", "As /models/", "inputs:any! parameters:object options:object"},
    {"GET", "/hf-inference/models/{...}", "As /models/", ""},
    {"POST", "/pipeline/{}/{...}", "A task of a model", "inputs:any! parameters:object options:object"},
    {"GET", "/status/{...}", "The state of a model", ""},
    {"POST", "/generate", "Continue a text", "inputs:string! parameters:object stream:boolean"},
    {"POST", "/generate_stream", "Continue a text, token by token", "inputs:string! parameters:object"},
    {"POST", "/tokenize", "The tokens of a text", "inputs:texts! add_special_tokens:boolean"},
    {"POST", "/chat_tokenize", "The prompt of a conversation and its tokens", "messages:array!"},
    {"POST", "/decode", "The text of token ids", "ids:array! skip_special_tokens:boolean"},
    {"GET", "/info", "The server's own model", ""},
    {"POST", "/embed", "Vectors", "inputs:any! normalize:boolean truncate:boolean dimensions:integer"},
    {"POST", "/embed_all", "A vector for each token", "inputs:any!"},
    {"POST", "/embed_sparse", "Refused: no sparse vectors are made", "inputs:any!"},
    {"POST", "/predict", "Labels of texts", "inputs:any! raw_scores:boolean truncate:boolean"},
    {"POST", "/similarity", "How alike sentences are", "inputs:object!"},
    {"POST", "/rerank", "Texts by how well they fit a query",
     "query:string! texts:array! raw_scores:boolean return_text:boolean truncate:boolean"},
};

Json type_json(std::string_view type) {
  if (type == "any") return Json::object();
  if (type == "texts")
    return {
        {"oneOf", Json::array({Json{{"type", "string"}}, Json{{"type", "array"}, {"items", {{"type", "string"}}}}})}};
  if (type == "array") return {{"type", "array"}, {"items", Json::object()}};
  return {{"type", std::string(type)}};
}

Json schema_of(std::string text) {
  if (const auto at = text.find(" SAMPLING"); at != std::string::npos) text.replace(at, 9, kSampling);
  Json properties = Json::object(), required = Json::array();
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find(' ', at), text.size()), colon = text.find(':', at);
    const std::string name = text.substr(at, colon - at);
    std::string type = text.substr(colon + 1, end - colon - 1);
    if (type.ends_with('!')) {
      type.pop_back();
      required.push_back(name);
    }
    properties[name] = type_json(type);
    at = end + 1;
  }
  Json schema = {{"type", "object"}, {"properties", properties}};
  if (!required.empty()) schema["required"] = required;
  return schema;
}

// "/api/blobs/{}" -> "/api/blobs/{digest}"
std::string shown_path(const std::string& pattern, Json* parameters) {
  std::string out;
  int count = 0;
  for (size_t at = 0; at < pattern.size();) {
    const size_t open = pattern.find('{', at);
    out += pattern.substr(at, open - at);
    if (open == std::string::npos) break;
    const size_t close = pattern.find('}', open);
    const std::string name = pattern.starts_with("/api/blobs")                ? "digest"
                             : pattern.starts_with("/pipeline") && count == 0 ? "task"
                             : pattern.starts_with("/v1/responses")           ? "response_id"
                                                                              : "model";
    out += "{" + name + "}";
    parameters->push_back({{"name", name}, {"in", "path"}, {"required", true}, {"schema", {{"type", "string"}}}});
    ++count;
    at = close + 1;
  }
  return out;
}

// Routes are grouped by the dialect they speak; the page speaks none.
const char* tag_of(const Said& said) {
  if (said.method == std::string_view("GET") && said.path == std::string_view("/")) return "general";
  switch (dialect_of(said.path)) {
    case Dialect::ollama:
      return "Ollama";
    case Dialect::openai:
      return "OpenAI";
    case Dialect::anthropic:
      return "Anthropic";
    case Dialect::lm_studio:
      return "LM Studio";
    case Dialect::hugging_face:
      return "Hugging Face";
    case Dialect::tgi:
      return "text generation";
    case Dialect::tei:
      return "text embeddings";
    case Dialect::plain:
      break;
  }
  return "general";
}

Json operation(const Said& said, const Json& parameters) {
  Json o = {{"tags", {tag_of(said)}}, {"summary", said.summary}};
  if (!parameters.empty()) o["parameters"] = parameters;
  const std::string fields = said.fields;
  if (fields == "raw")
    o["requestBody"] = {{"required", true}, {"content", {{"application/octet-stream", Json::object()}}}};
  else if (fields == "form")
    o["requestBody"] = {
        {"required", true},
        {"content",
         {{"multipart/form-data",
           {{"schema",
             schema_of("file:string! model:string! language:string response_format:string stream:boolean")}}}}}};
  else if (!fields.empty())
    o["requestBody"] = {{"required", true}, {"content", {{"application/json", {{"schema", schema_of(fields)}}}}}};
  o["responses"] = {{"200", {{"description", "the answer"}}},
                    {"4XX", {{"description", "what is wrong with the request, in the form of its dialect"}}},
                    {"503", {{"description", "later; Retry-After says when"}}}};
  if (std::string(said.path) == "/health") o["security"] = Json::array();
  return o;
}

}  // namespace

Json openapi_json(std::span<const Route> routes, const std::string& version) {
  Json paths = Json::object();
  for (const Route& route : routes) {
    const auto said = std::find_if(std::begin(kSaid), std::end(kSaid), [&](const Said& s) {
      return std::string_view(s.method) == route.method && std::string_view(s.path) == route.pattern;
    });
    if (said == std::end(kSaid)) continue;
    Json parameters = Json::array();
    const std::string path = shown_path(route.pattern, &parameters);
    std::string method = route.method;
    for (char& c : method) c = static_cast<char>(c | 32);
    paths[path][method] = operation(*said, parameters);
  }
  return {{"openapi", "3.1.0"},
          {"info",
           {{"title", "mynah"},
            {"version", version},
            {"description", "One server for the clients of Ollama, OpenAI, Hugging Face, Anthropic and LM Studio"}}},
          {"paths", paths},
          {"components", {{"securitySchemes", {{"key", {{"type", "http"}, {"scheme", "bearer"}}}}}}},
          {"security", Json::array({Json{{"key", Json::array()}}, Json::object()})}};
}

}  // namespace mynah::serve
