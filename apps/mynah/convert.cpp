// mynah convert IN OUT and mynah quantize IN OUT --type T.
#include <fmt/core.h>
#include <unistd.h>

#include "base/progress.h"
#include "base/require.h"
#include "bundle/convert.h"
#include "cli.h"
#include "command.h"
#include "mynah/json.h"
#include "open_model.h"
#include "tensor/quantize_recipe.h"

namespace mynah::app {
namespace {

namespace fs = std::filesystem;

struct ConvertOptions {
  std::string in, out, type;
  bool json = false;
};

bool names_gguf(const fs::path& p) { return p.extension() == ".gguf"; }

uint64_t size_of(const fs::path& p) {
  if (fs::is_regular_file(p)) return fs::file_size(p);
  uint64_t total = 0;
  for (const auto& entry : fs::directory_iterator(p))
    if (entry.is_regular_file()) total += entry.file_size();
  return total;
}

int run_convert(const ConvertOptions& o, bool to_gguf) {
  if (!to_gguf && !o.type.empty()) fail(ErrorCode::usage, "convert: --type is for GGUF files; give OUT a name that ends in .gguf");
  const std::string recipe = o.type.empty() ? "" : std::string(find_recipe(o.type));
  const std::string in = model_path(o.in);
  refuse_same_place(in, o.out);
  Progress bar("writing " + fs::path(o.out).filename().string(), -1, {.bytes = false, .noun = "weights", .quiet = !isatty(STDERR_FILENO)});
  const auto progress = [&](uint64_t done, uint64_t total) {
    bar.set_total(static_cast<int64_t>(total));
    bar.set(static_cast<int64_t>(done));
  };
  if (to_gguf) bundle::write_gguf(in, o.out, recipe, progress);
  else bundle::write_folder(in, o.out, progress);
  bar.finish();
  const auto bytes = [](const fs::path& path) { return format_bytes(static_cast<int64_t>(size_of(path))); };
  if (!o.json && isatty(STDERR_FILENO)) fmt::print(stderr, "{}: {}, from {}\n", o.out, bytes(o.out), bytes(in));
  if (o.json) print_json({{"input", in}, {"output", o.out}, {"input_bytes", size_of(in)}, {"output_bytes", size_of(o.out)}});
  return 0;
}

}  // namespace

void add_quantize(cli::App& parent, std::function<int()>& action) {
  cli::App* c = parent.add_subcommand("quantize", "Write a GGUF file with smaller weights");
  auto o = std::make_shared<ConvertOptions>();
  std::string known;
  for (const auto name : recipe_names()) known += (known.empty() ? "" : ", ") + std::string(name);
  c->add_option("in", o->in, "folder, .gguf file or name")->required()->type_name("IN");
  c->add_option("out", o->out, "the file to write")->required()->type_name("OUT.gguf");
  c->add_option("--type", o->type, known)->required()->type_name("TYPE");
  c->add_flag("--json", o->json, "print sizes as JSON");
  c->callback([o, &action] { action = [o] { return run_convert(*o, true); }; });
}

void add_convert(cli::App& parent, std::function<int()>& action) {
  cli::App* c = parent.add_subcommand("convert", "Convert between a Hugging Face folder and a GGUF file");
  auto o = std::make_shared<ConvertOptions>();
  c->add_option("in", o->in, "folder, .gguf file or name")->required()->type_name("IN");
  c->add_option("out", o->out, "NAME.gguf, or a folder to write")->required()->type_name("OUT");
  c->add_option("--type", o->type, "for GGUF: the type of the weights (default: as they are)")->type_name("TYPE");
  c->add_flag("--json", o->json, "print sizes as JSON");
  c->callback([o, &action] { action = [o] { return run_convert(*o, names_gguf(o->out)); }; });
}

}  // namespace mynah::app
