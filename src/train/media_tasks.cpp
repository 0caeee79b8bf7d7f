#include "train/media_tasks.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <set>

#include "base/require.h"
#include "bundle/image_processor.h"
#include "bundle/processor.h"
#include "data/rows.h"
#include "media/image.h"
#include "media/sound.h"
#include "mynah/json.h"
#include "mynah/ops.h"
#include "nn/config.h"
#include "nn/head_kind.h"
#include "nn/seq2seq_lm.h"
#include "train/class_labels.h"
#include "train/forward_loss.h"
#include "train/media_rows.h"

namespace mynah::train {
namespace {

namespace fs = std::filesystem;

constexpr int32_t kNowhere = -100;

bool reads_pictures(MediaTask task) { return task == MediaTask::image_classification || task == MediaTask::object_detection || task == MediaTask::contrastive; }
bool has_labels(MediaTask task) { return task == MediaTask::image_classification || task == MediaTask::audio_classification; }

MediaSource source_of(MediaTask task, const fs::path& path) { return {path, reads_pictures(task) ? "image" : "audio", task == MediaTask::image_classification}; }

const Json& label_field(const MediaRow& row) { return data::field(row.fields, row.fields.contains("label") || !row.fields.contains("labels") ? "label" : "labels", row.where); }

// Decoded pictures, kept as long as all of them fit a budget.
class PictureCache {
 public:
  media::Image get(const fs::path& file) {
    if (const auto it = kept_.find(file.string()); it != kept_.end()) return it->second;
    media::Image image = media::read_image(file);
    if (bytes_ + image.rgb.size() <= kMost) {
      bytes_ += image.rgb.size();
      kept_.emplace(file.string(), image);
    }
    return image;
  }

 private:
  static constexpr size_t kMost = 512u << 20;
  std::map<std::string, media::Image> kept_;
  size_t bytes_ = 0;
};

class MediaObjective : public BatchObjective {
 public:
  MediaObjective(MediaTask task, const Arguments& a, const MediaTaskOptions& o, const bundle::Bundle& b, MediaRows train, MediaRows held_out)
      : BatchObjective(a), task_(task), options_(o), b_(b), train_(std::move(train)), held_out_(std::move(held_out)),
        batches_(train_.size(), a.per_device_train_batch_size, a.shuffle, a.seed) {
    if (reads_pictures(task)) {
      const auto own = b.config.find("image_processor");
      pictures_.emplace(own != b.config.end() && own->is_object() ? *own : bundle::processor_settings(b.path, "image_processor", "pictures", b.name));
    } else {
      sounds_.emplace(bundle::sound_processor(b.path));
    }
    if (has_labels(task) || task == MediaTask::object_detection) names_ = class_names(b.config);
    if (task == MediaTask::speech || task == MediaTask::contrastive) require(b.tokenizer != nullptr, "{}: no tokenizer; rows of text need one", b.name);
  }

  bool has_evaluation() const override { return !held_out_.empty(); }
  std::string_view unit() const override { return reads_pictures(task_) ? "pictures" : "clips"; }
  Json evaluate() override {
    evaluating_ = true;
    Json row = evaluate_rows(held_out_.size(), [&](const auto& rows) { return collate(held_out_, rows, -1); });
    evaluating_ = false;
    return row;
  }

 protected:
  int64_t batches_per_epoch() const override { return batches_.count(); }
  std::unique_ptr<MicroBatch> micro_batch(int64_t epoch, int64_t index) const override { return collate(train_, batches_.rows(epoch, index), epoch); }

  Tensor loss(const MicroBatch& micro, const Share& share, Metrics* metrics) override {
    const auto& batch = static_cast<const ForwardBatch&>(micro);
    const nn::NamedTensors out = b_.network->forward(batch.inputs, {});
    const auto loss = out.find("loss");
    require(loss != out.end(), "finetune: {} has no loss for this task", b_.architecture());
    if (evaluating_ && has_labels(task_)) count_correct(out.at("logits"), batch.inputs.at("labels"), metrics);
    return loss->second * static_cast<float>(batch.targets / share.targets);
  }

