// mynah create NAME -f Modelfile: a model made of another with settings of its own.
#include <fmt/core.h>

#include "base/require.h"
#include "cli.h"
#include "command.h"
#include "mynah/json.h"
#include "serve/create.h"
#include "serve/describe.h"
#include "standard_input.h"

namespace mynah::app {
namespace {

struct CreateOptions {
  std::string name, file = "Modelfile", quantize;
  bool json = false;
};

int run_create(const CreateOptions& o) {
  const std::filesystem::path file = o.file;
  serve::CreateRequest request = serve::parse_modelfile(text_of_file(o.file, 4 << 20));
  request.name = o.name;
  request.quantize = o.quantize;
  // A path in FROM is seen from the Modelfile.
  std::error_code error;
  const auto beside = file.parent_path() / request.from;
  if (!std::filesystem::exists(request.from, error) && std::filesystem::exists(beside, error)) request.from = beside.string();
  const store::Store store;
  try {
    const auto model = serve::create_model(store, request, [&](const std::string& status) {
      if (!o.json) fmt::print(stderr, "{}\n", status);
    });
    if (o.json) print_json(serve::tag_json(store, model));
    else fmt::print(stderr, "{} is made\n", model.name);
  } catch (const serve::ApiError& problem) {
    fail(problem.status == 404 ? ErrorCode::not_found : ErrorCode::usage, "create: {}", problem.what());
  }
  return 0;
}

}  // namespace

void add_create(cli::App& parent, std::function<int()>& action) {
  cli::App* c = parent.add_subcommand("create", "Make a model from a Modelfile");
  auto o = std::make_shared<CreateOptions>();
  c->add_option("name", o->name, "the new name")->required()->type_name("NAME");
  c->add_option("-f,--file", o->file, "the Modelfile, - for standard input")->type_name("FILE");
  c->add_option("-q,--quantize", o->quantize, "weight type of the new model: q4_k_m, q8_0, f16, ...")->type_name("TYPE");
  c->add_flag("--json", o->json, "print JSON");
  c->callback([o, &action] { action = [o] { return run_create(*o); }; });
}

}  // namespace mynah::app
