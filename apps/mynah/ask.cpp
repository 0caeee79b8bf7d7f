// mynah ask DIR QUESTION: searches a folder by words and by meaning, and lets a chat model answer from what was found.
#include <algorithm>

#include "answering.h"
#include "base/require.h"
#include "bundle/bundle.h"
#include "cli.h"
#include "command.h"
#include "mynah/generate.h"
#include "mynah/json.h"
#include "open_model.h"
#include "sentence_vectors.h"
#include "standard_input.h"

namespace mynah::app {
namespace {

struct AskOptions {
  std::string folder, question, model = "smollm2", embedder = "minilm";
  int64_t top_k = 5, max_tokens = 256;
  bool search_only = false, json = false;
};

std::string place(const search::Hit& hit) {
  return hit.passage.first_line == hit.passage.last_line
             ? fmt::format("{}:{}", hit.path, hit.passage.first_line)
             : fmt::format("{}:{}-{}", hit.path, hit.passage.first_line, hit.passage.last_line);
}

Json source(const search::Hit& hit) {
  return {{"path", hit.path},
          {"first_line", hit.passage.first_line},
          {"last_line", hit.passage.last_line},
          {"similarity", hit.similarity},
          {"score", hit.score},
          {"text", hit.passage.text}};
}

std::vector<int32_t> prompt(const Model& model, const std::string& question, const std::vector<search::Hit>& hits) {
  std::string passages;
  for (size_t i = 0; i < hits.size(); ++i)
    passages += fmt::format("[{}] {}\n{}\n", i + 1, place(hits[i]), hits[i].passage.text);
  return chat_prompt(
      model,
      {{"system",
        "You answer questions from passages of the user's files. Use only what the passages say, in one to three "
        "sentences, and name "
        "the passage that says it, like [1]. If they do not answer the question, say that the files do not say."},
       {"user", passages + "\nQuestion: " + question}});
}

// The hits that the model's context has room for, beside an answer; at least the first.
std::vector<search::Hit> fitting(const Model& model, const AskOptions& o, std::vector<search::Hit> hits) {
  const int64_t room = prompt_room(model, o.max_tokens);
  const size_t all = hits.size();
  while (hits.size() > 1 && static_cast<int64_t>(prompt(model, o.question, hits).size()) > room) hits.pop_back();
  if (hits.size() < all) fmt::print(stderr, "(the model's context has room for {} of {} passages)\n", hits.size(), all);
  return hits;
}

int run_ask(const AskOptions& o) {
  search::FolderIndex index = open_index(o.folder, o.embedder);
  const SentenceVectors vectors(o.embedder);
  update_index(index, vectors);
  auto hits = index.search(o.question, vectors.question(o.question), o.top_k, kNear);
  if (hits.empty()) {
    if (o.json)
      print_json({{"answer", nullptr}, {"sources", Json::array()}});
    else
      print_text(fmt::format("Nothing in {} speaks of this.\n", o.folder));
    return 0;
  }
  Json out = {{"answer", nullptr}, {"sources", Json::array()}};
  if (!o.search_only) {
    const Model model = open_model(o.model, Precision::automatic);
    hits = fitting(model, o, std::move(hits));
    GenerationConfig config = likeliest_settings(model, o.max_tokens);
    const Generated g = Session(model).generate(prompt(model, o.question, hits), config, [&](const std::string& piece) {
      if (!o.json) print_text(piece);
      return true;
    });
    out["answer"] = g.text;
    if (!o.json) print_text("\n\n");
  }
  for (size_t i = 0; i < hits.size(); ++i) {
    out["sources"].push_back(source(hits[i]));
    if (o.json) continue;
    print_text(fmt::format("[{}] {}\n", i + 1, place(hits[i])));
    if (o.search_only) print_text(hits[i].passage.text + "\n");
  }
  if (o.json) print_json(out);
  return 0;
}

}  // namespace

void add_ask(cli::App& parent, std::function<int()>& action) {
  cli::App* c = parent.add_subcommand("ask", "Answer a question from the files of a folder");
  auto o = std::make_shared<AskOptions>();
  c->add_option("folder", o->folder, "its text files are read first, if they changed")->required()->type_name("DIR");
  c->add_option("question", o->question, "what is asked; - is standard input")->required()->type_name("QUESTION");
  c->add_option("--model", o->model, "chat model that answers (smollm2)")->type_name("MODEL");
  c->add_option("--embedder", o->embedder, "encoder of sentences (minilm)")->type_name("MODEL");
  c->add_option("--top-k", o->top_k, "passages that the answer is made from (5)")->check(cli::Range(1, 50));
  c->add_option("--max-tokens", o->max_tokens, "most tokens of the answer (256)")->check(cli::Range(1, 100000));
  c->add_flag("--search-only", o->search_only, "show the passages, ask no model");
  c->add_flag("--json", o->json, "one JSON object: answer and sources");
  c->callback([o, &action] {
    action = [o] {
      o->question = text_of_words({o->question});
      if (o->question.find_first_not_of(" \t\n") == std::string::npos)
        fail(ErrorCode::usage, "ask: the question is empty; write one");
      return run_ask(*o);
    };
  });
}

}  // namespace mynah::app
