// mynah watch VIDEO|DIR: what is to be seen in videos, animations and folders of pictures: boxes that are followed from frame to frame,
// or labels and how long they hold; as events, JSON, CSV, and pictures with what was found drawn into them.
#include <fmt/format.h>

#include <cmath>
#include <filesystem>
#include <set>

#include "base/file.h"
#include "base/json.h"
#include "base/require.h"
#include "bundle/bundle.h"
#include "cli.h"
#include "command.h"
#include "media/animation.h"
#include "media/draw.h"
#include "open_model.h"
#include "tasks/picture_results.h"
#include "tasks/registry.h"
#include "tasks/tracking.h"

namespace mynah::app {
namespace {

namespace fs = std::filesystem;

struct WatchOptions {
  std::string input, model, labels, output, save;
  double rate = 0;
  std::optional<double> threshold;
  int64_t frames = 0, top_k = 1;
  tasks::TrackSettings track;
  bool json = false;
};

// 00:03.500
std::string clock(double seconds) {
  const auto ms = static_cast<int64_t>(std::llround(seconds * 1000));
  const std::string tail = fmt::format("{:02}:{:02}.{:03}", ms / 60000 % 60, ms / 1000 % 60, ms % 1000);
  return ms >= 3600000 ? fmt::format("{:02}:{}", ms / 3600000, tail) : tail;
}

std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\n\r") == std::string::npos) return text;
  std::string out = "\"";
  for (const char c : text) out += c == '"' ? "\"\"" : std::string(1, c);
  return out + "\"";
}

// What a model says about frames, and what becomes of it over time.
class Watcher {
 public:
  virtual ~Watcher() = default;
  // {"objects": [...]} or {"labels": [...]}
  virtual Json look(const media::Image& picture) = 0;
  virtual media::Image drawn(media::Image picture, const Json& seen) const = 0;
  // Rows of a table, without frame, time and name.
  virtual std::vector<std::string> table_rows(const Json& seen) const = 0;
  // What happened, as far as it is sure: {"event", "label", "frame", ...}. `end`: no more frames come.
  virtual std::vector<Json> events(bool end) = 0;
};

class BoxWatcher : public Watcher {
 public:
  BoxWatcher(std::shared_ptr<const tasks::OpenTask> task, Json options, const std::set<std::string>& labels, const tasks::TrackSettings& track)
      : task_(std::move(task)), options_(std::move(options)), labels_(labels), tracker_(track) {}

  Json look(const media::Image& picture) override {
    Json found = Json::array();
    std::vector<tasks::SeenBox> boxes;
    for (Json& object : tasks::objects_in(*task_, picture, options_)) {
      const std::string label = object["label"].get<std::string>();
      if (!labels_.empty() && !labels_.contains(label)) continue;
      const Json& b = object["box"];
      const double left = b["xmin"].get<double>(), top = b["ymin"].get<double>();
      // A box is a pixel wide and high at least, or it would overlap nothing.
      boxes.push_back({label, {left, top, std::max(b["xmax"].get<double>(), left + 1), std::max(b["ymax"].get<double>(), top + 1)}});
      found.push_back(std::move(object));
    }
    const std::vector<int64_t> tracks = tracker_.next(boxes);
    for (size_t i = 0; i < tracks.size(); ++i) found[i]["track"] = tracks[i];
    return {{"objects", std::move(found)}};
  }
  media::Image drawn(media::Image picture, const Json& seen) const override {
    Json numbered = seen["objects"];
    for (Json& object : numbered) object["label"] = fmt::format("{} {}", object["label"].get<std::string>(), object["track"].get<int64_t>());
    return task_->entry->draw(std::move(picture), numbered);
  }
  std::vector<std::string> table_rows(const Json& seen) const override {
    std::vector<std::string> rows;
    for (const Json& o : seen["objects"]) {
      const Json& b = o["box"];
      rows.push_back(fmt::format("{},{},{},{},{},{},{}", o["track"].get<int64_t>(), csv_field(o["label"].get<std::string>()), o["score"].get<double>(), b["xmin"].get<int64_t>(),
                                 b["ymin"].get<int64_t>(), b["xmax"].get<int64_t>(), b["ymax"].get<int64_t>()));
    }
    return rows;
  }
  std::vector<Json> events(bool end) override {
    std::vector<Json> out;
    for (const tasks::TrackEvent& e : tracker_.events(end))
      out.push_back({{"event", e.kind == tasks::TrackEvent::Kind::appears ? "appears" : "leaves"}, {"label", e.label}, {"track", e.track}, {"frame", e.frame}});
    return out;
  }

 private:
  std::shared_ptr<const tasks::OpenTask> task_;
  Json options_;
  std::set<std::string> labels_;
  tasks::Tracker tracker_;
};

// Labels of whole pictures. A label that holds for a few frames begins a segment.
class LabelWatcher : public Watcher {
 public:
  LabelWatcher(std::shared_ptr<const tasks::OpenTask> task, const std::vector<std::string>& labels, int64_t top_k, int64_t confirmed)
      : task_(std::move(task)), labels_(labels), top_k_(static_cast<size_t>(top_k)), confirmed_(confirmed) {
    if (!labels_.empty()) texts_ = tasks::zero_shot_texts(*task_, labels_, Json::object());
  }