 private:
  static void count_correct(const Tensor& logits, const Tensor& labels, Metrics* metrics) {
    const std::vector<float> all = logits.to_vector();
    const auto classes = static_cast<size_t>(logits.size(1));
    for (int64_t i = 0; i < logits.size(0); ++i) {
      const auto row = all.begin() + i * static_cast<int64_t>(classes), best = std::max_element(row, row + static_cast<int64_t>(classes));
      metrics->add("accuracy", best - row == labels.data<int64_t>()[i] ? 1 : 0);
    }
  }

  Labelled picture(const MediaRow& r) const {
    Labelled out{cache_.get(r.file), {}};
    if (task_ != MediaTask::object_detection) return out;
    for (const RowObject& o : objects_of(r)) out.objects.push_back({class_of(*o.category, names_, r.where), o.box});
    return out;
  }

  // `epoch` -1: held-out rows, which are left as they are.
  std::unique_ptr<ForwardBatch> collate(const MediaRows& all, const std::vector<int64_t>& numbers, int64_t epoch) const {
    auto batch = std::make_unique<ForwardBatch>();
    std::vector<MediaRow> rows;
    for (const int64_t number : numbers) {
      rows.push_back(all[number]);
      batch->places.push_back(rows.back().where);
    }
    batch->targets = static_cast<double>(rows.size());
    batch->tokens = static_cast<int64_t>(rows.size());
    if (reads_pictures(task_))
      add_pictures(all, rows, numbers, epoch, batch.get());
    else
      add_sounds(rows, batch.get());
    if (has_labels(task_)) {
      std::vector<int64_t> labels;
      for (const MediaRow& r : rows) labels.push_back(class_of(label_field(r), names_, r.where));
      batch->inputs["labels"] = Tensor::from(std::span<const int64_t>(labels), {static_cast<int64_t>(labels.size())});
    }
    if (task_ == MediaTask::speech) add_transcripts(rows, batch.get());
    if (task_ == MediaTask::contrastive) add_texts(rows, batch.get());
    return batch;
  }

  void add_pictures(const MediaRows& all, const std::vector<MediaRow>& rows, const std::vector<int64_t>& numbers, int64_t epoch, ForwardBatch* batch) const {
    std::vector<media::Image> pictures;
    for (size_t i = 0; i < rows.size(); ++i) {
      Labelled one = picture(rows[i]);
      if (epoch >= 0 && options_.augmentation.any()) {
        const Draws draws(arguments_.seed, stream_of("augmentation") ^ (static_cast<uint64_t>(epoch) << 32) ^ static_cast<uint64_t>(numbers[i]));
        one = augmented(std::move(one), options_.augmentation, draws, all.size(), [&](int64_t other) { return picture(all[other]); });
      }
      if (task_ == MediaTask::object_detection) add_objects(one, i, batch);
      pictures.push_back(std::move(one.picture));
    }
    for (auto& [name, tensor] : (*pictures_)(pictures)) batch->inputs[name] = tensor;
  }

  // Boxes as centre and size in 0..1 of what the network sees.
  void add_objects(const Labelled& one, size_t place, ForwardBatch* batch) const {
    double left = 0, top = 0, ratio = 1, width = static_cast<double>(one.picture.width), height = static_cast<double>(one.picture.height);
    if (pictures_->letterboxes()) {
      const media::Letterbox frame = pictures_->letterbox(one.picture);
      left = static_cast<double>(frame.left);
      top = static_cast<double>(frame.top);
      ratio = frame.ratio;
      width = height = static_cast<double>(pictures_->square_side());
    }
    std::vector<int64_t> labels;
    std::vector<float> boxes;
    for (const ObjectBox& o : one.objects) {
      labels.push_back(o.label);
      const auto x = [&](double v) { return (v * ratio + left) / width; };
      const auto y = [&](double v) { return (v * ratio + top) / height; };
      for (const double v : {(x(o.box[0]) + x(o.box[2])) / 2, (y(o.box[1]) + y(o.box[3])) / 2, x(o.box[2]) - x(o.box[0]), y(o.box[3]) - y(o.box[1])}) boxes.push_back(static_cast<float>(v));
    }
    const std::string name = "labels." + std::to_string(place);
    const auto n = static_cast<int64_t>(labels.size());
    batch->inputs[name + ".class_labels"] = Tensor::from(std::span<const int64_t>(labels), {n});
    batch->inputs[name + ".boxes"] = Tensor::from(std::span<const float>(boxes), {n, 4});
    // Losses of detectors divide by the objects of their batch.
    batch->targets = 1;
  }

