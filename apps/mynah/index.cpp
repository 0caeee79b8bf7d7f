// mynah index DIR: reads the text files of a folder, so that `mynah ask` finds passages in them.
#include <fmt/format.h>

#include "cli.h"
#include "command.h"
#include "mynah/json.h"
#include "sentence_vectors.h"

namespace mynah::app {

void add_index(cli::App& parent, std::function<int()>& action) {
  struct Options {
    std::string folder, embedder = "minilm";
    bool json = false;
  };
  cli::App* c = parent.add_subcommand("index", "Read a folder's text files for mynah ask");
  auto o = std::make_shared<Options>();
  c->add_option("folder", o->folder, "what is read; only what changed since the last time")
      ->required()
      ->type_name("DIR");
  c->add_option("--embedder", o->embedder, "encoder of sentences (minilm)")->type_name("MODEL");
  c->add_flag("--json", o->json, "one JSON object with the counts");
  c->callback([o, &action] {
    action = [o] {
      search::FolderIndex index = open_index(o->folder, o->embedder);
      const SentenceVectors vectors(o->embedder);
      const auto changes = update_index(index, vectors);
      if (o->json)
        print_json({{"files", changes.files},
                    {"read", changes.read},
                    {"removed", changes.removed},
                    {"passages", changes.passages},
                    {"no_text", changes.no_text},
                    {"skipped", changes.skipped}});
      else
        print_text(fmt::format("{} passages of {} files ({} read, {} removed{})\n", changes.passages, changes.files, changes.read, changes.removed,
                               changes.no_text > 0 ? fmt::format("; {} passed over: no text", changes.no_text) : ""));
      return 0;
    };
  });
}

}  // namespace mynah::app
