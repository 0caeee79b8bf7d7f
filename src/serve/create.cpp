#include "serve/create.h"

#include <fmt/core.h>

#include <algorithm>
#include <filesystem>

#include "base/require.h"
#include "base/unicode.h"
#include "bundle/convert.h"
#include "serve/ollama.h"
#include "store/names.h"

namespace mynah::serve {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void wrong_line(size_t line, const std::string& what) {
  fail(ErrorCode::usage, "Modelfile: (line {}): {}", line, what);
}

// A parameter's text as the type that the option has.
Json parameter_value(size_t line, const std::string& name, const std::string& text) {
  Json value;
  try {
    value = Json::parse(text);
  } catch (const Json::exception&) {
    value = text;
  }
  if (name == "stop" && !value.is_string()) value = text;
  OllamaSettings scratch;
  const Json object = {{name, value}};
  try {
    if (!set_ollama_option(Fields(object), name, &scratch))
      wrong_line(line, fmt::format("unknown parameter '{}'", name));
  } catch (const ApiError& error) {
    wrong_line(line, error.what());
  }
  return value;
}

void add_parameter(Json* parameters, const std::string& name, const Json& value) {
  if (!parameters->is_object()) *parameters = Json::object();
  if (name != "stop") {
    (*parameters)[name] = value;
    return;
  }
  if (!parameters->contains("stop")) (*parameters)["stop"] = Json::array();
  (*parameters)["stop"].push_back(value);
}

// UTF-8 of a file that may begin with a mark of UTF-8 or UTF-16.
std::string as_utf8(std::string_view text) {
  if (text.starts_with("\xef\xbb\xbf")) return std::string(text.substr(3));
  const bool little = text.starts_with("\xff\xfe"), big = text.starts_with("\xfe\xff");
  if (!little && !big) return std::string(text);
  std::string out;
  const auto unit = [&](size_t i) -> char32_t {
    const auto a = static_cast<unsigned char>(text[i]), b = static_cast<unsigned char>(text[i + 1]);
    return little ? static_cast<char32_t>(b << 8 | a) : static_cast<char32_t>(a << 8 | b);
  };
  for (size_t i = 2; i + 1 < text.size(); i += 2) {
    char32_t c = unit(i);
    if (c >= 0xd800 && c < 0xdc00 && i + 3 < text.size()) {
      c = 0x10000 + ((c - 0xd800) << 10) + (unit(i + 2) - 0xdc00);
      i += 2;
    }
    unicode::append(out, c);
  }
  return out;
}

}  // namespace

CreateRequest parse_modelfile(std::string_view source) {
  const std::string text = as_utf8(source);
  CreateRequest request;
  request.from_may_be_path = true;
  size_t at = 0, line = 1;
  const auto skip_blank = [&] {
    while (at < text.size() && (text[at] == ' ' || text[at] == '\t' || text[at] == '\r')) ++at;
  };
  while (at < text.size()) {
    skip_blank();
    if (at >= text.size()) break;
    if (text[at] == '\n') {
      ++at;
      ++line;
      continue;
    }
    if (text[at] == '#') {
      at = std::min(text.find('\n', at), text.size());
      continue;
    }
    const size_t begin_line = line, begin = at;
    while (at < text.size() && !std::isspace(static_cast<unsigned char>(text[at]))) ++at;
    std::string command = store::lower(text.substr(begin, at - begin));
    const auto word = [&] {
      skip_blank();
      const size_t from = at;
      while (at < text.size() && !std::isspace(static_cast<unsigned char>(text[at]))) ++at;
      return text.substr(from, at - from);
    };
    const std::string first = command == "parameter" || command == "message" ? word() : "";
    skip_blank();
    std::string value;
    if (text.compare(at, 3, "\"\"\"") == 0) {
      const size_t end = text.find("\"\"\"", at + 3);
      if (end == std::string::npos) wrong_line(begin_line, "a text in \"\"\" does not end");
      value = text.substr(at + 3, end - at - 3);
      line += static_cast<size_t>(std::count(value.begin(), value.end(), '\n'));
      at = end + 3;
    } else {
      const size_t end = std::min(text.find('\n', at), text.size());
      value = text.substr(at, end - at);
      at = end;
      while (!value.empty() && std::isspace(static_cast<unsigned char>(value.back()))) value.pop_back();
      if (value.size() >= 2 && value.front() == '"' && value.back() == '"') value = value.substr(1, value.size() - 2);
    }
    if (command == "from") {
      if (value.empty()) wrong_line(begin_line, "FROM without a model");
      if (!request.from.empty()) wrong_line(begin_line, "a second FROM is not supported");
      request.from = value;
    } else if (command == "parameter") {
      add_parameter(&request.parameters, first, parameter_value(begin_line, first, value));
    } else if (command == "template") {
      request.template_text = value;
    } else if (command == "system") {
      request.system = value;
    } else if (command == "license") {
      request.license = request.license ? *request.license + "\n" + value : value;
    } else if (command == "message") {
      if (first != "system" && first != "user" && first != "assistant")
        wrong_line(begin_line, "message role must be one of \"system\", \"user\", or \"assistant\"");
      if (!request.messages.is_array()) request.messages = Json::array();
      request.messages.push_back({{"role", first}, {"content", value}});
    } else if (command == "adapter" || command == "draft" || command == "renderer" || command == "parser") {
      wrong_line(begin_line, fmt::format("{} is not supported", command));
    } else if (command != "requires") {
      wrong_line(
          begin_line,
          "command must be one of \"from\", \"license\", \"template\", \"system\", \"parameter\", or \"message\"");
    }
  }
  if (request.from.empty()) fail(ErrorCode::usage, "Modelfile: no FROM line");
  return request;
}