  void add_sounds(const std::vector<MediaRow>& rows, ForwardBatch* batch) const {
    std::vector<media::Sound> sounds;
    for (const MediaRow& r : rows) {
      sounds.push_back(media::resample(media::read_sound(r.file), sounds_->rate()));
      require(!sounds.back().samples.empty(), "{}: {}: a sound without samples", r.where, r.file.string());
    }
    for (auto& [name, tensor] : (*sounds_)(sounds)) batch->inputs[name] = tensor;
  }

  void add_transcripts(const std::vector<MediaRow>& rows, ForwardBatch* batch) const {
    const nn::Seq2SeqLM* lm = b_.network->seq2seq_lm();
    std::vector<std::vector<int32_t>> labels;
    for (const MediaRow& r : rows) {
      std::vector<int32_t> ids = b_.tokenizer->encode_ids(data::text_field(r.fields, "text", r.where));
      // The decoder is given its start token before the labels.
      if (lm && !ids.empty() && ids.front() == lm->decoder_start()) ids.erase(ids.begin());
      require(!ids.empty(), "{}: the text has no tokens", r.where);
      labels.push_back(std::move(ids));
    }
    batch->inputs["labels"] = padded(labels, kNowhere);
    batch->targets = 1;  // the config says how a CTC loss is reduced; means over micro-batches follow
    if (!lm) return;
    batch->inputs.erase("attention_mask");
    batch->targets = 0;
    for (const auto& ids : labels) batch->targets += static_cast<double>(ids.size());
  }

  void add_texts(const std::vector<MediaRow>& rows, ForwardBatch* batch) const {
    EncodeOptions options;
    options.truncation = Truncation::longest_first;
    options.max_length = text_positions();
    PaddingOptions padding;
    const bool siglip = b_.config.value("model_type", std::string()).find("siglip") != std::string::npos;
    if (siglip) padding.length = text_positions();
    std::vector<Encoding> encoded;
    for (const MediaRow& r : rows) {
      encoded.push_back(b_.tokenizer->encode_windows(data::text_field(r.fields, "text", r.where), options)[0]);
    }
    b_.tokenizer->pad(encoded, padding);
    std::vector<int64_t> ids, mask;
    for (const Encoding& e : encoded) {
      ids.insert(ids.end(), e.ids.begin(), e.ids.end());
      mask.insert(mask.end(), e.attention_mask.begin(), e.attention_mask.end());
    }
    const auto n = static_cast<int64_t>(rows.size()), length = static_cast<int64_t>(encoded[0].ids.size());
    batch->inputs["input_ids"] = Tensor::from(std::span<const int64_t>(ids), {n, length});
    if (!siglip) batch->inputs["attention_mask"] = Tensor::from(std::span<const int64_t>(mask), {n, length});
    const int64_t one = 1;
    batch->inputs["return_loss"] = Tensor::from(std::span<const int64_t>(&one, 1), {1});
    batch->targets = 1;  // a batch is compared with itself; means over micro-batches follow
  }

  int64_t text_positions() const {
    const auto text = b_.config.find("text_config");
    const int64_t positions = text != b_.config.end() && text->is_object() ? nn::config_int(*text, "max_position_embeddings", 77, 1) : 77;
    return std::min(positions, b_.tokenizer->model_max_length().value_or(positions));
  }