  Json look(const media::Image& picture) override {
    const Json all = labels_.empty() ? tasks::labels_of(*task_, picture, {{"top_k", top_k_}}) : tasks::own_labels_of(*task_, picture, labels_, texts_);
    Json best = Json::array();
    for (const Json& one : all)
      if (best.size() < top_k_) best.push_back(one);
    ++frame_;
    const std::string label = best[0]["label"].get<std::string>();
    if (label != candidate_) {
      candidate_ = label;
      since_ = frame_;
    }
    if (candidate_ != current_ && frame_ - since_ + 1 >= confirmed_) {
      if (!current_.empty()) events_.push_back({{"event", "ends"}, {"label", current_}, {"frame", since_}});
      events_.push_back({{"event", "begins"}, {"label", candidate_}, {"frame", since_}});
      current_ = candidate_;
    }
    return {{"labels", std::move(best)}};
  }
  media::Image drawn(media::Image picture, const Json& seen) const override {
    const int64_t scale = media::pen_width(picture);
    int64_t bottom = scale * 12;
    for (const Json& one : seen["labels"]) {
      const std::string& label = one["label"].get_ref<const std::string&>();
      media::draw_label(picture, 0, bottom, fmt::format("{} {:.0f}%", label, 100 * one["score"].get<double>()), scale, media::color_of(label));
      bottom += scale * 12;
    }
    return picture;
  }
  std::vector<std::string> table_rows(const Json& seen) const override {
    std::vector<std::string> rows;
    for (const Json& one : seen["labels"]) rows.push_back(fmt::format(",{},{},,,,", csv_field(one["label"].get<std::string>()), one["score"].get<double>()));
    return rows;
  }
  std::vector<Json> events(bool) override {
    std::vector<Json> out;
    out.swap(events_);
    return out;
  }

 private:
  std::shared_ptr<const tasks::OpenTask> task_;
  std::vector<std::string> labels_;
  nn::NamedTensors texts_;
  size_t top_k_;
  int64_t confirmed_, frame_ = -1, since_ = 0;
  std::string candidate_, current_;
  std::vector<Json> events_;
};

std::unique_ptr<Watcher> make_watcher(const WatchOptions& o) {
  const fs::path path = model_path(o.model);
  const Json config = bundle::open(path, {.name = o.model}, {.network = false, .tokenizer = false})->config;
  const nn::HeadKind head = nn::head_kind(config);
  const std::vector<std::string> labels = o.labels.empty() ? std::vector<std::string>() : cli::split(o.labels, ',');
  const char* name = head == nn::HeadKind::object_detection       ? "object-detection"
                     : head == nn::HeadKind::image_classification ? "image-classification"
                     : !labels.empty()                            ? "zero-shot-image-classification"
                                                                  : nullptr;
  if (!name)
    fail(ErrorCode::usage, "watch: {} finds no objects and knows no labels of pictures; for CLIP and SigLIP name your own with --labels", o.model);
  const auto task = tasks::open_task(tasks::find_task(name), name, path, LoadOptions{.name = o.model});
  if (head == nn::HeadKind::object_detection) {
    Json options = Json::object();
    if (o.threshold) options["threshold"] = *o.threshold;
    return std::make_unique<BoxWatcher>(task, options, std::set<std::string>(labels.begin(), labels.end()), o.track);
  }
  if (head == nn::HeadKind::image_classification && !labels.empty()) fail(ErrorCode::usage, "watch: {} has labels of its own; --labels is for detectors, CLIP and SigLIP", o.model);
  return std::make_unique<LabelWatcher>(task, labels, o.top_k, o.track.confirmed);
}

// Where pictures with what was found go: a folder of PNG files, or one animation.
class Annotated {
 public:
  explicit Annotated(const std::string& path) : path_(path), animation_(path.ends_with(".webp")) {
    if (!path.empty() && !animation_) fs::create_directories(path);
  }
  bool wanted() const { return !path_.empty(); }
  void add(const media::Image& picture, int64_t frame, double seconds) {
    if (!animation_) return media::write_image(fs::path(path_) / fmt::format("{:06}.png", frame), picture);
    if (!writer_) writer_.emplace(picture.width, picture.height);
    writer_->add(picture, seconds);
  }
  void finish() {
    if (!writer_) return;
    const auto bytes = writer_->finish();
    AtomicFile file(path_);
    file.write(bytes.data(), bytes.size());
    file.commit();
  }