CreateRequest create_request(const Fields& f) {
  CreateRequest r;
  r.name = f.text_or("model", f.text_or("name", ""));
  if (r.name.empty()) throw ApiError(400, "model is required", "model");
  if (!store::valid_stored_name(r.name)) throw ApiError(400, "invalid model name", "model");
  r.from = f.text_or("from", "");
  if (const Json* files = f.object("files"))
    for (const auto& [name, digest] : files->items()) {
      if (!digest.is_string()) f.wrong("files", "object of digests");
      r.files[name] = digest.get<std::string>();
    }
  if (f.text("modelfile"))
    throw ApiError(400, "\"modelfile\" is not supported: give from, template, system and parameters", "modelfile");
  if (r.from.empty() && r.files.empty()) throw ApiError(400, "neither 'from' or 'files' was specified");
  for (const char* name : {"adapters", "draft_files", "draft_quantize", "renderer", "parser"})
    f.refuse(name, "this server makes models of weights, templates and settings");
  if (f.has("template")) r.template_text = f.text("template");
  if (f.has("system")) r.system = f.text("system");
  if (const auto licenses = f.texts("license")) {
    r.license = "";
    for (const auto& one : *licenses) *r.license += (r.license->empty() ? "" : "\n") + one;
  }
  if (const Json* parameters = f.object("parameters")) {
    OllamaSettings scratch;
    for (const auto& [name, value] : parameters->items())
      if (!set_ollama_option(Fields(*parameters), name, &scratch))
        throw ApiError(400, fmt::format("unknown parameter '{}'", name), "parameters");
    r.parameters = *parameters;
  }
  if (const Json* messages = f.array("messages")) {
    for (size_t i = 0; i < messages->size(); ++i) {
      const std::string where = fmt::format("messages[{}].", i);
      if (!(*messages)[i].is_object())
        throw ApiError(400, fmt::format("\"messages[{}]\" is not an object", i), "messages");
      const Fields m((*messages)[i], where);
      const std::string role = m.text_or("role", "");
      if (role != "system" && role != "user" && role != "assistant")
        throw ApiError(400, "message role must be one of \"system\", \"user\", or \"assistant\"", where + "role");
      m.text("content");
    }
    r.messages = *messages;
  }
  r.quantize = f.text_or("quantize", "");
  return r;
}