  MediaTask task_;
  MediaTaskOptions options_;
  const bundle::Bundle& b_;
  MediaRows train_, held_out_;
  RowBatches batches_;
  std::optional<bundle::ImageProcessor> pictures_;
  std::optional<bundle::SoundProcessor> sounds_;
  std::vector<std::string> names_;
  mutable PictureCache cache_;
  bool evaluating_ = false;
};

}  // namespace

std::optional<MediaTask> find_media_task(const std::string& name, const fs::path& model) {
  static const std::map<std::string, MediaTask> names = {{"image-classification", MediaTask::image_classification},
                                                         {"audio-classification", MediaTask::audio_classification},
                                                         {"object-detection", MediaTask::object_detection},
                                                         {"automatic-speech-recognition", MediaTask::speech},
                                                         {"asr", MediaTask::speech},
                                                         {"ctc", MediaTask::speech},
                                                         {"contrastive", MediaTask::contrastive},
                                                         {"zero-shot-image-classification", MediaTask::contrastive}};
  if (!name.empty()) {
    const auto it = names.find(name);
    return it == names.end() ? std::nullopt : std::optional(it->second);
  }
  const auto b = bundle::open(model, {}, {.network = false, .tokenizer = false});
  Json config = b->config;
  if (!config.contains("architectures")) config["architectures"] = {b->architecture()};
  const std::string architecture = config["architectures"][0].get<std::string>();
  if (architecture.ends_with("ForAudioClassification")) return MediaTask::audio_classification;
  if (architecture.starts_with("Whisper") || architecture == "SpeechT5ForSpeechToText") return MediaTask::speech;
  if (architecture == "CLIPModel" || architecture == "SiglipModel") return MediaTask::contrastive;
  switch (nn::head_kind(config)) {
    case nn::HeadKind::image_classification: return MediaTask::image_classification;
    case nn::HeadKind::object_detection: return MediaTask::object_detection;
    case nn::HeadKind::ctc: return MediaTask::speech;
    default: return std::nullopt;
  }
}

std::string media_head(MediaTask task, const fs::path& model) {
  const std::string type = nn::config_string(bundle::open(model, {}, {.network = false, .tokenizer = false})->config, "model_type", "");
  switch (task) {
    case MediaTask::image_classification: return "ForImageClassification";
    case MediaTask::object_detection: return "ForObjectDetection";
    case MediaTask::speech: return type == "wav2vec2" || type == "hubert" ? "ForCTC" : "";
    default: return "";
  }
}

Labels find_media_labels(MediaTask task, const fs::path& model, const fs::path& train_rows) {
  Labels out;
  if (!has_labels(task) && task != MediaTask::object_detection) return out;
  std::set<std::string> texts;
  int64_t largest = -1;
  const auto see = [&](const Json& label, const std::string& where) {
    if (label.is_number_integer()) {
      const auto number = label.get<int64_t>();
      require(number >= 0, "{}: label {}, expected 0 or more", where, number);
      largest = std::max(largest, number);
    } else {
      require(label.is_string(), "{}: label {}, expected a number or a name", where, label.dump());
      texts.insert(label.get<std::string>());
    }
  };
  if (train_rows.empty()) return out;
  for_each_media_row(source_of(task, train_rows), [&](const MediaRow& row) {
    if (has_labels(task)) {
      see(label_field(row), row.where);
      return;
    }
    for (const RowObject& o : objects_of(row)) see(*o.category, row.where);
  });
  require(texts.empty() || largest < 0, "{}: labels of several kinds; use numbers or names, not both", train_rows.string());
  const Json config = bundle::open(model, {}, {.network = false, .tokenizer = false})->config;
  // The model's own labels serve if all labels of the rows are among them.
  const auto known = config.find("id2label");
  const std::vector<std::string> own = known != config.end() && known->is_object() && !known->empty() ? class_names(config) : std::vector<std::string>();
  const bool fits = !own.empty() && largest < static_cast<int64_t>(own.size()) &&
                    std::all_of(texts.begin(), texts.end(), [&](const std::string& t) { return std::find(own.begin(), own.end(), t) != own.end(); });
  if (fits) return out;
  out.names.assign(texts.begin(), texts.end());
  for (int64_t i = 0; i <= largest; ++i) out.names.push_back("LABEL_" + std::to_string(i));
  return out;
}

std::unique_ptr<Objective> make_media_task(MediaTask task, const Arguments& a, const MediaTaskOptions& options, const bundle::Bundle& b, const fs::path& train,
                                           const fs::path& validation) {
  if (options.augmentation.any() && !reads_pictures(task)) fail(ErrorCode::usage, "--augment: changes pictures, and this task has none");
  if (options.augmentation.mosaic && task != MediaTask::object_detection) fail(ErrorCode::usage, "--augment mosaic: is for object-detection; other labels mean a whole picture");
  return std::make_unique<MediaObjective>(task, a, options, b, MediaRows(a, source_of(task, train)), MediaRows(a, source_of(task, validation)));
}

}  // namespace mynah::train
