// mynah search-images DIR "text": pictures of a folder by what is to be seen in them, or by likeness.
#include <fmt/format.h>

#include <filesystem>

#include "base/progress.h"
#include "base/require.h"
#include "cli.h"
#include "command.h"
#include "media/animation.h"
#include "mynah/json.h"
#include "open_model.h"
#include "search/picture_index.h"
#include "store/store.h"
#include "tasks/picture_results.h"
#include "tasks/registry.h"

namespace mynah::app {
namespace {

struct Options {
  std::string folder, text, like, model = "openai/clip-vit-base-patch32";
  int64_t top_k = 10;
  bool json = false;
};

std::vector<float> unit(std::vector<float> vector) {
  double sum = 0;
  for (const float v : vector) sum += static_cast<double>(v) * static_cast<double>(v);
  require(sum > 0 && std::isfinite(sum), "search-images: the model gives a vector without direction");
  const auto scale = static_cast<float>(1 / std::sqrt(sum));
  for (float& v : vector) v *= scale;
  return vector;
}

int act(const Options& o) {
  if (o.text.empty() == o.like.empty()) fail(ErrorCode::usage, "search-images: give a text, or a picture with --like");
  search::PictureIndex index(o.folder, store::Settings::from_environment().home / "indexes", o.model);
  const auto task = tasks::open_task(tasks::find_task("zero-shot-image-classification"), "zero-shot-image-classification", model_path(o.model), LoadOptions{});
  const auto picture = [&](const std::filesystem::path& file) { return unit(tasks::picture_vector(*task, media::read_image(file))); };
  const std::vector<float> wanted = o.like.empty() ? unit(tasks::text_vector(*task, o.text)) : picture(o.like);
  ProgressOptions shown;
  shown.bytes = false;
  shown.noun = "pictures";
  std::unique_ptr<Progress> bar;
  const auto changes = index.update(media::is_picture_name, picture, [&](int64_t done, int64_t all) {
    if (all == 0) return;
    if (!bar) bar = std::make_unique<Progress>("reading", all, shown);
    bar->set(done);
    if (done == all) bar->finish();
  });
  for (const std::string& line : changes.skipped) fmt::print(stderr, "skipped {}\n", line);
  const std::vector<search::PictureHit> hits = index.search(wanted, o.top_k);
  Json out = Json::array();
  for (const search::PictureHit& hit : hits) {
    if (o.json)
      out.push_back({{"path", hit.path}, {"similarity", hit.similarity}});
    else
      print_text(fmt::format("{:.4f}  {}\n", hit.similarity, hit.path));
  }
  if (o.json) print_json(out);
  if (hits.empty()) fmt::print(stderr, "{}: no pictures there, expected .jpg, .png or .webp files\n", o.folder);
  return 0;
}

}  // namespace

void add_search_images(cli::App& parent, std::function<int()>& action) {
  cli::App* c = parent.add_subcommand("search-images", "Find pictures of a folder by what is to be seen in them");
  auto o = std::make_shared<Options>();
  c->add_option("folder", o->folder, "its pictures are read first, if they changed")->required()->type_name("DIR");
  c->add_option("text", o->text, "what is to be seen")->type_name("TEXT");
  c->add_option("--like", o->like, "find what looks like this picture instead")->type_name("FILE");
  c->add_option("--model", o->model, "CLIP or SigLIP (openai/clip-vit-base-patch32)")->type_name("MODEL");
  c->add_option("--top-k", o->top_k, "so many, the nearest first (10)")->check(cli::Range(1, 100'000));
  c->add_flag("--json", o->json, "[{\"path\", \"similarity\"}]");
  c->callback([o, &action] { action = [o] { return act(*o); }; });
}

}  // namespace mynah::app
