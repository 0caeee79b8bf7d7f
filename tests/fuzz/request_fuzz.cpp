// Reads the bytes as a request's JSON, as a Modelfile and as an answer that is taken apart: only errors that name what is wrong,
// and the same parts however the answer is cut.
#include <cstdlib>

#include "mynah/error.h"
#include "mynah/json.h"
#include "serve/create.h"
#include "serve/fields.h"
#include "serve/output_parser.h"
#include "serve/serve.h"

using namespace mynah;
using namespace mynah::serve;

namespace {

std::string parts(const std::string& text, size_t piece) {
  OutputParser parser({.thinking = true, .starts_thinking = false, .tools = true, .only_call = false});
  ParsedText all;
  const auto add = [&](const ParsedText& t) {
    all.thinking += t.thinking;
    all.content += t.content;
  };
  for (size_t at = 0; at < text.size(); at += piece) add(parser.push(text.substr(at, piece)));
  add(parser.finish());
  std::string out = all.thinking + "|" + all.content;
  for (const auto& call : parser.calls()) out += "|" + call.name + call.arguments;
  return out;
}

}  // namespace

int request_fuzz(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  try {
    const Json json = parse_request(text);
    const Fields f(json);
    for (const auto& [name, value] : json.items()) {
      for (int kind = 0; kind < 6; ++kind) try {
          if (kind == 0) f.integer(name, 0, 100);
          if (kind == 1) f.number(name, 0, 2);
          if (kind == 2) f.boolean(name);
          if (kind == 3) f.text(name);
          if (kind == 4) f.texts(name);
          if (kind == 5) f.object(name);
        } catch (const ApiError& e) {
          if (e.status != 400) std::abort();
        }
    }
    try {
      create_request(f);
    } catch (const ApiError&) {
    }
  } catch (const ApiError& e) {
    if (e.status != 400 && e.status != 413) std::abort();
  }
  for (int kind = 0; kind < 2; ++kind) try {
      if (kind == 0) parse_modelfile(text);
      else parse_host(text);
    } catch (const Error& e) {
      if (e.code() == ErrorCode::internal) std::abort();
    }
  if (size <= 4096 && parts(text, 1) != parts(text, text.size() + 1)) std::abort();
  return 0;
}
