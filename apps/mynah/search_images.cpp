// mynah search-images DIR "text": pictures of a folder by what is to be seen in them, or by likeness.
#include <fmt/format.h>

#include <filesystem>

#include "base/require.h"
#include "cli.h"
#include "command.h"
#include "media/animation.h"
#include "mynah/json.h"
#include "open_model.h"
#include "reading_bar.h"
#include "search/picture_index.h"
#include "standard_input.h"
#include "store/store.h"
#include "tasks/picture_results.h"
#include "tasks/registry.h"

namespace mynah::app {
namespace {

struct SearchImagesOptions {
  std::string folder, text, like, model = "openai/clip-vit-base-patch32";
  int64_t top_k = 10;
  bool json = false;
};

int run_search_images(const SearchImagesOptions& o) {
  if (o.text.empty() == o.like.empty()) fail(ErrorCode::usage, "search-images: give a text, or a picture with --like");
  search::PictureIndex index(o.folder, store::Settings::from_environment().home / "indexes", o.model);
  const auto task = tasks::open_task(tasks::find_task("zero-shot-image-classification"), "zero-shot-image-classification", model_path(o.model), LoadOptions{.name = o.model});
  const auto picture = [&](const std::filesystem::path& file) { return tasks::picture_vector(*task, media::read_image(file)); };
  const std::vector<float> wanted = o.like.empty() ? tasks::text_vector(*task, text_of_words({o.text})) : picture(o.like);
  ReadingBar bar("pictures");
  say_skipped(index.update(media::is_picture_name, picture, [&](int64_t done, int64_t all) { bar.show(done, all); }).skipped);
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
  auto o = std::make_shared<SearchImagesOptions>();
  c->add_option("folder", o->folder, "its pictures are read first, if they changed")->required()->type_name("DIR");
  c->add_option("text", o->text, "what is to be seen; - is standard input")->type_name("TEXT");
  c->add_option("--like", o->like, "find what looks like this picture instead")->type_name("FILE");
  c->add_option("--model", o->model, "CLIP or SigLIP (openai/clip-vit-base-patch32)")->type_name("MODEL");
  c->add_option("--top-k", o->top_k, "so many, the nearest first (10)")->check(cli::Range(1, 100'000));
  c->add_flag("--json", o->json, "[{\"path\", \"similarity\"}]");
  c->callback([o, &action] { action = [o] { return run_search_images(*o); }; });
}

}  // namespace mynah::app
