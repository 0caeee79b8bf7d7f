// mynah tokenize MODEL: one JSON object for each line of stdin.
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <exception>
#include <string_view>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "base/require.h"
#include "base/thread_pool.h"
#include "bundle/bundle.h"
#include "cli.h"
#include "command.h"
#include "mynah/json.h"
#include "open_model.h"

namespace mynah::app {
namespace {

struct TokenizeOptions {
  std::string model, tools;
  bool pair = false, no_special_tokens = false, decode = false, chat = false, no_generation_prompt = false;
};

// Most tokens are plain ASCII; those need no work.
void append_token(const std::string& token, std::string* out) {
  const bool plain = std::all_of(token.begin(), token.end(), [](char c) { return c >= ' ' && c <= '~' && c != '"' && c != '\\'; });
  if (plain) out->append(1, '"').append(token).append(1, '"');
  else out->append(to_text(token));
}

template <class List, class Append>
void append_list(const char* name, const List& list, const Append& append, std::string* out) {
  out->append(name).append(":[");
  bool first = true;
  for (const auto& entry : list) {
    if (!std::exchange(first, false)) out->push_back(',');
    append(entry);
  }
  out->push_back(']');
}

// One line of JSON. Trees of values for a hundred thousand numbers would take several times as long as the encoding.
std::string line_of(const Encoding& e, const std::string& more = "") {
  std::string out = "{";
  const auto number = [&](int64_t n) {
    char digits[24];
    out.append(digits, std::to_chars(digits, digits + sizeof digits, n).ptr);
  };
  append_list("\"ids\"", e.ids, number, &out);
  append_list(",\"tokens\"", e.tokens, [&](const std::string& token) { append_token(token, &out); }, &out);
  const auto span = [&](const auto& offsets) {
    out.push_back('[');
    number(offsets.first);
    out.push_back(',');
    number(offsets.second);
    out.push_back(']');
  };
  append_list(",\"offsets\"", e.offsets, span, &out);
  append_list(",\"type_ids\"", e.type_ids, number, &out);
  return out + more + "}";
}

// A line that parses as a JSON string is read as one, else it is the text.
std::string text_in(const std::string& line) {
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

std::string encode_chat(const bundle::Bundle& b, const Json& messages, const Json& tools, bool generation_prompt) {
  const std::string text = bundle::render_chat(b, messages, tools, generation_prompt);
  return line_of(b.tokenizer->encode(text, false), ",\"text\":" + to_text(text));
}

std::string answer(const TokenizeOptions& o, const bundle::Bundle& b, const Json& tools, const std::string& line, size_t number) {
  const Tokenizer& t = *b.tokenizer;
  if (o.chat) return encode_chat(b, list_of(line, number, "a JSON array of messages"), tools, !o.no_generation_prompt);
  if (o.decode) {
    std::vector<int32_t> ids;
    for (const Json& id : list_of(line, number, "a JSON array of ids")) {
      if (!id.is_number_integer() || id.get<int64_t>() < 0 || id.get<int64_t>() > INT32_MAX) fail(ErrorCode::failure, "tokenize: line {}: {} is not a token id", number, id.dump());
      ids.push_back(id.get<int32_t>());
    }
    return to_text(Json{{"text", t.decode(ids, o.no_special_tokens)}});
  }
  if (o.pair) {
    const Json two = list_of(line, number, "a JSON array of two strings");
    if (two.size() != 2 || !two[0].is_string() || !two[1].is_string()) fail(ErrorCode::failure, "tokenize: line {}: expected a JSON array of two strings", number);
    return line_of(t.encode_pair(two[0].get<std::string>(), two[1].get<std::string>(), !o.no_special_tokens));
  }
  return line_of(t.encode(text_in(line), !o.no_special_tokens));
}

// The lines of standard input as they come: all that one read gives, so that whoever writes one line and waits for its answer gets it.
class Input {
 public:
  // Whole lines without their ends, the last one as it is; none at the end. They are good until the next call.
  std::vector<std::string_view> next() {
    buffer_.erase(0, done_);  // what is left is the beginning of a line
    size_t searched = buffer_.size();
    while (buffer_.find('\n', searched) == std::string::npos) {
      searched = buffer_.size();
      if (!read_block()) break;
    }
    std::vector<std::string_view> lines;
    for (done_ = 0; done_ < buffer_.size();) {
      const size_t end = buffer_.find('\n', done_);
      if (end == std::string::npos && !ended_) break;
      lines.push_back(std::string_view(buffer_).substr(done_, end - done_));
      done_ = std::min(end, buffer_.size() - 1) + 1;
    }
    return lines;
  }

 private:
  bool read_block() {
    constexpr size_t kBlock = 1 << 18;
    const size_t before = buffer_.size();
    buffer_.resize(before + kBlock);
    ssize_t got = 0;
    if (!ended_) do got = ::read(STDIN_FILENO, buffer_.data() + before, kBlock);
      while (got < 0 && errno == EINTR);
    if (got < 0) fail(ErrorCode::failure, "tokenize: cannot read standard input: {}", std::strerror(errno));
    buffer_.resize(before + static_cast<size_t>(got));
    ended_ = got == 0;
    return !ended_;
  }

  std::string buffer_;
  size_t done_ = 0;
  bool ended_ = false;
};

int run_tokenize(const TokenizeOptions& o) {
  const auto b = open_text(o.model);
  require(b->tokenizer != nullptr, "tokenize: {} has no tokenizer", o.model);
  const Json tools = o.tools.empty() ? Json() : read_json_file(o.tools);
  Input input;
  size_t number = 0;
  for (auto lines = input.next(); !lines.empty(); lines = input.next()) {
    constexpr int64_t kLinesPerChunk = 8;
    std::vector<std::string> answers(lines.size());
    std::vector<std::exception_ptr> errors(lines.size());
    parallel_for(static_cast<int64_t>(lines.size()), kLinesPerChunk, [&](int64_t begin, int64_t end) {
      for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) try {
          answers[i] = answer(o, *b, tools, std::string(lines[i]), number + i + 1) + "\n";
        } catch (...) {
          errors[i] = std::current_exception();
        }
    });
    // What stands before a line that fails has its answer.
    std::string out;
    size_t good = 0;
    while (good < lines.size() && !errors[good]) out += answers[good++];
    print_text(out);
    if (good < lines.size()) std::rethrow_exception(errors[good]);
    number += lines.size();
  }
  return 0;
}

}  // namespace

void add_tokenize(cli::App& parent, std::function<int()>& action) {
  cli::App* c = parent.add_subcommand("tokenize", "Encode or decode lines of stdin; one JSON object per line");
  auto o = std::make_shared<TokenizeOptions>();
  c->add_option("model", o->model, "folder (tokenizer files suffice), .gguf file or name")->required()->type_name("MODEL");
  c->add_flag("--pair", o->pair, "lines are JSON arrays of two strings");
  c->add_flag("--no-special-tokens", o->no_special_tokens, "do not add (with --decode: drop) special tokens");
  c->add_flag("--decode", o->decode, "lines are JSON arrays of ids");
  c->add_flag("--chat", o->chat, "lines are JSON arrays of messages, rendered by the chat template");
  c->add_flag("--no-generation-prompt", o->no_generation_prompt, "with --chat: end after the last message");
  c->add_option("--tools", o->tools, "with --chat: a JSON file of tools for the template")->type_name("FILE");
  c->add_flag_function("--json", [](int64_t) {}, "accepted: JSON is the only output");
  c->callback([o, &action] { action = [o] { return run_tokenize(*o); }; });
}

}  // namespace mynah::app