 private:
  std::string path_;
  bool animation_;
  std::optional<media::AnimationWriter> writer_;
};

// Rows into a file, written when all of them are there.
class TableRows {
 public:
  explicit TableRows(const std::string& path) {
    if (path.empty()) return;
    csv_ = path.ends_with(".csv");
    if (!csv_ && !path.ends_with(".jsonl")) fail(ErrorCode::usage, "watch: -o {}: expected a name with .csv or .jsonl", path);
    file_.emplace(path);
    if (csv_) file_->write("frame,time,name,track,label,score,xmin,ymin,xmax,ymax\n");
  }
  void add(const Json& row, const Watcher& watcher) {
    if (!file_) return;
    if (!csv_) return file_->write(to_text(row) + "\n");
    if (row.contains("event")) return;
    for (const std::string& rest : watcher.table_rows(row))
      file_->write(fmt::format("{},{},{},{}\n", row["frame"].get<int64_t>(), row["time"].get<double>(), csv_field(row.value("name", std::string())), rest));
  }
  void finish() {
    if (file_) file_->commit();
  }

 private:
  std::optional<AtomicFile> file_;
  bool csv_ = false;
};

std::string event_line(const Json& event) {
  const std::string track = event.contains("track") ? fmt::format(" {}", event["track"].get<int64_t>()) : "";
  return fmt::format("{}  {}{} {}\n", clock(event["time"].get<double>()), event["label"].get<std::string>(), track, event["event"].get<std::string>());
}

int run_watch(const WatchOptions& o) {
  TableRows rows(o.output);
  std::error_code error;
  if (!fs::exists(o.input, error)) fail(ErrorCode::not_found, "{}: no such file or folder", o.input);
  const std::unique_ptr<Watcher> watcher = make_watcher(o);
  Annotated annotated(o.save);
  std::vector<double> times;
  int64_t happened = 0;
  const auto tell = [&](bool end) {
    for (Json& event : watcher->events(end)) {
      event["time"] = times[static_cast<size_t>(event["frame"].get<int64_t>())];
      ++happened;
      rows.add(event, *watcher);
      if (o.json)
        print_json(event);
      else
        print_text(event_line(event));
    }
  };
  media::for_each_frame(o.input, o.rate, [&](media::Frame&& frame) {
    const auto number = static_cast<int64_t>(times.size());
    times.push_back(frame.seconds);
    const Json seen = watcher->look(frame.image);
    Json row = {{"frame", number}, {"time", frame.seconds}};
    if (!frame.name.empty()) row["name"] = frame.name;
    row.update(seen);
    rows.add(row, *watcher);
    if (o.json) print_json(row);
    if (annotated.wanted()) annotated.add(watcher->drawn(std::move(frame.image), seen), number, frame.seconds);
    tell(false);
    return o.frames == 0 || number + 1 < o.frames;
  }, [](const std::string& why) { fmt::print(stderr, "skipped {}\n", why); });
  if (!times.empty()) tell(true);
  annotated.finish();
  rows.finish();
  fmt::print(stderr, "{} frame{}, {} event{}\n", times.size(), times.size() == 1 ? "" : "s", happened, happened == 1 ? "" : "s");
  return 0;
}

}  // namespace

void add_watch(cli::App& parent, std::function<int()>& action) {
  cli::App* c = parent.add_subcommand("watch", "Say what is to be seen in a video, an animation or a folder of pictures, and when");
  auto o = std::make_shared<WatchOptions>();
  c->add_option("input", o->input, "a folder of pictures in the order of their names, an animated WebP, or any video (through mynah-media)")->required()->type_name("VIDEO|DIR");
  c->add_option("--model", o->model, "a detector, a classifier of pictures, or CLIP or SigLIP with --labels")->required()->type_name("MODEL");
  c->add_option("--labels", o->labels, "comma list: the objects that count; of CLIP and SigLIP: what may be to be seen")->type_name("A,B");
  c->add_option("--threshold", o->threshold, "the least score of an object (the model's own)")->check(cli::Range(0.0, 1.0));
  c->add_option("--fps", o->rate, "frames a second that are looked at (all; pictures of a folder: one a second)")->check(cli::Range(0.001, 1000.0));
  c->add_option("--frames", o->frames, "look at no more than so many")->check(cli::Range(1, 100'000'000));
  c->add_option("--top-k", o->top_k, "labels of each frame (1)")->check(cli::Range(1, 1000));
  c->add_option("--overlap", o->track.least_overlap, "how much boxes of two frames overlap that are the same thing (0.3)")->check(cli::Range(0.01, 1.0));
  c->add_option("--patience", o->track.patience, "frames after which what is not seen has left (5)")->check(cli::Range(0, 100'000));
  c->add_option("--confirm", o->track.confirmed, "frames in which something must be seen, or a label hold, before it counts (2)")->check(cli::Range(1, 100'000));
  c->add_option("-o,--output", o->output, "rows of every frame: .jsonl or .csv, whole or not at all")->type_name("FILE");
  c->add_option("--save", o->save, "pictures with what was found drawn into them: a folder, or an animation FILE.webp")->type_name("DIR");
  c->add_flag("--json", o->json, "frames and events as JSON lines");
  c->callback([o, &action] { action = [o] { return run_watch(*o); }; });
}

}  // namespace mynah::app