store::Model create_model(const store::Store& store, const CreateRequest& r,
                          const std::function<void(const std::string&)>& status) {
  if (r.template_text && !r.template_text->empty()) {
    try {
      if (is_jinja(*r.template_text))
        ChatTemplate::parse(*r.template_text, "create");
      else
        GoTemplate::parse(*r.template_text, "create");
    } catch (const Error& error) {
      throw ApiError(400, error.what(), "template");
    }
  }
  std::vector<store::NewFile> files;
  std::string source = r.from;
  const auto add_folder = [&](const fs::path& folder) {
    for (const auto& entry : fs::recursive_directory_iterator(folder)) {
      if (!entry.is_regular_file()) continue;
      const std::string name = fs::relative(entry.path(), folder).string();
      if (store::valid_file_name(name) && !name.starts_with(".")) files.push_back({name, "", entry.path(), {}, {}});
    }
  };
  static constexpr const char* kSettings[] = {"template", "system", "params", "messages", "license"};
  std::error_code error;
  if (!r.files.empty()) {
    status("parsing GGUF");
    for (const auto& [name, text] : r.files) {
      const auto digest = store::Digest::try_parse(text);
      if (!digest) throw ApiError(400, "invalid digest format");
      if (!store.has_blob(*digest)) throw ApiError(400, fmt::format("blob {} does not exist", digest->with_prefix()));
      const std::string base = fs::path(name).filename().string();
      if (!store::valid_file_name(base)) throw ApiError(400, "a file name that cannot be used", "files");
      files.push_back(
          {base, store::lower(base).ends_with(".gguf") || r.files.size() == 1 ? "model" : "", {}, digest, {}});
      if (files.back().role == "model" && !store::lower(base).ends_with(".gguf")) files.back().name = "model.gguf";
    }
  } else if (r.from_may_be_path && fs::exists(r.from, error)) {
    if (fs::is_directory(r.from, error))
      add_folder(r.from);
    else
      files.push_back({fs::path(r.from).filename().string(), "model", r.from, {}, {}});
    source = fs::absolute(r.from, error).string();
  } else {
    const auto stored = store.find(r.from);
    if (!stored) {
      if (r.from_may_be_path)
        fail(ErrorCode::not_found, "create: FROM {}: neither a path nor a stored model; pull it first", r.from);
      throw ApiError(404, fmt::format("model '{}' not found", r.from), "from");
    }
    for (const auto& file : stored->files) {
      const bool replaced = (file.role == "template" && r.template_text) || (file.role == "system" && r.system) ||
                            (file.role == "license" && r.license) || (file.role == "messages" && r.messages.is_array());
      if (file.role == "params" && r.parameters.is_object()) {
        // The new parameters win over those of the model below, which stay otherwise.
        continue;
      }
      if (replaced) continue;
      status("using existing layer " + file.digest.with_prefix());
      files.push_back({file.name, file.role, {}, file.digest, {}});
    }
  }
  if (files.empty()) fail(ErrorCode::not_found, "create: {} holds no files", r.from);
  if (!r.quantize.empty()) {
    status("quantizing model to " + r.quantize);
    const auto known = store.resolve(source);
    if (!known || !r.files.empty()) throw ApiError(400, "quantize needs a model in 'from'", "quantize");
    const fs::path out =
        store.settings().home / "blobs" / "partial" / ("quantize-" + store::digest_of_text(r.name).hex() + ".gguf");
    std::string recipe = store::lower(r.quantize);
    bundle::write_gguf(known->path, out, recipe);
    files.erase(std::remove_if(files.begin(), files.end(),
                               [&](const store::NewFile& f) {
                                 return std::find(std::begin(kSettings), std::end(kSettings), f.role) ==
                                        std::end(kSettings);
                               }),
                files.end());
    files.push_back({"model.gguf", "model", out, {}, {}});
  }
  Json parameters = r.parameters;
  if (parameters.is_object())
    if (const auto below = r.files.empty() ? store.find(r.from) : std::nullopt) {
      Json all = settings_of(store, *below).parameters;
      for (const auto& [name, value] : parameters.items()) all[name] = value;
      parameters = all;
    }
  const auto add_text = [&](const char* role, const char* name, const std::optional<std::string>& text) {
    if (!text || text->empty()) return;
    const store::Digest digest = store::digest_of_text(*text);
    status(fmt::format("{} layer {}", store.has_blob(digest) ? "using existing" : "creating new", digest.with_prefix()));
    files.push_back({name, role, {}, {}, text});
  };
  add_text("template", "template.txt", r.template_text);
  add_text("system", "system.txt", r.system);
  add_text("license", "license.txt", r.license);
  if (parameters.is_object() && !parameters.empty()) add_text("params", "params.json", to_text(parameters));
  if (r.messages.is_array() && !r.messages.empty()) add_text("messages", "messages.json", to_text(r.messages));
  status("writing manifest");
  std::string licence = r.license.value_or("");
  if (licence.empty())
    if (const auto below = store.find(r.from)) licence = below->licence;
  const store::Model model =
      store.create(r.name, source, licence.substr(0, std::min<size_t>(100, licence.find('\n'))), files);
  if (!r.quantize.empty())
    fs::remove(
        store.settings().home / "blobs" / "partial" / ("quantize-" + store::digest_of_text(r.name).hex() + ".gguf"),
        error);
  return model;
}

}  // namespace mynah::serve
